"""What retention drops is counted, and is told of before."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from postbell import signals
from postbell.blocks import Position, Range
from postbell.ports import Fact, Progress, RefusedFact
from postbell.records import (
    BatchState,
    LaneChange,
    Outcome,
    Replay,
    ReplayFilter,
    WebhookState,
)
from tests.delivery.rig import Rig, event, running
from tests.fakes import drop
from tests.reports.test_sources import standing

URL = "https://a.example/hook"
DOWN = Outcome(status=503)
DAY_S = 86_400

Told = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def told() -> Iterator[Told]:
    """Give the lines of the log that have a name."""
    lines: dict[str, list[dict[str, Any]]] = {"events_expiring": [], "events_expired": []}
    with contextlib.ExitStack() as stack:
        for name, of_name in lines.items():
            stack.enter_context(signals.heard(name, of_name.append))
        yield lambda name: list(lines[name])


async def sweep(rig: Rig) -> None:
    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))


async def expiries(rig: Rig) -> list[tuple[int, int, int | None]]:
    """Return (revision, events, replay) of every expiry in the journal."""
    blocks = await rig.engine.journal.scan(0, 1000)
    entries = [entry for block in blocks for entry in block.entries]
    return [(e.revision, e.count, e.replay_id) for e in entries if e.kind == "expired"]


async def test_a_notice_comes_three_days_before_waiting_events_are_dropped(told: Told) -> None:
    async with running(retention_days=30) as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [604_800] * 9})
        rig.sender.standing[URL] = DOWN
        begun = rig.clock.now()
        await rig.send(event(0), event(1))
        await rig.turn()

        rig.clock.advance(27 * DAY_S - 60)
        await sweep(rig)
        early = told("events_expiring")
        rig.clock.advance(660)
        await sweep(rig)

        assert early == []
        (notice,) = told("events_expiring")
        assert (notice["webhook_id"], notice["events"]) == (webhook.id, 2)
        assert notice["at"] == begun + timedelta(days=30)


async def test_a_batch_that_loses_no_event_keeps_its_id() -> None:
    async with running(retention_days=30) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [604_800] * 9})
        await rig.send(event(0))
        await rig.turn()
        await rig.later(DAY_S)
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(1))
        await rig.turn()
        (before,) = await rig.engine.ledger.open_batches()

        rig.clock.advance(29 * DAY_S + 60)
        await sweep(rig)
        await rig.turn()

        assert len(await rig.engine.log.tail(0, 9)) == 1
        assert rig.ids()[1:] == [before.id, before.id]
        assert (await expiries(rig), (await rig.audit()).problems) == ([], [])


async def test_a_notice_counts_what_is_parked_and_what_is_not_cut_yet(told: Told) -> None:
    async with running(retention_days=30) as rig:
        policy = {"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 40}
        webhook = await rig.webhook(policy=policy)
        rig.sender.standing[URL] = DOWN
        await rig.send(event(0), event(1))
        await rig.turn()
        paused = replace(webhook, state=WebhookState.PAUSED, state_reason="customer")
        await rig.engine.registry.set_webhook(paused)
        await rig.send(event(2), event(3), event(4))
        await rig.turn()

        rig.clock.advance(28 * DAY_S)
        await sweep(rig)

        assert [notice["events"] for notice in told("events_expiring")] == [5]


async def test_a_notice_comes_once_a_day(told: Told) -> None:
    async with running(retention_days=30) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 40})
        rig.sender.standing[URL] = DOWN
        await rig.send(event(0))
        await rig.turn()

        rig.clock.advance(27.5 * DAY_S)
        for _ in range(47):
            await sweep(rig)
            rig.clock.advance(3600)

        assert len(told("events_expiring")) == 2


async def test_nothing_is_told_of_what_was_delivered_or_does_not_match(told: Told) -> None:
    async with running(retention_days=30) as rig:
        await rig.webhook(policy={"max_wait_s": 0})
        await rig.webhook("https://b.example/", types=("click",), policy={"max_wait_s": 0})
        await rig.send(event(0))
        await rig.turn()

        rig.clock.advance(29 * DAY_S)
        await sweep(rig)

        assert told("events_expiring") == []


async def test_a_short_retention_gives_notice_in_its_last_quarter(told: Told) -> None:
    async with running(retention_days=4) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 40})
        rig.sender.standing[URL] = DOWN
        await rig.send(event(0))
        await rig.turn()

        rig.clock.advance(2.9 * DAY_S)
        await sweep(rig)
        early = told("events_expiring")
        rig.clock.advance(0.2 * DAY_S)
        await sweep(rig)

        assert early == []
        assert len(told("events_expiring")) == 1


async def test_a_parked_replay_that_ends_does_not_count_as_the_original() -> None:
    async with running() as rig:
        webhook = await rig.webhook(
            policy={"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 2}
        )
        await rig.send(event(0))
        await rig.turn()
        rig.sender.standing[URL] = DOWN
        replay = await rig.engine.ledger.add_replay(
            Replay(
                id=0,
                account_id=webhook.account_id,
                webhook_id=webhook.id,
                revision=1,
                ranges=(Range(Position(0, 0), Position(9, 0)),),
                filter=ReplayFilter(),
                created_at=rig.clock.now(),
            )
        )
        await rig.turn()

        rig.clock.advance(3 * DAY_S)
        await sweep(rig)

        assert await expiries(rig) == [(1, 1, replay.id)]
        found = await rig.audit()
        assert (found.rows[0].delivered, found.rows[0].expired, found.problems) == (1, 0, [])


async def test_what_expires_uncut_is_counted_for_each_revision() -> None:
    async with running(retention_days=1) as rig:
        webhook = await rig.webhook(types=("delivered",), policy={"max_wait_s": 0})
        registry = rig.engine.registry
        paused = replace(webhook, state=WebhookState.PAUSED, state_reason="customer")
        await registry.set_webhook(paused)
        await rig.send(event(0), event(1, "open"))
        await registry.set_webhook(replace(paused, types=("open",)))
        await rig.send(event(2), event(3, "open"), event(4, "open"))
        await rig.turn()
        rig.clock.advance(2 * DAY_S)
        await rig.send(event(5, "open"))
        await rig.turn()

        await sweep(rig)

        assert await expiries(rig) == [(1, 1, None), (2, 2, None)]
        found = await rig.audit()
        assert [row.waiting for row in found.rows] == [0, 1]
        assert found.problems == []


async def test_a_batch_that_loses_its_first_events_is_cut_anew_with_the_rest() -> None:
    async with running(retention_days=2) as rig:
        policy = {"max_wait_s": 3600, "max_events": 4, "retry_waits_s": [604_800]}
        await rig.webhook(policy=policy)
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(0), event(1))
        await rig.turn()
        rig.clock.advance(1000)
        await rig.send(event(2), event(3))
        await rig.turn()

        rig.clock.advance(2 * DAY_S - 500)
        await sweep(rig)

        assert await expiries(rig) == [(1, 2, None)]
        (left,) = await rig.engine.ledger.open_batches()
        assert left.count == 2
        assert (await rig.audit()).problems == []
        await rig.later(604_800)
        assert [e["event_id"] for e in rig.bodies()[-1]] == ["e2", "e3"]


async def test_a_parked_batch_that_was_tried_again_meanwhile_does_not_expire() -> None:
    async with running() as rig:
        webhook = await rig.webhook(
            policy={"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 2}
        )
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(0))
        await rig.turn()
        rig.clock.advance(3 * DAY_S)
        pruner, held = rig.worker.pruner, rig.worker.lanes[webhook.id]
        (listed,) = await rig.engine.ledger.open_batches()
        await resume(rig, webhook.id)
        await rig.turn()

        await pruner.end_parked(held, listed, rig.clock.now())

        assert await expiries(rig) == []
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (1, [])


async def resume(rig: Rig, webhook_id: int) -> None:
    """Open the webhook's parked batches again, as the desk does."""
    claim = await rig.engine.ledger.lane(webhook_id)
    assert claim is not None
    put = tuple(
        replace(batch, state=BatchState.WAITING, attempts=0, next_at=rig.clock.now())
        for batch in await rig.engine.ledger.open_batches(webhook_id=webhook_id)
    )
    change = LaneChange(webhook_id=webhook_id, epoch=claim.lane.epoch, lane=claim.lane, put=put)
    assert await rig.engine.ledger.intervene(change)


