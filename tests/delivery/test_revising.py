"""A revision that is committed while the worker reads: no batch crosses it, no event is lost."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.blocks import BlockHeader
from postbell.ports import Engine
from postbell.records import Webhook
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock

URL = "https://a.example/hook"


class Interrupted:
    """An engine that lets something happen just before the worker reads new blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.log = self
        self.then: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        is_log = hasattr(self._engine.log, name)
        return getattr(self._engine.log if is_log else self._engine, name)

    async def follow(self, after: int, limit: int) -> list[BlockHeader]:
        then, self.then = self.then, None
        if then is not None:
            await then()
        return await self._engine.log.follow(after, limit)


async def retick(rig: Rig, webhook: Webhook) -> None:
    """Let the webhook take opens instead."""
    known = await rig.engine.registry.webhook(webhook.id)
    assert known is not None
    await rig.engine.registry.set_webhook(replace(known, types=("open",)))


@pytest.fixture
def engine(clock: FakeClock) -> Any:
    return Interrupted(MemoryEngine(clock))


async def test_a_batch_is_cut_anew_under_the_revision_it_did_not_know(
    engine: Any, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        webhook = await rig.webhook(types=("delivered",), policy={"max_wait_s": 0})
        await rig.turn()

        async def then() -> None:
            await retick(rig, webhook)
            await rig.send(event(1), event(2, "open"))

        engine.then = then
        await rig.turn()

        assert [[e["event_id"] for e in body] for body in rig.bodies()] == [["e2"]]
        found = await rig.audit()
        assert ([row.delivered for row in found.rows], found.problems) == ([0, 1], [])


async def test_events_before_and_after_it_go_in_batches_of_their_own(
    engine: Any, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        policy = {"max_wait_s": 60, "max_events": 3}
        webhook = await rig.webhook(types=("delivered",), policy=policy)
        await rig.send(event(0))
        await rig.turn()

        async def then() -> None:
            await retick(rig, webhook)
            await rig.send(event(1), event(2, "open"), event(3), event(4))

        engine.then = then
        await rig.turn()
        await rig.later(61)

        assert [[e["event_id"] for e in body] for body in rig.bodies()] == [["e0"], ["e2"]]
        assert (await rig.audit()).problems == []


async def test_a_run_that_crosses_it_is_begun_anew(engine: Any, clock: FakeClock) -> None:
    async with running(engine, clock) as rig:
        webhook = await rig.webhook(
            dialect="engagelab", types=("delivered",), policy={"max_wait_s": 1}
        )
        await rig.send(event(0))
        await rig.turn()

        async def then() -> None:
            await retick(rig, webhook)
            await rig.send(event(1, "open"), event(2, "open"))
            clock.advance(1)

        engine.then = then
        await rig.turn()
        await rig.later(1)

        got = [body["to"] for body in rig.bodies()]
        assert sorted(set(got)) == [f"user{n}@example.net" for n in range(3)]
        found = await rig.audit()
        assert ([row.delivered for row in found.rows], found.problems) == ([1, 2], [])


async def test_an_idle_cursor_does_not_pass_over_it(engine: Any, clock: FakeClock) -> None:
    async with running(engine, clock) as rig:
        webhook = await rig.webhook(types=("delivered",), policy={"max_wait_s": 0})
        await rig.turn()

        async def then() -> None:
            await retick(rig, webhook)
            for number in range(120):
                await rig.send(event(number, "open" if number == 7 else "click"))

        engine.then = then
        await rig.worker.turn()
        rig.worker.hear()
        await rig.worker.read_tail()
        await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))
        await rig.turn()

        assert [[e["event_id"] for e in body] for body in rig.bodies()] == [["e7"]]
        assert (await rig.audit()).problems == []
