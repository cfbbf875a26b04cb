"""Clocks that jump: nothing is dropped, paused, held up or sent twice because of them."""

from datetime import timedelta

import msgspec
import pytest

from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.ingest.ingest import Ingest
from postbell.lane.judge import PAUSE_AFTER_FAILURES
from postbell.records import BatchState, Outcome, WebhookState
from postbell.serving.timekeeping import FOLLOW_S, LOOKS, SURE_S, SteadyClock
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import AnyUrl, Rig, event, running
from tests.fakes import FakeClock

URL = "https://a.example/hook"
DOWN = Outcome(status=503)
DAY_S = 86_400
MONTH_S = 31 * DAY_S
DAY = timedelta(days=1)
ONCE = {"max_wait_s": 0, "max_events": 3, "retry_waits_s": [], "keep_parked_days": 1}


class Machine(FakeClock):
    """The machine's clock, and the steady one of a process on it."""

    def __init__(self) -> None:
        super().__init__()
        self.steady = SteadyClock(self)

    def look(self, seconds: float) -> None:
        """Let time pass, with some looks at the clock."""
        for _ in range(LOOKS + 1):
            self.advance(seconds / LOOKS)
            self.steady.look()


@pytest.fixture
def machine() -> Machine:
    return Machine()


def rigged(machine: Machine, **options: object):
    return running(MemoryEngine(machine), machine.steady, machine=machine, **options)


async def sweep(rig: Rig) -> None:
    await rig.turn()
    rig.worker.pruner.looked_at = None
    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))


async def born(rig: Rig, machine: Machine) -> None:
    """Put a new process in place of the rig's, with a clock of its own."""
    await rig.engine.ledger.release("w1")
    machine.steady = rig.clock = SteadyClock(machine)
    known_at = await rig.engine.log.trusted_at() or await rig.engine.log.newest_at()
    assert known_at is not None
    machine.steady.compare(known_at)
    tasks = rig.worker.tasks
    rig.worker = rig.new_worker("w2")
    rig.worker.tasks = tasks
    await rig.worker.claim()


async def fail(rig: Rig, machine: Machine, times: int) -> None:
    """Let as many attempts fail, each of an event of its own."""
    for _ in range(times):
        await rig.send(event(1 + await rig.engine.log.head()))
        await later(rig, machine, 40)


async def later(rig: Rig, machine: Machine, seconds: float) -> None:
    machine.advance(seconds)
    await rig.turn()


async def test_a_month_forward_for_a_while_drops_and_ends_nothing(machine: Machine) -> None:
    async with rigged(machine) as rig:
        webhook = await rig.webhook(policy=ONCE)
        rig.sender.standing[URL] = DOWN
        await fail(rig, machine, PAUSE_AFTER_FAILURES)
        before = await rig.engine.ledger.open_batches()
        blocks = await rig.engine.log.tail(0, 100)
        assert {batch.state for batch in before} == {BatchState.PARKED}

        machine.jump(MONTH_S)
        for _ in range(4):
            machine.advance(10)
            machine.steady.look()
            await sweep(rig)
        await fail(rig, machine, 1)
        machine.jump(-MONTH_S)
        machine.steady.look()
        await sweep(rig)

        after = await rig.engine.ledger.open_batches()
        assert all(batch in after for batch in before)
        kept = await rig.engine.log.tail(0, 100)
        assert kept[:-1] == blocks
        assert kept[-1].recorded_at <= machine.now()
        stored = await rig.engine.registry.webhook(webhook.id)
        assert stored is not None
        assert stored.state is WebhookState.ACTIVE


async def test_what_is_too_old_goes_once_the_clock_has_agreed_for_an_hour(
    machine: Machine,
) -> None:
    async with rigged(machine) as rig:
        await rig.webhook(policy=ONCE)
        rig.sender.standing[URL] = DOWN
        await rig.send(event(1))
        await rig.turn()

        machine.jump(MONTH_S)
        machine.look(FOLLOW_S)
        assert machine.steady.now() == machine.now()
        await sweep(rig)
        assert len(await rig.engine.log.tail(0, 100)) == 1
        machine.look(SURE_S)
        await sweep(rig)

        assert await rig.engine.log.tail(0, 100) == []
        assert await rig.engine.ledger.open_batches() == []