async def test_single_events_that_hang_while_retention_passes_do_not_stop_the_webhook() -> None:
    async with running(retention_days=1) as rig:
        await rig.webhook(dialect="engagelab", policy={"concurrency": 1})
        rig.sender.gate = asyncio.Event()
        await rig.send(*[event(n) for n in range(3)])
        await rig.spin()
        rig.clock.advance(2 * DAY_S)

        await sweep(rig)
        rig.sender.gate.set()
        rig.sender.gate = None
        await rig.turn()
        await rig.send(event(9))
        await rig.turn()

        assert [body["to"] for body in rig.bodies()][-1] == "user9@example.net"
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (1, [])


async def test_what_is_left_of_a_run_goes_on_after_its_first_events_were_dropped() -> None:
    async with running(retention_days=30) as rig:
        await rig.webhook(dialect="engagelab", policy={"rate_per_s": 1, "max_wait_s": 10})
        for number in range(10):
            await rig.send(event(number))
        await rig.turn()
        for seconds in (10, 1, 1):
            await rig.later(seconds)
        assert [body["to"] for body in rig.bodies()] == [f"user{n}@example.net" for n in range(3)]

        for task in list(rig.worker.begun):
            task.cancel()
        await drop(rig.engine, 6)
        rig.clock.advance(61)
        rig.worker = rig.new_worker("w2")
        rig.worker.tasks = rig.tasks
        await rig.worker.claim()
        for _ in range(7):
            await rig.later(1)

        again = [body["to"] for body in rig.bodies()[3:]]
        assert again == [f"user{n}@example.net" for n in range(5, 10)]
        assert await expiries(rig) == [(1, 2, None)]
        assert await rig.engine.ledger.open_batches() == []
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (5, [])


