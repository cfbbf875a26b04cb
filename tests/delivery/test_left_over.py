"""Nothing of a lane is left over: no single of a run that is forgotten, no work that nobody does,
no delivery that nobody writes down; and what goes wrong with one lane holds no other up."""

import asyncio
from typing import Any

import pytest

from postbell.blocks import Position
from postbell.delivery.prune import IDLE_BLOCKS
from postbell.errors import IdTaken
from postbell.lane import changes
from postbell.lane.gate import Gate
from postbell.lane.held import Held
from postbell.lane.stage import Stage
from postbell.ports import Request
from postbell.reading.match import Selection
from postbell.records import Outcome, WebhookState
from tests.delivery.rig import OK, Rig, event, running
from tests.delivery.test_hands import DAY_S, DOWN, NOW, rest, sweep
from tests.delivery.test_revising import Interrupted, engine, retick  # noqa: F401

URL, OTHER = "https://a.example/hook", "https://b.example/hook"
ORDERED = [True, False]


@pytest.mark.parametrize("is_ordered", ORDERED)
async def test_a_single_of_a_run_that_crosses_a_revision_is_forgotten_with_it(
    engine: Interrupted,  # noqa: F811
    clock: Any,
    is_ordered: bool,
) -> None:
    async with running(engine, clock) as rig:
        policy = {**NOW, "max_events": 1, "ordered": is_ordered, "retry_waits_s": [5]}
        webhook = await rig.webhook(types=("delivered",), policy=policy)
        await rig.turn()

        async def then() -> None:
            await retick(rig, webhook)
            await rig.send(event(1), event(2, "open"), event(3))

        engine.then = then
        rig.sender.answers[URL] = [Outcome(status=500)]
        rig.worker.hear()
        held = rig.worker.lanes[webhook.id]
        for _ in range(40):  # it looks once: nobody has rung yet
            await rig.worker.turn()
            await asyncio.sleep(0)
        assert [slot.stage for slot in held.slots][:1] == [Stage.LEAVING]

        await rig.turn()
        await rig.send(event(9, "open"))
        await rig.later(60)

        sent = [each["event_id"] for body in rig.bodies() for each in body]
        assert sent[1:] == (["e2", "e9"] if is_ordered else ["e3", "e2", "e9"])
        assert (len(held.slots), len(held.runs)) == (0, 0)
        assert (await rig.audit()).problems == []


async def test_a_single_of_a_run_that_retention_passes_over_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(retention_days=1) as rig:
        policy = {**NOW, "max_events": 1, "ordered": True, "retry_waits_s": [5]}
        webhook = await rig.webhook(policy=policy)
        await rig.turn()
        held = rig.worker.lanes[webhook.id]
        await rig.send(event(1), event(2), event(3))
        rig.clock.advance(2 * DAY_S)  # the worker was held up
        ledger, real, listed = rig.engine.ledger, rig.engine.ledger.open_batches, []

        async def slow(**options: Any) -> Any:
            listed.append(options)
            if len(listed) == 2:  # listing takes time: meanwhile the lane goes on
                rig.sender.answers[URL] = [Outcome(status=500)]
                await rig.spin(40)
            return await real(**options)

        monkeypatch.setattr(ledger, "open_batches", slow)
        await rig.send(event(4))
        await sweep(rig)
        await rig.turn()
        await rig.later(60)

        assert rig.bodies()[-1][0]["event_id"] == "e4"
        assert len(held.slots) == 0


@pytest.mark.parametrize("policy", [{"ordered": True}, {"rate_per_s": 1000}])
async def test_work_that_is_taken_as_a_further_pump_fails_to_start_is_given_back(
    monkeypatch: pytest.MonkeyPatch, policy: dict[str, Any]
) -> None:
    real = Selection.weigh

    def weigh(selection: Selection, header: Any) -> bytes:
        if header.id == 3:
            raise ValueError("an error of ours")
        return real(selection, header)

    async with running() as rig:
        for number in range(6):
            await rig.send(event(2 * number), event(2 * number + 1))
        monkeypatch.setattr(Selection, "weigh", weigh)
        webhook = await rig.webhook(URL, policy={**NOW, "max_events": 2, **policy})
        await rig.webhook(OTHER, start=Position(7, 0), policy=NOW)
        for _ in range(40):
            await rest(rig, 1)
            rig.clock.advance(0.01)
        monkeypatch.setattr(Selection, "weigh", real)
        held = rig.worker.lanes[webhook.id]
        stored = await rig.engine.registry.webhook(webhook.id)
        assert stored is not None

        await rig.engine.registry.set_webhook(stored)
        await rig.send(event(100))
        await asyncio.wait_for(rig.turn(), 60)

        assert (held.in_flight, held.writes.is_free, stored.state) == (0, True, WebhookState.PAUSED)
        assert len(rig.bodies(OTHER)) == 1


