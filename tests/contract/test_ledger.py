"""Batches, replays and interventions: what is written is written together."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.body_limits import BodyLimit
from postbell.errors import IdTaken, NotFound
from postbell.events import EventType
from postbell.ports import Parked, QueueLengths
from postbell.records import (
    BatchState,
    Lane,
    LaneChange,
    Outcome,
    ReplayFilter,
    ReplayState,
    Verdict,
    WebhookState,
)
from tests.contract.making import Shop, span


async def test_a_lane_comes_back_as_it_was_recorded(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    now = shop.clock.now()
    lane = Lane(
        webhook_id=webhook.id,
        account_id=1,
        cursor=Position(3, 17),
        epoch=1,
        writes=1,
        failing_since=now,
        failures=3,
        last_success_at=now - timedelta(hours=1),
        hold_until=now + timedelta(microseconds=1),
        delivered=12,
        body_limit=BodyLimit(now - timedelta(hours=2), 305_000, 76_250),
    )

    stale = await shop.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=1, lane=replace(lane, epoch=77, writes=77))]
    )

    assert stale == []
    [claim] = await shop.engine.ledger.reload("w1", [webhook.id])
    assert claim.lane == lane


async def test_a_batch_never_takes_the_place_of_another_one_with_its_id(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    first = shop.batch(webhook, "b1", range=span(1, 3), body_hash=b"one", attempts=3)
    await shop.put(webhook, first)

    for other in (
        replace(first, range=span(3, 5)),
        replace(first, body_hash=b"two"),
        replace(first, revision=2),
        replace(first, replay_id=7),
    ):
        with pytest.raises(IdTaken, match="b1"):
            await shop.put(webhook, shop.batch(webhook, "b2", range=span(5, 6)), other)

    [claim] = await shop.engine.ledger.reload("w1", [webhook.id])
    assert claim.batches == [first]


async def test_a_batch_goes_on_under_its_id(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    first = shop.batch(webhook, "b1", range=span(1, 3))
    tried = replace(first, body_hash=b"one", attempts=1, last_status=503, count=first.count)

    await shop.put(webhook, first)
    await shop.put(webhook, tried)

    [claim] = await shop.engine.ledger.reload("w1", [webhook.id])
    assert claim.batches == [tried]


async def test_a_claim_brings_what_waits_and_a_count_of_what_is_parked(shop: Shop) -> None:
    webhook, other = await shop.webhook(), await shop.webhook()
    now = shop.clock.now()
    waiting = shop.batch(
        webhook,
        "b2",
        range=Range(Position(1, 5), Position(4, 2)),
        attempts=2,
        next_at=now + timedelta(seconds=5),
        last_status=503,
        last_error="timeout",
        body_hash=b"\x00\xff",
        done=b"\x05",
        replay_id=4,
    )
    parked = shop.batch(webhook, "b1", state=BatchState.PARKED, parked_at=now)
    await shop.claim()

    await shop.engine.ledger.record(
        [
            LaneChange(webhook_id=webhook.id, epoch=1, put=(waiting, parked)),
            LaneChange(webhook_id=other.id, epoch=1, put=(shop.batch(other, "b3"),)),
        ]
    )

    claim = await shop.engine.ledger.lane(webhook.id)
    assert claim is not None
    assert claim.batches == [waiting]
    assert claim.parked == Parked(1, parked.count)
    assert await shop.engine.ledger.batch("b2") == waiting
    assert await shop.engine.ledger.batch("b9") is None


async def test_a_queue_says_what_stands_on_a_lane(shop: Shop) -> None:
    webhook, idle = await shop.webhook(), await shop.webhook()
    await shop.webhook(account_id=2, account="bolt")
    await shop.claim()
    now = shop.clock.now()
    lane = Lane(
        webhook_id=webhook.id,
        account_id=1,
        cursor=Position(9, 1),
        failing_since=now,
        last_success_at=now - timedelta(days=1),
    )
    old, opened = range_of(3), {"opened_at": now - timedelta(hours=1)}
    batches = (
        shop.batch(webhook, "b1", range=range_of(5)),
        shop.batch(webhook, "b2", range=range_of(7)),
        shop.batch(webhook, "b3", range=old, **opened),
        shop.batch(webhook, "b4", range=range_of(4), opened_at=now),
        shop.batch(webhook, "b5", range=range_of(1), count=7, state=BatchState.PARKED),
        shop.batch(webhook, "b6", range=range_of(2), count=4, state=BatchState.PARKED),
    )

    await shop.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=1, lane=lane, put=batches)]
    )

    first, second = await shop.engine.ledger.queues(1)
    assert first == QueueLengths(
        webhook.id, Position(9, 1), now, 5, opened["opened_at"], 11, now - timedelta(days=1)
    )
    assert (second.webhook_id, second.first_block, second.opened_at) == (idle.id, None, None)
    assert len(await shop.engine.ledger.queues(2)) == 1
    assert await shop.engine.ledger.batch("b3") == batches[2]


def range_of(block: int) -> Range:
    return span(block, block + 1)


async def test_a_batch_is_replaced_and_dropped(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    record = shop.engine.ledger.record
    first, second = shop.batch(webhook, "b1"), shop.batch(webhook, "b2")
    await record([LaneChange(webhook_id=webhook.id, epoch=1, put=(first, second))])

    tried = replace(first, attempts=1)
    await record([LaneChange(webhook_id=webhook.id, epoch=1, put=(tried,), drop=("b2",))])

    assert await shop.engine.ledger.open_batches() == [tried]


async def test_no_webhook_drops_the_batch_of_another(shop: Shop) -> None:
    webhook, other = await shop.webhook(), await shop.webhook()
    await shop.claim()
    batch = shop.batch(webhook, "b1")
    await shop.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=1, put=(batch,))])

    await shop.engine.ledger.record([LaneChange(webhook_id=other.id, epoch=1, drop=("b1",))])

    assert await shop.engine.ledger.batch("b1") == batch


async def test_a_stale_change_does_not_stop_the_others(shop: Shop) -> None:
    webhooks = [await shop.webhook() for _ in range(3)]
    await shop.claim()

    stale = await shop.engine.ledger.record(
        [
            LaneChange(
                webhook_id=webhook.id,
                epoch=epoch,
                put=(shop.batch(webhook, f"b{webhook.id}"),),
                entries=(shop.entry(webhook, f"b{webhook.id}"),),
            )
            for webhook, epoch in zip(webhooks, (1, 7, 1), strict=True)
        ]
    )

    assert stale == [webhooks[1].id]
    open_ids = [batch.webhook_id for batch in await shop.engine.ledger.open_batches()]
    written = [e.webhook_id for b in await shop.engine.journal.scan(0, 9) for e in b.entries]
    assert open_ids == [webhooks[0].id, webhooks[2].id]
    assert written == [webhooks[0].id, webhooks[2].id]


async def test_open_batches_are_paged_and_chosen_by_owner(shop: Shop) -> None:
    mine, also_mine, theirs = [await shop.webhook(account_id=a) for a in (1, 1, 2)]
    await shop.claim()
    await shop.engine.ledger.record(
        [
            LaneChange(
                webhook_id=w.id, epoch=1, put=tuple(shop.batch(w, f"{n}-{w.id}") for n in (1, 2))
            )
            for w in (mine, also_mine, theirs)
        ]
    )
    open_batches = shop.engine.ledger.open_batches

    everything = [batch.id for batch in await open_batches()]
    pages = [[b.id for b in await open_batches(after=after, limit=2)] for after in ("", "1-2")]

    assert everything == ["1-1", "1-2", "1-3", "2-1", "2-2", "2-3"]
    assert pages == [["1-1", "1-2"], ["1-3", "2-1"]]
    assert [b.id for b in await open_batches(account_id=1)] == ["1-1", "1-2", "2-1", "2-2"]
    assert [b.id for b in await open_batches(webhook_id=mine.id, after="1-1")] == ["2-1"]
    assert await open_batches(webhook_id=mine.id, account_id=2) == []


async def test_a_pause_is_recorded_with_the_attempt_and_seen_by_others(shop: Shop) -> None:
    webhook, other = await shop.webhook(), await shop.webhook()
    await shop.claim()
    version = await shop.engine.registry.version()

    await shop.engine.ledger.record(
        [
            LaneChange(
                webhook_id=webhook.id, epoch=1, entries=(shop.entry(webhook),), pause="gone (410)"
            )
        ]
    )

    [changed] = await shop.engine.registry.webhooks(changed_after=version)
    assert (changed.id, changed.state, changed.state_reason) == (
        webhook.id,
        WebhookState.PAUSED,
        "gone (410)",
    )
    assert await shop.engine.registry.webhook(other.id) == other


async def test_an_intervention_fences_off_who_holds_the_lane(shop: Shop) -> None:
    webhook = await shop.webhook()
    [claim] = await shop.claim()
    version = await shop.engine.registry.version()
    batch = shop.batch(webhook, "b1")

    is_done = await shop.engine.ledger.intervene(
        LaneChange(webhook_id=webhook.id, epoch=1, put=(batch,), entries=(shop.entry(webhook),))
    )

    assert is_done
    stale = await shop.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=1, lane=claim.lane, drop=("b1",))]
    )
    [reloaded] = await shop.engine.ledger.reload("w1", [webhook.id])
    changed = await shop.engine.registry.webhooks(changed_after=version)
    assert stale == [webhook.id]
    assert (reloaded.lane.epoch, reloaded.batches) == (2, [batch])
    assert [w.id for w in changed] == [webhook.id]
    assert len(await shop.engine.journal.scan(0, 10)) == 1


async def test_an_intervention_under_a_stale_epoch_writes_nothing(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    version = await shop.engine.registry.version()

    is_done = await shop.engine.ledger.intervene(
        LaneChange(webhook_id=webhook.id, epoch=0, put=(shop.batch(webhook, "b1"),))
    )

    assert not is_done
    assert await shop.engine.ledger.open_batches() == []
    assert await shop.engine.registry.version() == version


async def test_an_intervention_made_of_what_was_overwritten_since_writes_nothing(
    shop: Shop,
) -> None:
    webhook = await shop.webhook()
    [claim] = await shop.claim()
    moved = replace(claim.lane, cursor=Position(3, 0))
    await shop.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=1, lane=moved, drop=("b1",))]
    )
    old = LaneChange(webhook_id=webhook.id, epoch=1, writes=claim.lane.writes, lane=claim.lane)

    is_done = await shop.engine.ledger.intervene(old)

    lane = (await shop.engine.ledger.lane(webhook.id)).lane
    assert (is_done, lane.cursor, lane.epoch) == (False, Position(3, 0), 1)
    assert await shop.engine.ledger.intervene(replace(old, writes=lane.writes))


async def test_a_replay_gets_an_id_and_interrupts_its_lane(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    version = await shop.engine.registry.version()
    given = shop.replay(
        webhook,
        ranges=(span(1, 3), Range(Position(5, 1), Position(5, 2))),
        filter=ReplayFilter(types=(EventType.OPEN,), recipient="a@b.example", message="m1"),
        rate_per_s=2.5,
    )

    replay = await shop.engine.ledger.add_replay(given)

    [claim] = await shop.engine.ledger.reload("w1", [webhook.id])
    changed = await shop.engine.registry.webhooks(changed_after=version)
    assert replay == replace(given, id=replay.id)
    assert replay.id > 0
    assert claim.replays == [replay]
    assert claim.lane.epoch == 2
    assert [w.id for w in changed] == [webhook.id]


async def test_a_finished_replay_is_listed_but_not_claimed(shop: Shop) -> None:
    webhook = await shop.webhook()
    replay = await shop.engine.ledger.add_replay(shop.replay(webhook))
    [claim] = await shop.claim()
    done = replace(replay, state=ReplayState.DONE, position=Position(5, 0), events=9)

    await shop.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, replay=done)]
    )

    [reloaded] = await shop.engine.ledger.reload("w1", [webhook.id])
    assert reloaded.replays == []
    assert await shop.engine.ledger.replays() == [done]


async def test_replays_are_listed_newest_first_and_by_account(shop: Shop) -> None:
    mine, theirs = await shop.webhook(), await shop.webhook(account_id=2)
    add = shop.engine.ledger.add_replay
    made = [await add(shop.replay(webhook)) for webhook in (mine, theirs, mine)]

    assert await shop.engine.ledger.replays() == made[::-1]
    assert await shop.engine.ledger.replays(limit=1) == made[2:]
    assert await shop.engine.ledger.replays(1) == [made[2], made[0]]
    assert await shop.engine.ledger.replays(2) == [made[1]]


async def test_replays_are_found_one_by_one_and_paged_by_webhook(shop: Shop) -> None:
    one, other = await shop.webhook(), await shop.webhook()
    ledger = shop.engine.ledger
    made = [await ledger.add_replay(shop.replay(webhook)) for webhook in (one, other, one, one)]

    assert await ledger.replay(made[2].id) == made[2]
    assert await ledger.replay(99) is None
    assert await ledger.replays(webhook_id=one.id) == [made[3], made[2], made[0]]
    assert await ledger.replays(1, 1, webhook_id=one.id, before=made[3].id) == [made[2]]
    assert await ledger.replays(before=made[1].id) == [made[0]]
    assert await ledger.replays(2, webhook_id=one.id) == []


async def test_no_account_replays_into_the_webhook_of_another(shop: Shop) -> None:
    webhook = await shop.webhook()

    with pytest.raises(NotFound):
        await shop.engine.ledger.add_replay(shop.replay(webhook, account_id=2))
    with pytest.raises(NotFound):
        await shop.engine.ledger.add_replay(shop.replay(webhook, webhook_id=99))

    assert await shop.engine.ledger.replays() == []


async def test_an_entry_comes_back_as_it_was_recorded(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    entry = shop.entry(
        webhook,
        attempt=3,
        delivered=2,
        verdict=Verdict.RETRY,
        next_at=shop.clock.now() + timedelta(seconds=30),
        outcome=Outcome(
            status=503,
            error="timeout",
            detail="after 15 s",
            retry_after_s=7.5,
            phases_ms=(0.1, 2.0),
            headers=(("server", "x"),),
            body=b"\xff\x00no",
            peer="192.0.2.1:443",
        ),
        body_bytes=1234,
        done=b"\x03",
        replay_id=5,
        note="kept",
    )

    await shop.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=1, entries=(entry,))])

    [block] = await shop.engine.journal.scan(0, 10)
    assert block.entries == [entry]


async def test_a_snapshot_is_a_lane_with_the_journals_end(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    before = await shop.engine.ledger.snapshot(webhook.id)
    batch = shop.batch(webhook, "b1")

    await shop.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=1, put=(batch,), entries=(shop.entry(webhook),))]
    )

    after = await shop.engine.ledger.snapshot(webhook.id)
    [block] = await shop.engine.journal.scan(0, 10)
    assert before is not None and before[1] == 0
    assert after is not None and after[0].left_s <= before[0].left_s
    lane, left_s = replace(before[0].lane, writes=1), after[0].left_s
    assert after == (before[0]._replace(lane=lane, batches=[batch], left_s=left_s), block.id)
    assert await shop.engine.ledger.snapshot(99) is None