async def test_a_clock_that_was_wrong_does_not_part_the_journal_from_the_log() -> None:
    """Blocks never go back in time, entries do: they are dropped with the blocks."""
    async with running(retention_days=1) as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [10]})
        await rig.send(event(0))
        await rig.turn()
        rig.clock.advance(2 * DAY_S)
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(1))
        await rig.turn()
        rig.clock.advance(-9 * DAY_S)
        await resume(rig, webhook.id)
        await rig.turn()
        rig.clock.advance(9 * DAY_S)

        await sweep(rig)

        found = await rig.audit()
        assert (found.blocks, found.rows[0].delivered, found.problems) == (1, 1, [])
        rig.clock.advance(2 * DAY_S)
        await sweep(rig)
        assert await rig.engine.journal.scan(0, 10) == []


async def test_what_sources_did_not_understand_goes_with_the_events_of_its_time() -> None:
    async with running(retention_days=30) as rig:
        await refuse(rig, "old")
        rig.clock.advance(20 * DAY_S)
        await refuse(rig, "new")
        await sweep(rig)
        before = await refused(rig)
        rig.clock.advance(11 * DAY_S)
        await sweep(rig)

        assert (before, await refused(rig)) == (["new", "old"], ["new"])


async def refuse(rig: Rig, place: str) -> None:
    checkpoints, now = rig.engine.checkpoints, rig.clock.now()
    revisions = await checkpoints.tell({"mail": standing(rig.clock)})
    facts = [RefusedFact(Fact(place, b"no event"), "malformed", "no JSON")]
    progress = [Progress("mail", revisions["mail"], b"", quarantine=facts)]
    head = await rig.engine.log.head()
    await rig.engine.log.append([], [], head=head, now=now, progress=progress)


async def refused(rig: Rig) -> list[str]:
    return [fact.place for fact in await rig.engine.quarantine.page("mail", None, 10)]
