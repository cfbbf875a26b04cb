"""A selection that few events match reads few blocks, and each of them once."""

import pytest

from postbell.blocks import Position
from postbell.records import Outcome
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock
from tests.scale.counting import CountingEngine

BLOCKS = 1200
RARE = (17, 400, 401, 1111)
"""Numbers of the requests that hold the rare event; block ids are one higher."""
HOLDING = {number + 1: 1 for number in RARE}
URL = "https://a.example/hook"


async def fill(rig: Rig) -> None:
    """Take in requests of two events, of which four hold one that is rare."""
    for number in range(BLOCKS):
        kind = "spam_report" if number in RARE else "open"
        await rig.send(event(2 * number), event(2 * number + 1, kind))


async def test_a_rare_type_loads_only_the_blocks_that_have_it(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await fill(rig)
        await rig.webhook(types=("spam_report",), policy={"max_wait_s": 0, "max_events": 3})
        engine.count_anew()

        await rig.turn()

        assert [len(body) for body in rig.bodies()] == [3, 1]
        assert engine.log.loaded == HOLDING
        assert max(engine.log.headers_read.values()) <= 2
        assert engine.log.headers_read.total() < 1.1 * BLOCKS
        assert (await rig.audit()).problems == []


async def test_one_api_user_of_many_loads_only_its_own_blocks(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        users = [
            await rig.engine.registry.add_api_user(rig.account.id, f"u{n}", "x", clock.now())
            for n in range(60)
        ]
        await rig.directory.refresh()
        for number in range(BLOCKS):
            await rig.send(event(number), user=users[number % 60])
        await rig.webhook(api_user="u7", policy={"max_wait_s": 0})
        engine.count_anew()

        await rig.turn()

        assert [len(body) for body in rig.bodies()] == [BLOCKS // 60]
        assert engine.log.loaded == {number + 1: 1 for number in range(7, BLOCKS, 60)}
        assert engine.log.headers_read.total() < 1.1 * BLOCKS


async def test_new_blocks_without_a_match_are_neither_read_nor_loaded(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await rig.webhook(types=("spam_report",), policy={"max_wait_s": 0})
        await rig.turn()
        engine.count_anew()

        for number in range(100):
            await rig.send(event(number))
            await rig.turn()

        assert engine.log.calls["headers"] == engine.log.calls["load"] == 0
        assert engine.ledger.records == 0


async def test_webhooks_that_match_the_same_block_load_it_once(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        for number in range(20):
            dialect = ("native", "sendpulse", "engagelab")[number % 3]
            await rig.webhook(
                f"https://h{number}.example/", dialect=dialect, policy={"max_wait_s": 0}
            )
        await rig.turn()
        engine.count_anew()

        await rig.send(event(0), event(1, "open"))
        await rig.turn()

        assert len(rig.sender.got) == 20
        assert engine.log.loaded.keys() <= {1}
        assert engine.log.loaded.total() <= 1
        assert engine.log.calls["headers"] == 0


async def test_retries_of_a_sparse_batch_read_nothing_again(
    engine: CountingEngine, clock: FakeClock
) -> None:
    async with running(engine, clock) as rig:
        await fill(rig)
        await rig.webhook(
            types=("spam_report",), policy={"max_wait_s": 0, "retry_waits_s": [10] * 5}
        )
        rig.sender.standing[URL] = Outcome(status=503)
        await rig.turn()
        engine.count_anew()

        for _ in range(4):
            await rig.later(13)

        assert len(rig.bodies()) == 5
        assert engine.log.calls["headers"] == engine.log.calls["load"] == 0


@pytest.mark.parametrize("state", ["open", "spam_report"])
async def test_a_webhook_that_is_far_behind_reads_ahead_once(
    engine: CountingEngine, clock: FakeClock, state: str
) -> None:
    """Cut after cut goes on from what was read, not from the log."""
    async with running(engine, clock) as rig:
        await fill(rig)
        await rig.webhook(
            types=(state,), start=Position(1, 0), policy={"max_wait_s": 0, "max_events": 10}
        )
        engine.count_anew()

        await rig.turn()

        assert sum(len(body) for body in rig.bodies()) == (4 if state != "open" else BLOCKS - 4)
        assert engine.log.headers_read.total() < 1.5 * BLOCKS
        assert max(engine.log.loaded.values()) == 1
