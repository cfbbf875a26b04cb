"""What leaves a webhook by hand: skipped, split, cancelled; the audit's equation holds."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postbell.audit import AuditRow
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.errors import Conflict, NotFound
from postbell.records import BatchState, EntryKind, Outcome, ReplayState, Webhook
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from tests.delivery.rig import OK, Rig, event, running

URL = "https://a.example/hook"
FAILS = Outcome(status=500)
SINGLE = {"dialect": "engagelab"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as rig:
        yield rig


def desk_of(rig: Rig) -> Desk:
    guard = Guard((), Resolver(lambda name: ["203.0.113.1"], clock=rig.clock))
    return Desk(rig.engine, DIALECTS, guard, rig.clock, rig.directory, sender=rig.sender)


async def sums(rig: Rig) -> AuditRow:
    """Return the sums of the only webhook; the audit must hold."""
    report = await rig.audit()
    assert report.problems == []
    (row,) = report.rows
    return row


async def open_ids(rig: Rig, webhook: Webhook) -> list[str]:
    return [one.id for one in await rig.engine.ledger.open_batches(webhook_id=webhook.id)]


async def test_a_skip_takes_waiting_batches_and_leaves_parked_ones(rig: Rig) -> None:
    webhook = await rig.webhook(policy={"max_events": 2, "retry_waits_s": [9]})
    rig.sender.standing[URL] = FAILS
    await rig.send(*(event(n) for n in range(6)))
    await rig.later(10)
    parked = [
        one.count
        for one in await rig.engine.ledger.open_batches()
        if one.state is BatchState.PARKED
    ]
    waiting = len(await open_ids(rig, webhook)) - len(parked)

    await rig.by_hand(desk_of(rig).resume(None, webhook.id, skip=True))

    row = await sums(rig)
    assert waiting > 0
    assert (row.matching, row.waiting, row.parked) == (6, 0, sum(parked))
    assert row.skipped == 6 - sum(parked)
    left = await rig.engine.ledger.open_batches(webhook_id=webhook.id)
    assert {one.state for one in left} <= {BatchState.PARKED}


async def test_a_skip_takes_what_a_run_has_not_done(rig: Rig) -> None:
    webhook = await rig.webhook(**SINGLE, policy={"concurrency": 2})
    rig.sender.answers[URL] = [OK, FAILS, OK, OK, FAILS]
    rig.sender.standing[URL] = FAILS
    await rig.send(*(event(n) for n in range(9)))
    await rig.turn()
    before = await sums(rig)

    await rig.by_hand(desk_of(rig).resume(None, webhook.id, skip=True))

    row = await sums(rig)
    assert (before.matching, before.waiting) == (9, 9 - before.delivered)
    assert 0 < before.delivered < 9
    assert (row.delivered, row.waiting) == (before.delivered, 0)
    assert row.skipped == before.waiting
    assert await open_ids(rig, webhook) == []


async def test_nothing_skipped_is_sent_afterwards(rig: Rig) -> None:
    webhook = await rig.webhook(**SINGLE)
    rig.sender.standing[URL] = FAILS
    await rig.send(*(event(n) for n in range(5)))
    await rig.turn()

    await rig.by_hand(desk_of(rig).resume(None, webhook.id, skip=True))
    rig.sender.standing[URL] = OK
    tried = len(rig.sender.got[URL])
    await rig.later(3600)
    await rig.send(event(9))
    await rig.turn()

    row = await sums(rig)
    assert len(rig.sender.got[URL]) == tried + 1
    assert (row.delivered, row.skipped, row.waiting) == (1, 5, 0)


@pytest.mark.parametrize("members", [{}, SINGLE], ids=["batch", "run"])
async def test_what_is_on_its_way_while_skipped_is_counted_once(
    rig: Rig, members: dict[str, str]
) -> None:
    webhook = await rig.webhook(**members)
    rig.sender.gate = asyncio.Event()
    await rig.send(event(1), event(2))
    rig.clock.advance(10)
    await rig.spin()
    assert rig.sender.at_once > 0

    acting = asyncio.ensure_future(desk_of(rig).resume(None, webhook.id, skip=True))
    await rig.spin()
    rig.sender.gate.set()
    await rig.by_hand(acting)
    await rig.turn()

    row = await sums(rig)
    assert (row.matching, row.waiting) == (2, 0)
    assert row.delivered + row.skipped == 2


async def test_a_skip_leaves_a_replay_alone(rig: Rig) -> None:
    webhook = await rig.webhook()
    desk = desk_of(rig)
    await rig.send(event(1))
    await rig.later(10)
    rig.sender.standing[URL] = FAILS
    await desk.create_replay(None, webhook.id, {})
    await rig.turn()

    await rig.by_hand(desk.resume(None, webhook.id, skip=True))

    assert len(await open_ids(rig, webhook)) == 1
    assert (await sums(rig)).skipped == 0


async def test_a_batch_is_split_by_hand_and_both_halves_arrive(rig: Rig) -> None:
    webhook = await rig.webhook(policy={"retry_waits_s": []})
    desk = desk_of(rig)
    rig.sender.answers[URL] = [FAILS]
    await rig.send(*(event(n) for n in range(5)))
    await rig.later(10)
    (parked,) = await rig.engine.ledger.open_batches()

    halves = await rig.by_hand(desk.split_batch(parked.id))
    await rig.turn()

    assert parked.state is BatchState.PARKED
    assert [half.count for half in halves] == [2, 3]
    assert {half.parent for half in halves} == {parked.id}
    assert [half.parked_at for half in halves] == [None, None]
    assert [len(body) for body in rig.bodies()] == [5, 2, 3]
    row = await sums(rig)
    assert (row.delivered, row.parked, row.split) == (5, 0, 1)
    assert await open_ids(rig, webhook) == []


async def test_a_replays_batch_is_split_among_the_events_that_it_holds(rig: Rig) -> None:
    webhook = await rig.webhook()
    desk = desk_of(rig)
    await rig.send(*(event(n, recipient=f"r{n % 2}@example.net") for n in range(8)))
    await rig.later(10)
    rig.sender.answers[URL] = [FAILS]
    await desk.create_replay(None, webhook.id, {"recipient": "r1@example.net"})
    await rig.turn()
    (batch,) = await rig.engine.ledger.open_batches()

    halves = await rig.by_hand(desk.split_batch(batch.id))
    await rig.turn()

    assert [half.count for half in halves] == [2, 2]
    assert [[each["event_id"] for each in body] for body in rig.bodies()[-2:]] == [
        ["e1", "e3"],
        ["e5", "e7"],
    ]
    assert await open_ids(rig, webhook) == []


async def test_what_cannot_be_split_is_refused(rig: Rig) -> None:
    webhook = await rig.webhook(policy={"retry_waits_s": []})
    desk = desk_of(rig)
    rig.sender.answers[URL] = [FAILS]
    await rig.send(event(1))
    await rig.later(10)
    (batch,) = await rig.engine.ledger.open_batches()

    with pytest.raises(Conflict):
        await rig.by_hand(desk.split_batch(batch.id))
    with pytest.raises(NotFound):
        await rig.by_hand(desk.split_batch("bat_none"))
    with pytest.raises(NotFound):
        await rig.by_hand(desk.split_batch(batch.id, account_id=webhook.account_id + 1))

    assert await open_ids(rig, webhook) == [batch.id]


async def test_a_retried_batch_is_not_parked_any_more(rig: Rig) -> None:
    await rig.webhook(policy={"retry_waits_s": []})
    rig.sender.standing[URL] = FAILS
    await rig.send(event(1))
    await rig.later(10)
    (batch,) = await rig.engine.ledger.open_batches()

    retried = await desk_of(rig).retry_batch(batch.id)

    assert batch.parked_at is not None
    assert (retried.state, retried.parked_at) == (BatchState.WAITING, None)


async def test_a_cancelled_replay_sends_nothing_more_and_its_batches_are_skipped(rig: Rig) -> None:
    webhook = await rig.webhook(policy={"max_events": 2})
    desk = desk_of(rig)
    await rig.send(*(event(n) for n in range(6)))
    await rig.later(10)
    rig.sender.standing[URL] = FAILS
    replay = await desk.create_replay(None, webhook.id, {})
    await rig.turn()
    tried = len(rig.sender.got[URL])

    cancelled = await rig.by_hand(desk.cancel_replay(None, replay.id))
    rig.sender.standing[URL] = OK
    await rig.later(3600)

    skipped = [
        entry
        for block in await rig.engine.journal.scan(0, 100)
        for entry in block.entries
        if entry.kind is EntryKind.SKIPPED
    ]
    assert cancelled.state is ReplayState.CANCELLED
    assert len(rig.sender.got[URL]) == tried
    assert await open_ids(rig, webhook) == []
    assert {entry.replay_id for entry in skipped} == {replay.id}
    assert (await sums(rig)).delivered == 6


async def test_cancelling_what_is_done_changes_nothing(rig: Rig) -> None:
    webhook = await rig.webhook()
    desk = desk_of(rig)
    await rig.send(event(1))
    await rig.later(10)
    replay = await desk.create_replay(None, webhook.id, {})
    await rig.turn()

    kept = await rig.by_hand(desk.cancel_replay(None, replay.id))

    assert kept.state is ReplayState.DONE
    with pytest.raises(NotFound):
        await rig.by_hand(desk.cancel_replay(webhook.account_id + 1, replay.id))


async def test_a_preview_yields_what_the_replay_sends(rig: Rig) -> None:
    webhook = await rig.webhook(types=None)
    desk = desk_of(rig)
    await rig.send(*(event(n, "open" if n % 3 else "click") for n in range(7)))
    await rig.later(10)
    form = {"types": ["open"], "recipient": "user4@example.net"}
    plan = await desk.plan_replay(None, webhook.id, form)

    found = [raw async for events in desk.preview_replay(plan) for raw, _, _ in events]

    assert [b'"e4"' in raw for raw in found] == [True]
    assert await rig.engine.ledger.replays() == []
