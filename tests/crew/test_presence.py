"""A process among the others: which duties it does, for how long, and what it tells of itself."""

import asyncio
from collections.abc import Sequence

import pytest

from postbell.directory import Directory
from postbell.duties import Duty
from postbell.errors import TermEnded
from postbell.index.indexer import Indexer
from postbell.operating.metrics.following import Following
from postbell.ports import ENDING, LATE_S, LEASE_S, CrewMember, IndexedUpTo
from postbell.presence import Presence, duties_of
from postbell.settings.members import Settings
from postbell.storage.memory.engine import MemoryEngine
from tests.contract.making import Shop, block
from tests.fakes import FakeClock

INDEX = Duty.INDEX


class Crowd:
    """Processes on one engine, each with its own presence."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.engine = MemoryEngine(self.clock)
        self.directory = Directory(self.engine.registry)

    def join(self, name: str, *duties: Duty, role: str = "worker") -> Presence:
        me = CrewMember(name, "machine", 1, role, "1.2", self.clock.now())
        return Presence(self.engine.crew, self.directory, self.clock, me, duties)


async def test_a_duty_is_done_until_the_lease_ends_whatever_the_database_says() -> None:
    crowd = Crowd()
    first, second = crowd.join("a", INDEX), crowd.join("b", INDEX)
    await first.report()
    await second.report()

    before = (first.term(INDEX) is not None, second.term(INDEX))
    crowd.clock.advance(LEASE_S)

    assert before == (True, None)
    assert first.term(INDEX) is None


async def test_a_process_that_was_frozen_in_its_duty_writes_nothing_more() -> None:
    crowd = Crowd()
    shop = await Shop.open(crowd.engine, crowd.clock)
    await shop.append(block())
    first, second = crowd.join("a", INDEX), crowd.join("b", INDEX)
    await first.report()
    indexer = Indexer(crowd.engine, crowd.clock, doing=first)

    with first.doing(INDEX) as is_ours:
        crowd.clock.advance(LEASE_S)
        await second.report()
        with pytest.raises(TermEnded):
            await indexer.step()

    assert is_ours
    assert second.term(INDEX) is not None
    assert await crowd.engine.index.marks() == IndexedUpTo()


async def test_who_may_not_do_a_duty_never_takes_it() -> None:
    crowd = Crowd()
    worker = crowd.join("a", Duty.LINES)
    Following(crowd.engine, crowd.directory, tells=True, doing=worker)

    await worker.report()

    assert worker.term(Duty.FIGURES) is None
    assert worker.term(Duty.LINES) is not None


@pytest.mark.parametrize(
    ("role", "metrics_listen", "found"),
    [
        ("api", "", [Duty.FIGURES]),
        ("worker", "", [Duty.RETENTION, Duty.SUPPRESSIONS, Duty.LINES, INDEX]),
        ("worker", ":9100", [Duty.FIGURES, Duty.RETENTION, Duty.SUPPRESSIONS, Duty.LINES, INDEX]),
        ("all", "", [Duty.FIGURES, Duty.RETENTION, Duty.SUPPRESSIONS, Duty.LINES, INDEX]),
    ],
)
def test_only_who_can_be_asked_tells_figures(
    role: str, metrics_listen: str, found: Sequence[Duty]
) -> None:
    assert duties_of(Settings(metrics_listen=metrics_listen), role) == found


async def test_who_ends_is_no_peer_any_more_and_its_duties_are_anothers_at_once() -> None:
    crowd = Crowd()
    first, second = crowd.join("a", INDEX), crowd.join("b", INDEX)
    await first.report()
    await second.report()
    peers = [each.name for each in second.peers()]

    first.end()
    await first.report()
    await second.report()
    ending = [(each.name, each.role) for each in second.members], second.peers()
    await first.leave()
    await second.report()

    assert peers == ["a"]
    assert ending == ([("a", ENDING), ("b", "worker")], [])
    assert second.term(INDEX) is not None
    assert [each.name for each in second.members] == ["b"]


async def test_who_says_nothing_for_a_while_is_no_peer_but_is_there_still() -> None:
    crowd = Crowd()
    first, second = crowd.join("a"), crowd.join("b")
    first.measure(lambda me: me._replace(unheld=(7,)))
    await first.report()

    crowd.clock.advance(LATE_S - 1)
    await second.report()
    peers = [each.name for each in second.peers()]
    crowd.clock.advance(1)

    assert peers == ["a"]
    assert second.peers() == []
    assert second.unheld() == {7}


async def test_lines_and_figures_go_on_where_the_process_before_left_off() -> None:
    crowd = Crowd()
    shop = await Shop.open(crowd.engine, crowd.clock)
    duties = (Duty.FIGURES, Duty.LINES)
    first, second = crowd.join("a", *duties, role="all"), crowd.join("b", *duties, role="all")
    told = [
        Following(crowd.engine, crowd.directory, tells=True, doing=each) for each in (first, second)
    ]
    await crowd.directory.refresh()
    await first.report()
    await told[0].read()
    await shop.append(block(2))
    await told[0].read()
    await first.report()  # its mark is written
    await first.leave()
    await shop.append(block(3))

    await second.report()
    await told[1].read()

    counts = [sum(each.accepted.counts.values()) for each in told]
    assert counts == [2, 3]


async def test_a_report_comes_at_once_where_another_process_ends() -> None:
    crowd = Crowd()
    first, second = crowd.join("a", INDEX), crowd.join("b", INDEX)
    await first.report()
    task = asyncio.create_task(second.run())
    await second.reported()

    await first.leave()
    await crowd.directory.refresh()
    async with asyncio.timeout(5):
        await second.reported()
    task.cancel()

    assert second.term(INDEX) is not None
