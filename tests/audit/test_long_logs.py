"""Audits of logs that are read in several pages, while retention drops them from the front."""

import asyncio
from typing import Any

import pytest

from postbell.audit import audit
from postbell.blocks import BlockHeader
from postbell.clock import Clock
from postbell.dialects import DIALECTS
from postbell.errors import StorageError
from postbell.ports import Engine
from postbell.reading.paging import PAGE
from postbell.records import Outcome
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock, drop

BLOCKS = PAGE + 88


async def fill(rig: Rig, blocks: int = BLOCKS) -> None:
    """Append so many blocks of two events: one is delivered, one opened."""
    for number in range(blocks):
        await rig.send(event(2 * number), event(2 * number + 1, "open"))


async def run_of_ten(rig: Rig) -> None:
    """Let a run begin that spans ten blocks, and the first six of its events be delivered."""
    policy = {"rate_per_s": 1, "max_wait_s": 10}
    webhook = await rig.webhook(dialect="engagelab", policy=policy, types=("open",))
    await fill(rig, 10)
    await rig.turn()
    await rig.later(10)
    while len(rig.bodies()) < 6:
        await rig.later(1)
    await rig.worker.singles.save(rig.worker.lanes[webhook.id])


class Overtaking:
    """An engine whose log loses everything below the next of *fronts* once a page was read."""

    def __init__(self, engine: Engine, clock: Clock, fronts: list[int]) -> None:
        self._engine = engine
        self._clock = clock
        self.fronts = fronts
        self.log = self

    def __getattr__(self, name: str) -> Any:
        ports = ("ledger", "journal", "registry", "suppressions")
        ours = self._engine if name in ports else self._engine.log
        return getattr(ours, name)

    async def headers(self, account_id: int, first: int, limit: int) -> list[BlockHeader]:
        page = await self._engine.log.headers(account_id, first, limit)
        if limit > 1 and self.fronts:
            await drop(self._engine, self.fronts.pop(0))
        return page


async def test_a_batch_and_a_run_may_span_pages() -> None:
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 60, "max_events": 10_000})
        await rig.webhook("https://b.example/", dialect="engagelab", types=("open",))
        rig.sender.answers["https://b.example/"] = [Outcome(status=503)]
        await fill(rig)
        await rig.turn()
        await rig.later(61)

        found = await rig.audit()

        native, engagelab = found.rows
        assert (native.matching, native.delivered) == (2 * BLOCKS, 2 * BLOCKS)
        assert (engagelab.delivered, engagelab.waiting) == (BLOCKS - 1, 1)
        assert found.problems == []


@pytest.mark.parametrize("front", [PAGE + 40, BLOCKS, BLOCKS + 1])
async def test_an_audit_that_retention_overtakes_begins_again(front: int) -> None:
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 7})
        await fill(rig)
        await rig.turn()
        engine: Any = Overtaking(rig.engine, rig.clock, [front])

        found = await audit(engine, DIALECTS)

        assert found.problems == []
        assert [row.delivered for row in found.rows] == [2 * (BLOCKS + 1 - front)]


async def test_an_audit_that_is_overtaken_again_and_again_gives_up() -> None:
    async with running() as rig:
        await rig.webhook()
        await fill(rig, 6 * PAGE)
        fronts = [n * (PAGE + 2) * is_first for n in range(1, 6) for is_first in (True, False)]
        engine: Any = Overtaking(rig.engine, rig.clock, fronts)

        with pytest.raises(StorageError, match="--since"):
            await audit(engine, DIALECTS)


@pytest.mark.parametrize("front", [2, 5, 9, 10, 11])
async def test_a_run_that_lost_its_front_is_counted_from_what_is_left(front: int) -> None:
    async with running() as rig:
        await run_of_ten(rig)

        await drop(rig.engine, front)

        found = await rig.audit()
        (row,) = found.rows
        assert row.delivered == max(0, 6 - (front - 1))
        assert row.waiting == min(4, 11 - front)
        assert found.problems == []


@pytest.mark.parametrize("front", [4, 10, 11])
async def test_a_run_that_loses_more_while_it_is_counted_is_counted_again(front: int) -> None:
    async with running() as rig:
        await run_of_ten(rig)
        await rig.send(event(998), event(999, "open"))
        await drop(rig.engine, 3)
        engine: Any = Overtaking(rig.engine, rig.clock, [front])

        found = await audit(engine, DIALECTS)

        (row,) = found.rows
        assert (row.matching, row.delivered) == (12 - front, max(0, 7 - front))
        assert found.problems == []


async def test_a_batch_that_lost_its_front_is_no_problem() -> None:
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 60})
        await fill(rig, 10)
        await rig.turn()
        await rig.later(60)

        await drop(rig.engine, 4)

        found = await rig.audit()
        assert ([row.delivered for row in found.rows], found.problems) == ([14], [])


async def test_accounts_are_audited_by_themselves() -> None:
    clock = FakeClock()
    async with running(clock=clock) as rig:
        registry = rig.engine.registry
        mine, my_user = rig.account, rig.user
        await rig.webhook(policy={"max_wait_s": 0})
        other = await registry.add_account("other", clock.now())
        user = await registry.add_api_user(other.id, "theirs", "x", clock.now())
        await rig.directory.refresh()
        await rig.send(event(0))
        rig.account, rig.user = other, user
        await rig.webhook("https://b.example/", policy={"max_wait_s": 0})
        await rig.send(event(0), event(1))
        rig.account, rig.user = mine, my_user
        await rig.send(event(2))
        await rig.turn()
        await asyncio.sleep(0)

        found = await rig.audit()

        assert [(row.matching, row.delivered) for row in found.rows] == [(2, 2), (2, 2)]
        assert found.problems == []
