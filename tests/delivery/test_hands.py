"""A batch is in one hand at a time, and whoever took it lays it down: nobody else."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.delivery import worker
from postbell.errors import StorageError
from postbell.lane.stage import Stage
from postbell.ports import MOST_CLAIMED
from postbell.records import BatchState, LaneChange, OpenBatch, Outcome, Webhook, WebhookState
from tests.delivery.rig import OK, Rig, event, running
from tests.delivery.test_closed_meanwhile import desk_of

URL = "https://a.example/hook"
DAY_S = 86_400
DOWN = Outcome(status=503)
NOW = {"max_wait_s": 0}


class Slow:
    """`Ledger.batch`, whose answers wait for *answer* once they are read."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, wanted: str = "") -> None:
        self._real = rig.engine.ledger.batch
        self._wanted = wanted
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.changed: Callable[[OpenBatch], OpenBatch] = lambda batch: batch
        monkeypatch.setattr(rig.engine.ledger, "batch", self._batch)

    async def _batch(self, batch_id: str) -> OpenBatch | None:
        found = await self._real(batch_id)
        if self._wanted in ("", batch_id) and not self.asked.is_set():
            self.asked.set()
            await self.answer.wait()
        return None if found is None else self.changed(found)


async def rest(rig: Rig, rounds: int = 10) -> None:
    for _ in range(rounds):
        await rig.spin(5)
        rig.machine.wake()
        await asyncio.sleep(0.001)


async def sweep(rig: Rig) -> None:
    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))


def single(webhook: Webhook, number: int, **members: Any) -> OpenBatch:
    offset = number % 100
    return OpenBatch(
        id=f"bat_{number:05}",
        webhook_id=webhook.id,
        revision=1,
        range=Range(Position(1, offset), Position(1, offset + 1)),
        count=1,
        **members,
    )


async def state(rig: Rig) -> WebhookState:
    (webhook,) = await rig.engine.registry.webhooks()
    return webhook.state


async def test_one_whose_halves_cannot_be_read_is_not_sent_twice_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "AGAIN_S", 0.05)
    async with running() as rig:
        policy = {**NOW, "max_events": 4, "concurrency": 4, "retry_waits_s": [5, 5, 5]}
        await rig.webhook(policy=policy)
        rig.sender.answers[URL] = [DOWN]
        await rig.send(*[event(number) for number in range(4)])
        await rig.turn()
        (held,) = rig.worker.lanes.values()
        (batch,) = await rig.engine.ledger.open_batches()
        real, fails = rig.worker.reader.events, []

        async def events(*args: Any) -> Any:
            if fails:
                fails.pop()
                raise StorageError("the disk does not answer")
            return await real(*args)

        def too_long(_: object) -> Outcome:
            fails.append(1)
            rig.sender.gate = asyncio.Event()  # whatever comes now hangs
            return Outcome(status=413)

        monkeypatch.setattr(rig.worker.reader, "events", events)
        rig.sender.answers[URL] = [too_long]
        rig.clock.advance(7)
        await rig.spin(20)
        await rig.send(event(9))  # anything that lets the lane look again
        await rest(rig, 40)

        assert Counter(rig.ids())[batch.id] == 3  # 503, 413, and one that hangs
        assert held.slots.stage(batch.id) is Stage.OUT
        assert rig.sender.gate is not None
        rig.sender.gate.set()
        await rest(rig, 30)
        assert await state(rig) is WebhookState.ACTIVE


async def test_retention_lays_nothing_down_that_a_person_opened_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        policy = {**NOW, "max_events": 4, "retry_waits_s": [], "keep_parked_days": 1}
        await rig.webhook(policy=policy)
        rig.sender.answers[URL] = [DOWN]
        await rig.send(*[event(number) for number in range(4)])
        await rig.turn()
        (batch,) = await rig.engine.ledger.open_batches()
        rig.clock.advance(2 * DAY_S)
        slow = Slow(rig, monkeypatch)
        sweeping = asyncio.create_task(sweep(rig))
        await slow.asked.wait()

        rig.sender.gate = asyncio.Event()
        await rig.by_hand(desk_of(rig).retry_batch(batch.id))
        await rig.spin(20)
        slow.answer.set()
        await sweeping
        rig.sender.gate.set()
        await rig.turn()

        assert batch.state is BatchState.PARKED
        assert Counter(rig.ids())[batch.id] == 2
        assert await state(rig) is WebhookState.ACTIVE


