"""A lane that is given up for an error of ours is paused, and goes on once somebody resumes it; and
what is under way is nobody else's to lay down, to send or to begin beside."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.delivery import singles
from postbell.delivery.courier import Courier
from postbell.errors import IdTaken
from postbell.records import Outcome, WebhookState
from tests.delivery.rig import event, running
from tests.delivery.test_closed_meanwhile import desk_of
from tests.delivery.test_hands import DAY_S, DOWN, NOW, Slow, rest, state, sweep
from tests.delivery.test_left_over import OTHER, URL, two


async def test_a_taken_id_of_a_single_that_is_saved_later_ends_no_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        one = await rig.webhook(URL, policy={**NOW, "max_events": 1}, types=("open",))
        await rig.webhook(OTHER, policy=NOW, types=("delivered",))
        await rig.turn()
        ledger, real = rig.engine.ledger, rig.engine.ledger.record

        async def record(found: Any) -> Any:
            if any(c.webhook_id == one.id and c.put for c in found):
                raise IdTaken("a bug of ours, never a race")
            return await real(found)

        monkeypatch.setattr(ledger, "record", record)
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(1, "open"))
        await rest(rig, 20)
        await rig.send(event(2))
        await rest(rig, 20)

        stored = await rig.engine.registry.webhook(one.id)
        assert len(rig.bodies(OTHER)) == 1
        assert stored is not None
        assert (stored.state, stored.state_reason) == (WebhookState.PAUSED, "internal_error")


async def test_a_taken_id_of_what_retention_cuts_anew_ends_no_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(retention_days=1) as rig:
        await rig.webhook(policy={"max_wait_s": DAY_S, "max_events": 5, "retry_waits_s": []})
        await rig.send(event(0), event(1))
        await rig.later(DAY_S / 2)
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(2), event(3), event(4))
        await rig.turn()
        rig.clock.advance(0.75 * DAY_S)
        ledger, real = rig.engine.ledger, rig.engine.ledger.record

        async def record(found: Any) -> Any:
            if any(change.put for change in found):
                raise IdTaken("a bug of ours, never a race")
            return await real(found)

        monkeypatch.setattr(ledger, "record", record)
        await sweep(rig)  # as the housekeeping does, whose end is the worker's


async def test_a_probe_that_fails_makes_nothing_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(singles, "SAVE_AFTER_S", 1000)
    async with running() as rig:
        policy = {**NOW, "max_events": 1, "concurrency": 4, "retry_waits_s": [500, 500, 500]}
        webhook = await rig.webhook(URL, policy=policy)
        rig.sender.standing[URL] = DOWN
        await rig.send(*[event(number) for number in range(5)])
        await rest(rig, 10)
        held = rig.worker.lanes[webhook.id]
        assert all(run.is_done for run in held.runs)
        first = min(b.next_at for b in held.slots.waiting() if b.next_at)
        rig.clock.advance((first - rig.clock.now()).total_seconds() - 1)
        await rig.send(event(9))
        await rig.spin(30)  # the probe fails: it left its run, which is not saved
        sent = Counter(rig.ids())
        mine = rig.ids()[-1]
        assert [b.id for run in held.runs for b in run.leavers] == [mine]
        rig.clock.advance(2)
        await rig.spin(30)  # a retry fails
        assert len(rig.ids()) > sum(sent.values())
        await rest(rig, 30)
        await rig.turn()

        assert Counter(rig.ids())[mine] == 1


async def test_a_lane_that_could_not_be_written_once_goes_on_or_is_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        one, _ = await two(rig)
        ledger, real, failed = rig.engine.ledger, rig.engine.ledger.record, []

        async def record(found: Any) -> Any:
            if any(change.webhook_id == one.id for change in found) and not failed:
                failed.append(1)
                raise ValueError("an error of ours, once")
            return await real(found)

        monkeypatch.setattr(ledger, "record", record)
        await rig.send(event(1, "open"))
        await rest(rig)
        stored = await rig.engine.registry.webhook(one.id)
        assert failed
        assert stored is not None
        is_told = stored.state is WebhookState.PAUSED
        desk = desk_of(rig)
        await desk.pause(rig.account.id, one.id)
        await rest(rig)
        await desk.resume(rig.account.id, one.id)
        await rest(rig)
        for _ in range(5):
            rig.clock.advance(20)  # the housekeeping, for longer than a lease
            await ledger.renew("w1", lease_s=60)
            await rig.worker.claim()
            await rest(rig, 2)
        await rig.send(event(2, "open"))
        await rest(rig)

        assert (is_told, len(rig.bodies(URL)) > 0) == (True, True)


async def test_what_retention_lets_go_of_is_not_taken_from_who_cut_it_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(retention_days=1) as rig:
        await rig.webhook(policy={**NOW, "concurrency": 4})
        await rig.turn()
        await rig.send(event(1))
        rig.clock.advance(2 * DAY_S)  # the worker was held up
        await rig.send(event(2))
        ledger, real = rig.engine.ledger, rig.engine.ledger.record
        seen, go = asyncio.Event(), asyncio.Event()

        async def record(found: Any) -> Any:
            stale = await real(found)
            if any(change.put for change in found) and not seen.is_set():
                seen.set()
                await go.wait()  # a writer's thread is done before the loop hears of it
            return stale

        monkeypatch.setattr(ledger, "record", record)
        slow = Slow(rig, monkeypatch)
        slow.changed = lambda found: replace(found, last_error="written meanwhile")
        await rig.spin(20)
        assert seen.is_set()
        sweeping = asyncio.create_task(sweep(rig))
        for _ in range(100):
            await asyncio.sleep(0)
        rig.sender.gate = asyncio.Event()
        go.set()
        await rig.spin(30)
        sent = len(rig.ids())
        slow.answer.set()
        await rig.spin(30)
        await asyncio.wait_for(sweeping, 5)
        await rig.spin(30)
        at_once = Counter(rig.ids())
        rig.sender.gate.set()
        await rest(rig, 20)

        assert sent >= 1
        assert max(at_once.values()) == 1
        assert await state(rig) is WebhookState.ACTIVE


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_nothing_is_sent_to_a_webhook_that_was_deleted_or_paused_while_a_body_was_read(
    monkeypatch: pytest.MonkeyPatch, is_deleted: bool
) -> None:
    async with running() as rig:
        webhook = await rig.webhook(URL, policy={**NOW, "retry_waits_s": [5, 5]})
        await rig.turn()
        rig.sender.answers[URL] = [Outcome(status=500)]
        await rig.send(event(1))
        await rig.turn()
        assert len(rig.ids()) == 1
        real, asked, go = Courier.rendered_again, asyncio.Event(), asyncio.Event()

        async def slow(*args: Any) -> Any:
            made = await real(*args)
            asked.set()
            await go.wait()
            return made

        monkeypatch.setattr(Courier, "rendered_again", slow)
        rig.clock.advance(10)
        await rig.spin(20)
        assert asked.is_set()
        if is_deleted:
            await rig.engine.registry.delete_webhook(webhook.id, rig.clock.now())
        else:
            await desk_of(rig).pause(rig.account.id, webhook.id)
        await rig.spin(20)
        assert (webhook.id not in rig.worker.lanes) is is_deleted
        go.set()
        await rest(rig)

        assert len(rig.ids()) == 1


async def test_a_lane_that_could_not_be_written_keeps_no_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(retention_days=1) as rig:
        one, _ = await two(rig)
        ledger, real, failed = rig.engine.ledger, rig.engine.ledger.record, []

        async def record(found: Any) -> Any:
            if any(change.webhook_id == one.id for change in found) and not failed:
                failed.append(1)
                raise ValueError("an error of ours, once")
            return await real(found)

        monkeypatch.setattr(ledger, "record", record)
        await rig.send(event(1, "open"))
        await rest(rig)
        assert failed
        for number in range(4):
            rig.clock.advance(2 * DAY_S)
            await ledger.renew("w1", lease_s=60)
            await rig.send(event(10 + number))
            await rest(rig)
            await sweep(rig)
            await rest(rig)

        assert len(await rig.engine.log.tail(0, 100)) == 1


async def test_an_ordered_lane_that_is_claimed_again_has_one_request_at_once() -> None:
    async with running() as rig:
        webhook = await rig.webhook(policy={**NOW, "ordered": True})
        await rig.turn()
        rig.sender.gate = asyncio.Event()
        await rig.send(event(1))
        await rig.spin(20)
        rig.clock.advance(61)
        ledger = rig.engine.ledger
        assert await ledger.claim("w2", 10, lease_s=60)
        stored = await rig.engine.registry.webhook(webhook.id)
        assert stored is not None
        await rig.engine.registry.set_webhook(stored)
        await rig.spin(20)
        assert webhook.id not in rig.worker.lanes

        await ledger.release("w2")
        await rig.worker.claim()
        await rig.spin(20)
        at_once = rig.sender.most_at_once
        rig.sender.gate.set()
        await rig.turn()

        assert at_once == 1
        assert (await rig.audit()).problems == []
        assert rig.bodies()[-1][0]["event_id"] == "e1"
