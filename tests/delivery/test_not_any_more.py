"""What was taken up and waits, for its turn or a connection, goes out only where it still may."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from postbell.blocks import Position, Range
from postbell.delivery import settle
from postbell.records import LaneChange, Outcome, Replay, ReplayFilter, Webhook
from tests.delivery.rig import OK, Rig, event, running
from tests.delivery.test_closed_meanwhile import begun, desk_of
from tests.delivery.test_hands import NOW, rest

URL = "https://a.example/hook"
BUSY = Outcome(error="busy")
DOWN = Outcome(status=503)
POLICIES = {"batch": {}, "single": {"max_events": 1}, "ordered": {"ordered": True}}


async def waiting(rig: Rig, **policy: Any) -> Webhook:
    """Return a webhook of which one request waits for a connection."""
    webhook = await rig.webhook(policy={**NOW, "concurrency": 1, **policy})
    rig.sender.answers[URL] = [BUSY]
    await rig.send(event(0), event(1))
    await rig.spin()
    assert len(rig.sender.got[URL]) == 1
    return webhook


@pytest.mark.parametrize("kind", POLICIES)
async def test_what_waits_for_a_connection_is_not_sent_once_its_webhook_is_paused(
    kind: str,
) -> None:
    async with running() as rig:
        webhook = await waiting(rig, **POLICIES[kind])
        desk = desk_of(rig)

        await desk.pause(None, webhook.id)
        await rest(rig)
        while_paused = len(rig.sender.got[URL])
        await desk.resume(None, webhook.id)
        await rig.turn()

        assert while_paused == 1
        assert [e["event_id"] for body in rig.bodies()[1:] for e in body] == ["e0", "e1"]
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (2, [])


async def test_a_replay_that_waits_for_a_connection_is_not_sent_once_its_webhook_is_paused() -> (
    None
):
    async with running() as rig:
        webhook = await rig.webhook(policy=NOW)
        await rig.send(event(0))
        await rig.turn()
        rig.sender.answers[URL] = [BUSY]
        await rig.engine.ledger.add_replay(
            Replay(
                id=0,
                account_id=rig.account.id,
                webhook_id=webhook.id,
                revision=1,
                ranges=(Range(Position(0, 0), Position(99, 0)),),
                filter=ReplayFilter(),
                created_at=rig.clock.now(),
            )
        )
        await rig.directory.refresh()
        await rig.spin()
        assert len(rig.sender.got[URL]) == 2

        await desk_of(rig).pause(None, webhook.id)
        await rest(rig)
        assert len(rig.sender.got[URL]) == 2
        await desk_of(rig).resume(None, webhook.id)
        await rig.turn()

        assert [e["event_id"] for e in rig.bodies()[-1]] == ["e0"]
        assert len(rig.sender.got[URL]) == 3


async def test_what_waits_for_a_connection_leaves_the_receiver_the_time_it_asked_for() -> None:
    async with running() as rig:
        policy = {**NOW, "max_events": 2, "concurrency": 2, "retry_waits_s": [5, 5]}
        await rig.webhook(policy=policy)
        rig.sender.answers[URL] = [BUSY, Outcome(status=429, retry_after_s=300)]
        await rig.send(*[event(n) for n in range(4)])
        await rig.spin()
        assert len(rig.sender.got[URL]) == 2

        await rest(rig)
        before = len(rig.sender.got[URL])
        await rig.later(301)
        await rig.later(60)

        assert before == 2
        assert (await rig.audit()).rows[0].delivered == 4


@pytest.mark.parametrize("kind", POLICIES)
async def test_who_wants_to_skip_all_waits_for_nothing_that_waits_for_a_connection(
    kind: str,
) -> None:
    async with running() as rig:
        webhook = await waiting(rig, **POLICIES[kind])
        rig.sender.standing[URL] = BUSY

        acting = await begun(rig, desk_of(rig).resume(None, webhook.id, skip=True))
        await rest(rig)
        await rig.by_hand(acting)

        found = await rig.audit()
        assert (found.rows[0].skipped, found.problems) == (2, [])


async def test_a_batch_that_somebody_splits_waits_for_no_connection() -> None:
    async with running() as rig:
        webhook = await waiting(rig)
        rig.sender.standing[URL] = BUSY
        (batch,) = await rig.engine.ledger.open_batches(webhook_id=webhook.id)

        acting = await begun(rig, desk_of(rig).split_batch(batch.id))
        await rest(rig)
        await rig.by_hand(acting)
        rig.sender.standing[URL] = OK
        await rest(rig)
        await rig.turn()

        assert [len(body) for body in rig.bodies()[-2:]] == [1, 1]


async def test_a_success_ends_the_outage_whatever_became_of_its_batch() -> None:
    """Its receiver takes events again: what waits for a retry of its own is due."""
    async with running() as rig:
        policy = {**NOW, "max_events": 2, "concurrency": 1, "retry_waits_s": [60, 86_400]}
        webhook = await rig.webhook(policy=policy)
        rig.sender.standing[URL] = DOWN
        await rig.send(*[event(n) for n in range(4)])
        await rig.turn()
        await rig.later(61)
        await rig.later(61)
        opened = await rig.engine.ledger.open_batches(webhook_id=webhook.id)
        first, second = sorted(opened, key=lambda batch: batch.range.start)
        assert second.next_at is not None
        assert second.next_at - rig.clock.now() > timedelta(hours=12)
        rig.sender.standing[URL] = OK
        rig.sender.gate = asyncio.Event()
        desk = desk_of(rig)
        await desk.retry_batch(first.id)
        await rig.spin()
        lane = (await rig.engine.ledger.lane(webhook.id)).lane
        gone = LaneChange(webhook_id=webhook.id, epoch=lane.epoch, drop=(first.id,))
        assert await rig.engine.ledger.intervene(gone)

        rig.sender.gate.set()
        await rig.turn()

        assert [e["event_id"] for e in rig.bodies()[-1]] == ["e2", "e3"]


async def test_what_cannot_be_built_of_one_lane_keeps_no_other_from_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        one = await rig.webhook(URL, policy=NOW)
        await rig.webhook("https://b.example/hook", policy=NOW)
        await rig.turn()
        real = settle.together

        def together(late: Any, lane: Any, *build: Any) -> Any:
            if lane.webhook_id == one.id and late:
                raise KeyError("an error of ours")
            return real(late, lane, *build)

        monkeypatch.setattr(settle, "together", together)
        await rig.send(event(0))
        await rest(rig, 20)

        rows = {row.webhook_id: row.delivered for row in (await rig.audit()).rows}
        stored = await rig.engine.registry.webhook(one.id)
        assert rows == {one.id: 0, one.id + 1: 1}
        assert stored is not None
        assert stored.state_reason == "internal_error"


async def test_a_lane_that_was_lost_and_is_claimed_again_is_read_before_anything_is_written() -> (
    None
):
    async with running() as rig:
        webhook = await rig.webhook(policy={**NOW, "retry_waits_s": [60]})
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(0))
        await rig.turn()
        rig.clock.advance(120)
        (claim,) = await rig.engine.ledger.claim("w2", 9, lease_s=60)
        ids, epoch = (claim.batches[0].id,), claim.lane.epoch
        closed = LaneChange(webhook_id=webhook.id, epoch=epoch, drop=ids)
        assert await rig.engine.ledger.record([closed]) == []
        await rig.engine.ledger.release("w2")

        await rig.worker.claim()
        await rig.turn()

        assert len(rig.bodies()) == 1
        assert len(rig.worker.lanes[webhook.id].slots) == 0
