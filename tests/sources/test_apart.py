"""What goes wrong with one source, on SQLite: it ends neither the service nor another source."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from postbell import fences, sources
from postbell.ports import (
    MAX_KEY_CHARS,
    Fact,
    Inlet,
    Recall,
    RefusedFact,
    Remembered,
    SourceReading,
    SourceState,
)
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock
from tests.sources.test_running import Broken, append, quarantined, reading, row_of, stands, until

HALF = "\ud800"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock = FakeClock()
    engine = await sqlite.open(
        tmp_path / "postbell.db", load_or_create(tmp_path / "key"), clock, worker=True
    )
    async with running(engine, clock) as rig:
        yield rig
    await engine.close()


@pytest.fixture(autouse=True)
def unfailed() -> None:
    fences.failed.clear()


class Odd:
    """A source of another's words, which hold half a character."""

    kind, place, account, api_user = "odd", f"/{HALF}", "acme", "main"
    is_shared = False

    async def run(self, inlet: Inlet) -> None:
        refused = [RefusedFact(Fact(f"line {HALF}", b"raw"), "malformed", f"not {HALF}\0")]
        if not inlet.checkpoint:
            await inlet.take(SourceReading([], [], b"here", "line 1", refused))
        inlet.report(SourceState.FAILING, fault=f"cannot read {HALF}" + "x" * 5000)
        await asyncio.Event().wait()

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        raise LookupError("a bug")


class Greedy(Odd):
    """A source that wants to remember more of a fact that it reads again than anybody may."""

    place = "a greedy one"

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        until = self._clock.now() + timedelta(days=1)
        key = "k" * (MAX_KEY_CHARS + 1)
        return SourceReading([], [], remember=[Remembered(key, b"", until)])


async def test_texts_that_nothing_can_store_are_told_as_far_as_they_go(
    rig: Rig, tmp_path: Path
) -> None:
    log = tmp_path / "events.jsonl"
    append(log, event(0))
    async with reading(rig, log, odd=Odd()):
        await until(stands(rig, "odd", state=SourceState.FAILING, quarantined=1))
        append(log, event(1))
        await until(stands(rig, taken=2))

    found = await row_of(rig, "odd")
    assert found.standing.place == "/?"
    assert found.standing.fault.startswith("cannot read ?xxx")
    assert found.standing.refusal == "line ?: not ??"
    assert found.standing.state is SourceState.STOPPED
    assert len(found.standing.fault) <= 500
    assert fences.failed["sources"] == 0


async def test_a_fact_whose_reading_cannot_be_written_ends_nothing(
    rig: Rig, tmp_path: Path
) -> None:
    log = tmp_path / "events.jsonl"
    append(log, event(0))
    async with reading(rig, log, greedy=Greedy(rig.clock)):
        await until(stands(rig, "greedy", quarantined=1))
        await rig.engine.quarantine.want("greedy", None)
        await until(failed)
        append(log, event(1))
        await until(stands(rig, taken=2))

    [kept] = await quarantined(rig, "greedy")
    assert kept.is_wanted


async def test_what_was_wrong_last_is_known_after_a_restart(rig: Rig, tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    append(log, "not json")
    async with reading(rig, log, odd=Odd()):
        await until(stands(rig, refused=1))
        await until(stands(rig, "odd", state=SourceState.FAILING))
    first, odd = (await row_of(rig)).standing, (await row_of(rig, "odd")).standing

    async with reading(rig, log, odd=Broken()):
        await until(stands(rig, state=SourceState.UP_TO_DATE))
        await until(stands(rig, "odd", fault="LookupError: a bug"))

    again, broken = (await row_of(rig)).standing, (await row_of(rig, "odd")).standing
    assert first.refusal.startswith("line 1: ")
    assert (again.refusal, again.refused_at) == (first.refusal, first.refused_at)
    assert odd.fault.startswith("cannot read")
    assert broken.refusal == odd.refusal


class Mindful(Odd):
    """A source that remembers something for a day, and says what it recalls."""

    place = "a mindful one"

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.recalled: list[dict[str, bytes]] = []

    async def run(self, inlet: Inlet) -> None:
        kept = Remembered("queue-id", b"subject", self._clock.now() + timedelta(days=1))
        await inlet.take(SourceReading([], [], b"here", "line 1", remember=[kept]))
        while True:
            self.recalled.append(await inlet.recall(["queue-id"]))
            await asyncio.sleep(0.01)


async def test_what_is_remembered_ends_by_no_clock_that_jumped(rig: Rig) -> None:
    source = Mindful(rig.clock)

    async def has_recalled_since() -> bool:
        return len(source.recalled) > 1  # the first may have been under way

    async with reading(rig, mindful=source):
        await until(stands(rig, "mindful", position="line 1"))
        rig.clock.advance(86_400)
        for is_sure in (False, True):
            rig.clock.is_sure = is_sure
            source.recalled.clear()
            await until(has_recalled_since)
            assert source.recalled[-1] == ({} if is_sure else {"queue-id": b"subject"})


async def test_a_source_of_another_account_takes_up_nothing_until_it_is_forgotten(
    rig: Rig, tmp_path: Path
) -> None:
    """Neither its lines, nor its counts, nor what is in quarantine is to be the other account's."""
    log = tmp_path / "events.jsonl"
    append(log, event(0), {"type": "open", "recipient": "a@b.example", "api_user": "late"})
    async with reading(rig, log):
        await until(stands(rig, taken=1, quarantined=1))
    other = await rig.engine.registry.add_account("other", rig.clock.now())
    await rig.engine.registry.add_api_user(other.id, "late", "x", rig.clock.now())
    await rig.directory.refresh()
    await rig.engine.quarantine.want("events", None)
    append(log, event(1))

    moved = sources.open({"path": str(log), "account": "other", "api_user": "late"})
    async with reading(rig, events=moved, another=Odd()):
        await until(stands(rig, state=SourceState.FAILING))
        await until(stands(rig, "another", quarantined=1))
        await rig.engine.quarantine.want("another", None)
        await until(failed)  # and so was any that is wanted of the other source
        before = await row_of(rig)
        await rig.engine.checkpoints.forget("events")
        await until(stands(rig, account="other", taken=3))

    assert before.standing.account == "acme"
    assert (before.taken, before.quarantined, before.position) == (1, 1, "line 2")
    assert before.standing.fault.startswith("what is kept of it is of account 'acme', not 'other'")


async def failed() -> bool:
    return fences.failed["sources"] > 0
