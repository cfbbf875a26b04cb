"""Thousands of webhooks over hundreds of accounts: who does not match costs nothing.

POSTBELL_SCALE_ACCOUNTS=1000 makes them ten thousand.
"""

import asyncio
import os
from typing import NamedTuple

from postbell.blocks import Position, build_block
from postbell.delivery.prune import IDLE_BLOCKS
from postbell.events import NUMBER_OF, EventType
from postbell.records import Account, ApiUser, Webhook
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock
from tests.scale.counting import CountingEngine

ACCOUNTS, EACH = int(os.environ.get("POSTBELL_SCALE_ACCOUNTS", "300")), 10
WEBHOOKS = ACCOUNTS * EACH
AT_ONCE = 100
TYPES = (EventType.OPEN, EventType.CLICK)


class Tenant(NamedTuple):
    account: Account
    user: ApiUser
    webhooks: list[Webhook]


async def settle(rig: Rig) -> list[Tenant]:
    """Register customers of ten webhooks each, every second of which takes clicks."""
    tenants: list[Tenant] = []
    for first in range(0, ACCOUNTS, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        tenants += await asyncio.gather(*(_tenant(rig, number) for number in numbers))
    await rig.directory.refresh()
    return tenants


async def _tenant(rig: Rig, number: int) -> Tenant:
    registry, now = rig.engine.registry, rig.clock.now()
    account = await registry.add_account(f"a{number}", now)
    user = await registry.add_api_user(account.id, f"u{number}", "x", now)
    webhooks = [
        await registry.add_webhook(
            Webhook(
                id=0,
                account_id=account.id,
                account=account.name,
                url=f"https://h{number}.example/{at}",
                types=(TYPES[at % 2],),
                policy={"max_wait_s": 0},
                created_at=now,
                updated_at=now,
            ),
            [],
        )
        for at in range(EACH)
    ]
    return Tenant(account, user, webhooks)


async def append_for_all(rig: Rig, tenants: list[Tenant]) -> None:
    """Append a block for every customer, of one event that no webhook takes."""
    code = bytes([NUMBER_OF[EventType.REQUEST]])
    blocks = [
        build_block(each.account.id, each.user.id, [b'{"event_id":"r"}'], code, bytes(8))
        for each in tenants
    ]
    log = rig.engine.log
    await log.append(blocks, [], head=await log.head(), now=rig.clock.now())


async def test_only_who_matches_is_rung_and_idle_cursors_move_together(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        tenants = await settle(rig)
        await rig.turn()
        assert len(rig.worker.lanes) == WEBHOOKS
        assert engine.log.calls["headers"] <= WEBHOOKS
        await _ring_who_matches(engine, rig, tenants[123])
        await _pass_by(engine, rig, tenants)
        await _move_idle_cursors(engine, rig, tenants)
        await _do_nothing(engine, rig)


async def _ring_who_matches(engine: CountingEngine, rig: Rig, tenant: Tenant) -> None:
    """One click: the five webhooks of one customer that take clicks, and nobody else."""
    rig.account, rig.user = tenant.account, tenant.user
    engine.count_anew()

    await rig.send(event(1, "click"))
    await rig.turn()

    clicks = {webhook.id for webhook in tenant.webhooks[1::2]}
    assert set(rig.sender.got) == {webhook.url for webhook in tenant.webhooks[1::2]}
    assert set(engine.ledger.written) == clicks
    assert engine.log.calls["headers"] == 0
    assert engine.log.loaded.total() <= 1
    assert engine.log.calls["follow"] <= 3


async def _pass_by(engine: CountingEngine, rig: Rig, tenants: list[Tenant]) -> None:
    """Hundreds of blocks that nobody takes: they are read once, by all together."""
    engine.count_anew()

    await append_for_all(rig, tenants)
    await rig.turn()

    assert engine.log.calls["headers"] == engine.log.calls["load"] == engine.ledger.records == 0
    assert engine.log.calls["follow"] <= 6


async def _move_idle_cursors(engine: CountingEngine, rig: Rig, tenants: list[Tenant]) -> None:
    """Most lanes are now far behind what they looked through; a few commits mend that."""
    engine.count_anew()

    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))

    assert len(engine.ledger.written) >= (ACCOUNTS - IDLE_BLOCKS) * EACH
    assert engine.ledger.records <= WEBHOOKS / 400
    assert engine.log.calls["headers"] <= ACCOUNTS
    moved = await rig.engine.ledger.lane(tenants[-1].webhooks[0].id)
    assert moved.lane.cursor > Position(ACCOUNTS // 2, 0)


async def _do_nothing(engine: CountingEngine, rig: Rig) -> None:
    """A minute in which nothing happens."""
    engine.count_anew()

    for _ in range(60):
        await rig.later(1)
    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))

    assert engine.ledger.records == 0
    assert engine.log.calls["headers"] == engine.log.calls["load"] == 0
    assert engine.log.calls["follow"] <= 61