async def test_a_process_that_starts_while_the_clock_is_ahead_drops_nothing(
    machine: Machine,
) -> None:
    async with rigged(machine) as rig:
        await rig.webhook(policy=ONCE)
        rig.sender.standing[URL] = DOWN
        await rig.send(event(1))
        await rig.turn()

        machine.jump(MONTH_S)
        await born(rig, machine)
        await sweep(rig)
        machine.look(45)
        await sweep(rig)

        assert len(await rig.engine.log.tail(0, 100)) == 1
        assert len(await rig.engine.ledger.open_batches()) == 1


async def test_a_second_start_while_the_clock_is_ahead_is_no_surer_than_the_first(
    machine: Machine,
) -> None:
    async with rigged(machine) as rig:
        await rig.send(event(1))
        await sweep(rig)

        machine.jump(MONTH_S)
        await born(rig, machine)
        rig.ingest.clock = machine.steady  # type: ignore[assignment]
        await rig.send(event(2))
        await born(rig, machine)
        machine.look(60)
        await sweep(rig)

        assert len(await rig.engine.log.tail(0, 100)) == 2


async def test_a_webhook_is_not_hopeless_by_a_jump_alone(machine: Machine) -> None:
    async with rigged(machine) as rig:
        webhook = await rig.webhook(policy=ONCE)
        rig.sender.standing[URL] = DOWN
        await fail(rig, machine, PAUSE_AFTER_FAILURES)

        machine.jump(6 * DAY_S)
        machine.look(FOLLOW_S)
        await fail(rig, machine, 1)

        assert rig.worker.lanes[webhook.id].webhook.state is WebhookState.ACTIVE
        machine.look(SURE_S)
        await fail(rig, machine, 1)
        assert rig.worker.lanes[webhook.id].webhook.state is WebhookState.PAUSED


@pytest.mark.parametrize("answer", [Outcome(status=503, retry_after_s=5), DOWN])
async def test_a_wait_begun_while_the_clock_was_ahead_is_over_after_a_restart(
    machine: Machine, answer: Outcome
) -> None:
    machine.jump(2 * DAY_S)
    machine.steady = SteadyClock(machine)
    async with rigged(machine) as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [5, 5]})
        rig.sender.answers[URL].append(answer)
        await rig.send(event(1))
        await rig.turn()
        assert len(rig.bodies()) == 1

        machine.jump(-2 * DAY_S)
        await born(rig, machine)
        await rig.turn()
        machine.advance(6)
        await rig.turn()

        assert len(rig.bodies()) == 2
        assert rig.ids()[0] == rig.ids()[1]
        assert rig.worker.lanes[webhook.id].lane.failing_since is None


@pytest.mark.parametrize("answer", [Outcome(status=503, retry_after_s=5), DOWN])
async def test_a_wait_begun_while_the_clock_was_ahead_is_over_once_it_is_followed_back(
    machine: Machine, answer: Outcome
) -> None:
    machine.jump(2 * DAY_S)
    machine.steady = SteadyClock(machine)
    async with rigged(machine) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [50] * 9})
        rig.sender.standing[URL] = answer
        await rig.send(event(1))
        await rig.turn()

        machine.jump(-2 * DAY_S)
        for _ in range(int(FOLLOW_S) + 10):
            machine.advance(1)
            machine.steady.look()
            await rig.turn()
        rig.sender.standing.clear()
        await later(rig, machine, 61)

        assert machine.steady.now() == machine.now()
        assert await rig.engine.ledger.open_batches() == []