async def two(rig: Rig) -> tuple[Held, Held]:
    one = await rig.webhook(URL, policy=NOW, types=("open",))
    other = await rig.webhook(OTHER, policy=NOW, types=("delivered",))
    await rig.turn()
    return rig.worker.lanes[one.id], rig.worker.lanes[other.id]


async def test_a_batch_whose_id_is_taken_pauses_one_webhook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        one, _ = await two(rig)
        ledger, real = rig.engine.ledger, rig.engine.ledger.record

        async def record(found: Any) -> Any:
            if any(change.webhook_id == one.id and change.put for change in found):
                raise IdTaken("a bug of ours, never a race")
            return await real(found)

        monkeypatch.setattr(ledger, "record", record)
        await rig.send(event(1, "open"))
        await rest(rig)
        await rig.send(event(2))
        await asyncio.wait_for(rig.turn(), 60)

        stored = await rig.engine.registry.webhook(one.id)
        assert len(rig.bodies(OTHER)) == 1
        assert stored is not None
        assert (stored.state, stored.state_reason) == (WebhookState.PAUSED, "internal_error")


async def test_a_lane_that_cannot_be_read_again_leaves_no_other_lanes_deliveries_unwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        one, other = await two(rig)
        real, failed = Held.reload, []

        def reload(held: Held, *args: Any) -> None:
            if held.id == one.id and not failed:
                failed.append(1)
                raise KeyError("a dialect that this release does not know")
            real(held, *args)

        send = rig.sender.send

        async def sending(request: Request) -> Outcome:
            outcome = await send(request)
            if request.url == URL:
                claim = await rig.engine.ledger.lane(one.id)
                assert claim is not None
                assert await rig.engine.ledger.intervene(changes.touched(claim.lane))
            return outcome

        monkeypatch.setattr(Held, "reload", reload)
        monkeypatch.setattr(rig.sender, "send", sending)
        await rig.send(event(1, "open"))
        await rest(rig)
        assert failed
        await rig.send(event(2))
        await rest(rig, 20)

        assert rig.bodies(OTHER)
        left = await rig.engine.ledger.open_batches(webhook_id=other.id)
        assert (left, other.late) == ([], [])


async def test_a_failure_of_the_outage_does_not_end_the_recovery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        await rig.webhook(policy={**NOW, "concurrency": 5, "retry_waits_s": [500, 500]})
        rig.sender.gate = asyncio.Event()
        for number in range(5):
            await rig.send(event(number))
            await rig.spin(10)
        (held,) = rig.worker.lanes.values()
        ledger, real = rig.engine.ledger, rig.engine.ledger.record
        seen, go = asyncio.Event(), asyncio.Event()

        async def record(found: Any) -> Any:
            if any(change.drop for change in found):
                seen.set()
                await go.wait()
            for _ in range(3):  # so that the failures are written after the success was judged
                await asyncio.sleep(0)
            return await real(found)

        monkeypatch.setattr(ledger, "record", record)
        rig.sender.answers[URL] = [DOWN, DOWN, DOWN, DOWN, OK]
        rig.sender.gate.set()
        for _ in range(30):
            await asyncio.sleep(0)
        assert seen.is_set()
        gate = held.stand(rig.clock.now()).gate
        go.set()
        await rig.turn()

        assert gate is Gate.PROBING
        assert held.stand(rig.clock.now()).gate is Gate.OPEN


async def test_one_lane_that_reads_slowly_holds_nobody_elses_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        slow, _ = await two(rig)
        real, go = rig.worker.reader.events, asyncio.Event()
        weights = slow.intake.gather.selection.weights

        async def events(account_id: int, part: Any, selection: Selection, *rest: Any) -> Any:
            if selection.weights == weights:
                await go.wait()
            return await real(account_id, part, selection, *rest)

        monkeypatch.setattr(rig.worker.reader, "events", events)
        await rig.send(event(1, "open"))
        await rig.spin(10)
        stored = await rig.engine.registry.webhook(slow.id)
        assert stored is not None
        await rig.engine.registry.set_webhook(stored)
        await rig.send(event(2))
        turning = asyncio.create_task(rig.spin(20))
        await asyncio.wait([turning], timeout=2)
        got = len(rig.bodies(OTHER))
        go.set()
        await turning
        await rig.turn()

        assert got == 1


async def test_the_cursor_of_a_lane_for_which_there_is_nothing_is_written_down_every_time() -> None:
    async with running() as rig:
        webhook = await rig.webhook(policy=NOW, types=("open",))
        found = []
        for step in range(2):
            for number in range(IDLE_BLOCKS):
                await rig.send(event(step * IDLE_BLOCKS + number))
            await rig.turn()
            await sweep(rig)
            claim = await rig.engine.ledger.lane(webhook.id)
            assert claim is not None
            found.append(claim.lane.cursor.block)

        assert found == [IDLE_BLOCKS, 2 * IDLE_BLOCKS]