async def test_what_retention_closes_is_not_begun_where_it_is_read_only_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(retention_days=1) as rig:
        webhook = await rig.webhook(start=Position(2, 0), policy={"concurrency": 2})
        await rig.send(*(event(number) for number in range(100)))
        now = rig.clock.now()
        put = tuple(single(webhook, number, cut_at=now, next_at=now) for number in range(3))
        await rig.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=0, put=put)])
        rig.sender.gate = asyncio.Event()
        await rig.spin()
        (held,) = rig.worker.lanes.values()
        last = put[-1].id
        held.slots.close(last)  # as after a claim that did not bring it
        rig.clock.advance(2 * DAY_S)
        await rig.send(event(1000))
        slow = Slow(rig, monkeypatch, last)
        sweeping = asyncio.create_task(sweep(rig))
        await slow.asked.wait()

        await rig.worker.settler.reload(held)
        gate, rig.sender.gate = rig.sender.gate, None
        gate.set()
        rig.worker.settler.notice(held)
        await rest(rig, 5)
        is_sent = last in rig.ids()
        slow.answer.set()
        await sweeping
        await rig.turn()

        assert not is_sent
        assert (await rig.audit()).problems == []


async def test_what_comes_due_while_retention_looks_at_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(retention_days=1) as rig:
        await rig.webhook(policy={**NOW, "retry_waits_s": [2 * DAY_S - 5, 5, 5]})
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(1))
        await rig.turn()
        (batch,) = await rig.engine.ledger.open_batches()
        await rig.send(event(2))
        await rig.turn()
        slow = Slow(rig, monkeypatch)
        slow.changed = lambda found: replace(found, last_error="written meanwhile")
        assert batch.next_at is not None
        before_it = batch.next_at - timedelta(seconds=1)
        await rig.later((before_it - rig.clock.now()).total_seconds())
        sent = len(rig.bodies())

        sweeping = asyncio.create_task(sweep(rig))
        await slow.asked.wait()
        await rig.later(2)
        slow.answer.set()
        await sweeping
        await rig.turn()

        assert len(rig.bodies()) == sent + 1


@pytest.mark.parametrize("outcome", [OK, DOWN])
async def test_what_is_under_way_while_more_are_opened_than_are_read_is_not_closed_by_that(
    outcome: Outcome,
) -> None:
    async with running() as rig:
        webhook = await rig.webhook(
            start=Position(2, 0), policy={**NOW, "concurrency": 2, "retry_waits_s": [3000]}
        )
        await rig.send(*(event(number) for number in range(100)))
        now = rig.clock.now()
        put = tuple(
            single(webhook, number, cut_at=now, state=BatchState.PARKED, parked_at=now)
            for number in range(MOST_CLAIMED + 1)
        )
        await rig.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=0, put=put)])
        rig.sender.gate = asyncio.Event()
        await rig.send(event(1000))
        await rig.spin()
        (mine,) = rig.ids()

        await desk_of(rig).resume(rig.account.id, webhook.id, parked=True)
        await rig.spin()
        assert rig.worker.lanes[webhook.id].has_more
        rig.sender.answers[URL] = [outcome]
        rig.sender.gate.set()
        await rig.turn()

        blocks = await rig.engine.journal.scan(0, 100_000)
        (told,) = [e for block in blocks for e in block.entries if e.batch_id == mine]
        assert (told.note, told.delivered) == ("", 1 if outcome is OK else 0)
        assert Counter(rig.ids())[mine] == 1