async def test_what_failed_in_the_future_has_failed_since_now(machine: Machine) -> None:
    machine.jump(2 * DAY_S)
    machine.steady = SteadyClock(machine)
    async with rigged(machine) as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        rig.sender.standing[URL] = DOWN
        await rig.send(event(1))
        await rig.turn()

        machine.jump(-2 * DAY_S)
        await born(rig, machine)
        await rig.turn()

        assert rig.worker.lanes[webhook.id].lane.failing_since == machine.now()


async def test_what_was_taken_in_the_future_lets_no_search_give_events_up(machine: Machine) -> None:
    machine.jump(2 * DAY_S)
    machine.steady = SteadyClock(machine)
    async with rigged(machine) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 4, "retry_waits_s": [600] * 9})
        await rig.send(event(1))
        await rig.turn()

        machine.jump(-2 * DAY_S)
        await born(rig, machine)
        rig.sender.standing[URL] = DOWN
        await rig.send(*[event(n) for n in range(2, 6)])
        await rig.turn()
        (batch,) = await rig.engine.ledger.open_batches()
        desk = Desk(rig.engine, DIALECTS, AnyUrl(), machine.steady, rig.directory)
        await desk.bisect_batch(batch.id)
        await later(rig, machine, 60)

        found = await rig.engine.ledger.open_batches()
        assert [(each.count, each.state) for each in found] == [(1, BatchState.WAITING)] * 4


async def test_duplicates_are_known_to_a_process_that_starts_while_the_clock_is_ahead(
    machine: Machine,
) -> None:
    async with rigged(machine) as rig:
        await rig.send(event(1))

        machine.jump(MONTH_S)
        await born(rig, machine)
        ingest = Ingest(rig.engine, machine.steady, rig.directory)
        await ingest.start()
        committing = rig.tasks.create_task(ingest.run())
        raw = msgspec.json.encode(event(1))
        answer = await ingest.submit(rig.account, rig.user, [raw])
        committing.cancel()

        assert (answer.accepted, answer.duplicates) == (0, 1)


async def test_an_idempotency_key_is_not_forgotten_by_a_jump(machine: Machine) -> None:
    async with rigged(machine) as rig:
        first = await rig.send(event(1), key="k", digest=b"x")

        machine.jump(MONTH_S)
        machine.look(FOLLOW_S)
        again = await rig.send(event(2), key="k", digest=b"x")

        assert (again.accepted, again.duplicates) == (first.accepted, first.duplicates)
        machine.look(SURE_S)
        assert (await rig.send(event(1), key="k", digest=b"x")).duplicates == 1


async def test_recorded_at_recovers_after_a_clock_that_was_ahead(machine: Machine) -> None:
    machine.jump(100 * DAY_S)
    machine.steady = SteadyClock(machine)
    async with rigged(machine, retention_days=30) as rig:
        await rig.send(event(1))
        machine.jump(-100 * DAY_S)
        await born(rig, machine)
        rig.ingest.clock = machine.steady  # type: ignore[assignment]

        await sweep(rig)
        begun = machine.now()
        await rig.send(event(2))

        ahead, right = await rig.engine.log.tail(0, 10)
        assert (ahead.recorded_at > begun) and right.recorded_at == begun
        assert (await rig.audit()).problems == []
        machine.look(SURE_S)
        machine.look(31 * DAY_S)
        await sweep(rig)
        assert await rig.engine.log.tail(0, 10) == []


async def test_a_clock_that_is_behind_for_a_while_lets_nothing_go_before_its_time(
    machine: Machine,
) -> None:
    async with rigged(machine, retention_days=30) as rig:
        await rig.send(event(1))
        machine.jump(-100 * DAY_S)
        await born(rig, machine)
        await sweep(rig)
        rig.ingest.clock = machine.steady  # type: ignore[assignment]
        await rig.send(event(2))

        machine.jump(100 * DAY_S)
        machine.look(FOLLOW_S)
        machine.look(SURE_S)
        await sweep(rig)

        assert machine.steady.is_sure
        assert machine.steady.now() == machine.now()
        behind = await rig.engine.log.tail(0, 10)
        assert [each.recorded_at < machine.now() - 30 * DAY for each in behind] == [False, True]
