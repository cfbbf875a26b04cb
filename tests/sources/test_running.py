"""Sources at work over a real file: what comes in, and what goes wrong with one."""

import asyncio
import contextlib
import gzip
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from postbell import fences, sources
from postbell.errors import BadInput, Overloaded, StorageError
from postbell.events import Draft, EventType
from postbell.ingest.ingest import Ingest
from postbell.ports import (
    Fact,
    Inlet,
    Progress,
    QuarantinedFact,
    Recall,
    RefusedFact,
    SourceReading,
    SourceRow,
    SourceStanding,
    SourceState,
)
from postbell.reports.sources import SourcesReport
from postbell.sources.running import SourceParts, Sources
from tests.delivery.rig import Rig, event, running
from tests.ingest.test_ingest import FailingLog, stored_ids

LIMIT_S = 30


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture(autouse=True)
def unfailed() -> None:
    fences.failed.clear()


def append(path: Path, *lines: object) -> None:
    with path.open("a") as file:
        for line in lines:
            file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")


@contextlib.asynccontextmanager
async def reading(
    rig: Rig, *paths: Path, ingest: Ingest | None = None, **others: Any
) -> AsyncIterator[None]:
    """Run a source for each file, named as the file is, and *others*, into the rig's ingest or
    that of another process."""
    named: dict[str, Any] = {
        path.stem: sources.open({"path": str(path), "account": "acme", "api_user": "main"})
        for path in paths
    }
    parts = SourceParts(
        ingest or rig.ingest,
        rig.engine.checkpoints,
        rig.engine.quarantine,
        rig.directory,
        rig.clock,
    )
    task = asyncio.create_task(Sources(named | others, parts).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()


async def until(done: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await done():
            await asyncio.sleep(0.02)


async def row_of(rig: Rig, name: str = "events") -> SourceRow:
    found = await rig.engine.checkpoints.read(name)
    assert found is not None
    return found


def stands(rig: Rig, name: str = "events", **members: Any) -> Callable[[], Awaitable[bool]]:
    """Return what says whether a source stands so: members of its row or of its standing."""

    async def so() -> bool:
        found = await rig.engine.checkpoints.read(name)
        return found is not None and all(
            getattr(found, member, None) == value or getattr(found.standing, member, None) == value
            for member, value in members.items()
        )

    return so


async def test_lines_come_in_and_on_after_a_restart(log: Path) -> None:
    async with running() as rig:
        append(log, event(0), event(1))
        async with reading(rig, log):
            await until(stands(rig, taken=2))
        append(log, event(2))
        async with reading(rig, log):
            await until(stands(rig, taken=3))

        found = await row_of(rig)
        assert await stored_ids(rig) == ["e0", "e1", "e2"]
        assert (found.position, found.duplicates) == ("line 3", 0)
        assert found.standing.state is SourceState.STOPPED


async def test_a_line_that_is_no_event_is_counted_and_passed(log: Path) -> None:
    async with running() as rig:
        append(log, event(0), "not json", {"type": "open"}, "", event(1), event(2, api_user="?"))
        append(log, '{"type":7,"recipient":"a@b.example"}', "x" * (1 << 20), event(3))

        async with reading(rig, log):
            await until(stands(rig, taken=3))

        found = await row_of(rig)
        assert await stored_ids(rig) == ["e0", "e1", "e3"]
        assert (found.refused, found.position) == (5, "line 9")
        assert found.standing.refusal.startswith("line 8: it has over 1048576 bytes")


async def test_a_type_that_there_is_not_comes_in_as_unknown(log: Path) -> None:
    async with running() as rig:
        given = {"event_id": "u", "type": "rebound", "recipient": "a@b.example"}
        append(log, given | {"source": {"kind": "mta"}, "metadata": {"a": 1.5}})

        async with reading(rig, log):
            await until(stands(rig, taken=1))

        [block] = await rig.engine.log.load([1])
        stored = json.loads(block.body)
        assert (stored["type"], stored["metadata"]) == ("unknown", {"a": 1.5})
        assert stored["source"] == {"kind": "mta", "type": "rebound"}


async def test_a_file_says_nothing_of_the_suppression_list(log: Path) -> None:
    async with running() as rig:
        kinds = ("suppressed", "unsuppressed")
        made = [{"type": kind, "recipient": "a@b.example"} for kind in kinds]
        append(log, *made, event(0))

        async with reading(rig, log):
            await until(stands(rig, taken=1, refused=2))

        assert [fact.code for fact in await quarantined(rig)] == ["refused_type"] * 2


async def test_a_line_names_an_api_user_but_no_other_account(log: Path) -> None:
    async with running() as rig:
        registry = rig.engine.registry
        await registry.add_api_user(rig.account.id, "second", "x", rig.clock.now())
        other = await registry.add_account("other", rig.clock.now())
        await registry.add_api_user(other.id, "theirs", "x", rig.clock.now())
        await rig.directory.refresh()
        append(log, event(0, api_user="second"), event(1, account="other"))
        append(log, event(2, account="other", api_user="theirs"))

        async with reading(rig, log):
            await until(stands(rig, taken=2, refused=1))

        headers = await rig.engine.log.tail(0, 10)
        assert {header.account_id for header in headers} == {rig.account.id}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("\ufeff" + json.dumps(event(0)) + "\n", ""),
        (json.dumps(event(0)).encode("utf-16") + b"\n", "line 1: the file is UTF-16"),
        (gzip.compress(b"x" * 100, mtime=0) + b"\n", "line 1: the file is compressed"),
    ],
    ids=["marked", "utf-16", "gzip"],
)
async def test_a_file_in_another_form_is_told(log: Path, content: str | bytes, told: str) -> None:
    async with running() as rig:
        log.write_bytes(content.encode() if isinstance(content, str) else content)

        async with reading(rig, log):
            await until(stands(rig, lag_bytes=0, state=SourceState.UP_TO_DATE))

        found = await row_of(rig)
        assert (found.taken == 1, found.refused == 0) == (not told, not told)
        assert found.standing.refusal.startswith(told)


async def test_what_was_rotated_before_its_first_line_was_read_comes_in(log: Path) -> None:
    async with running() as rig:
        log.touch()
        async with reading(rig, log):
            await until(stands(rig, state=SourceState.UP_TO_DATE))
        append(log, event(0))
        log.rename(log.with_name(f"{log.name}.1"))
        append(log, event(1))
        async with reading(rig, log):
            await until(stands(rig, taken=2))

        assert await stored_ids(rig) == ["e0", "e1"]


async def test_a_file_is_waited_for(log: Path) -> None:
    async with running() as rig:
        missing = f"{log} is not there; it is read once it is"
        async with reading(rig, log):
            await until(stands(rig, state=SourceState.WAITING, fault=missing))
            append(log, event(0))
            await until(stands(rig, taken=1, state=SourceState.UP_TO_DATE))


async def test_what_cannot_be_read_is_told_and_tried_again(log: Path) -> None:
    async with running() as rig:
        log.mkdir()
        async with reading(rig, log):
            await until(stands(rig, state=SourceState.FAILING))
            fault = (await row_of(rig)).standing.fault
            log.rmdir()
            append(log, event(0))
            await until(stands(rig, taken=1))

        assert "is a folder; name a file" in fault


async def test_an_account_and_an_api_user_are_waited_for(log: Path) -> None:
    async with running() as rig:
        append(log, event(0))
        late = sources.open({"path": str(log), "account": "late", "api_user": "mail"})
        faults = []
        async with reading(rig, late=late):
            await until(stands(rig, "late", state=SourceState.FAILING))
            faults.append((await row_of(rig, "late")).standing.fault)
            account = await rig.engine.registry.add_account("late", rig.clock.now())
            await rig.directory.refresh()
            await until(stands(rig, "late", fault=NO_USER))
            await rig.engine.registry.add_api_user(account.id, "mail", "x", rig.clock.now())
            await rig.directory.refresh()
            await until(stands(rig, "late", taken=1))

        assert "postbell accounts create late" in faults[0]


NO_USER = (
    "no api user 'mail' in account 'late'; make it with 'postbell api-users create late mail', or"
    " name another in the settings"
)


class LyingLog(FailingLog):
    """The engine's log; the first append is written, and then said to have failed."""

    def __init__(self, log: Any) -> None:
        super().__init__(log, [])
        self.lied = 0

    async def append(self, *args: Any, **kwargs: Any) -> Any:
        headers = await super().append(*args, **kwargs)
        if not self.lied:
            self.lied += 1
            raise StorageError("nobody knows whether it was written")
        return headers


async def test_what_is_full_is_waited_for_and_nothing_is_lost_or_doubled(log: Path) -> None:
    """Lines without an id: nothing would tell a second one from the first."""
    async with running() as rig:
        rig.engine.log = FailingLog(
            rig.engine.log, [StorageError("the disk is full"), Overloaded("too many events wait")]
        )
        append(log, *({"type": "open", "recipient": f"a{n}@b.example"} for n in range(5)))

        async with reading(rig, log):
            await until(stands(rig, state=SourceState.HELD))
            await until(stands(rig, taken=5))

        assert len(await stored_ids(rig)) == 5


async def test_what_was_written_though_it_seemed_not_is_not_doubled(log: Path) -> None:
    async with running() as rig:
        rig.engine.log = lying = LyingLog(rig.engine.log)
        append(log, {"type": "open", "recipient": "a@b.example"})

        async with reading(rig, log):
            await until(stands(rig, taken=1))
            append(log, {"type": "click", "recipient": "a@b.example"})
            await until(stands(rig, taken=2))

        assert (lying.lied, len(await stored_ids(rig))) == (1, 2)


class Broken:
    """A source with a bug."""

    kind, place, account, api_user = "broken", "nowhere", "acme", "main"
    is_shared = False

    def sample(self, file: BinaryIO) -> Iterator[Fact]:
        return iter(())

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        raise LookupError("a bug")

    async def run(self, inlet: Inlet) -> None:
        await inlet.take(SourceReading([], [], b"here", "somewhere"))
        raise LookupError("a bug")


async def test_a_bug_of_one_source_ends_no_other(log: Path) -> None:
    async with running() as rig:
        append(log, event(0))

        async with reading(rig, log, broken=Broken()):
            await until(stands(rig, "broken", fault="LookupError: a bug"))
            append(log, event(1))
            await until(stands(rig, taken=2))

        assert (await row_of(rig, "broken")).position == "somewhere"


class LateLog(FailingLog):
    """The engine's log; the first append is written long before it says so."""

    def __init__(self, log: Any) -> None:
        super().__init__(log, [])
        self.go_on = asyncio.Event()

    async def append(self, *args: Any, **kwargs: Any) -> Any:
        headers = await super().append(*args, **kwargs)
        await self.go_on.wait()
        return headers


class Impatient:
    """A source whose peer does not wait for a commit."""

    kind, place, account, api_user = "impatient", "a peer", "acme", "main"
    is_shared = False
    sample, read = Broken.sample, Broken.read

    def __init__(self, log: LateLog) -> None:
        self._log = log
        self.begun = 0

    async def run(self, inlet: Inlet) -> None:
        self.begun += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await inlet.take(self._reading(0))
        self._log.go_on.set()
        await inlet.take(self._reading(0))
        await inlet.take(self._reading(1))
        await asyncio.get_running_loop().create_future()

    def _reading(self, number: int) -> SourceReading:
        draft = Draft(type=EventType.SENT, recipient="a@b.example", event_id=f"s{number}")
        return SourceReading([draft], [Fact("here", b"raw")], b"", f"mail {number}")


async def test_who_does_not_wait_for_the_commit_hands_over_again(log: Path) -> None:
    async with running() as rig:
        rig.engine.log = late = LateLog(rig.engine.log)
        source = Impatient(late)

        async with reading(rig, smtp=source):
            await until(stands(rig, "smtp", position="mail 1"))

        found = await row_of(rig, "smtp")
        assert (source.begun, found.taken, found.duplicates) == (1, 2, 1)
        assert await stored_ids(rig) == ["s0", "s1"]


async def test_a_source_that_is_forgotten_begins_anew(log: Path) -> None:
    async with running() as rig:
        append(log, event(0), event(1))
        async with reading(rig, log):
            await until(stands(rig, taken=2))
            rig.clock.advance(1)
            await rig.engine.checkpoints.forget("events")
            await until(stands(rig, duplicates=2))

        assert await stored_ids(rig) == ["e0", "e1"]


async def test_a_line_is_whose_the_first_rule_says_that_fits_it(log: Path) -> None:
    async with running() as rig:
        registry = rig.engine.registry
        other = await registry.add_account("other", rig.clock.now())
        await registry.add_api_user(other.id, "theirs", "x", rig.clock.now())
        await registry.add_api_user(other.id, "second", "x", rig.clock.now())
        await rig.directory.refresh()
        theirs = {"account": "other", "api_user": "theirs"}
        nobody = {"account": "nobody", "api_user": "theirs"}
        rules = [
            theirs | {"sender": "other.example"},
            theirs | {"header": {"X-Tenant": "other"}},
            nobody | {"sender": "nobody.example"},
        ]
        members = {"path": str(log), "account": "acme", "api_user": "main", "rule": rules}
        source = sources.open(members | {"unmatched": "refuse"})
        from_other = {"message": {"from": "Other <x@OTHER.example>"}}
        append(
            log,
            event(0, **from_other),
            event(1, **from_other, api_user="second"),
            event(2, metadata={"x-tenant": "other", "n": 7}),
            event(3, message={"from": "x@nobody.example"}),
            event(4, message={"from": "x@else.example"}),
            event(5),
            event(6, **from_other, api_user="main"),
        )

        async with reading(rig, shared=source):
            await until(stands(rig, "shared", taken=3, unmatched=2, refused=2, quarantined=2))

        headers = await rig.engine.log.tail(0, 10)
        facts = await quarantined(rig, "shared")
        assert [(each.account_id, each.count) for each in headers] == [(other.id, 2), (other.id, 1)]
        assert sorted((fact.place, fact.code) for fact in facts) == [
            ("line 4", "unknown_account"), ("line 7", "unknown_api_user"),
        ]  # fmt: skip
        assert (await row_of(rig, "shared")).standing.is_shared


async def test_what_is_kept_of_others_is_not_shown_once_the_rules_are_gone(log: Path) -> None:
    members = {"path": str(log), "account": "acme", "api_user": "main"}
    rule = {"account": "other", "api_user": "?", "header": {"x": "other"}}
    async with running() as rig:
        append(log, event(0, metadata={"x": "other"}))
        async with reading(rig, events=sources.open(members | {"rule": [rule]})):
            await until(stands(rig, quarantined=1))
        append(log, event(1))
        async with reading(rig, events=sources.open(members | {"account": "other"})):
            await until(stands(rig, state=SourceState.FAILING, is_shared=True))
        async with reading(rig, events=sources.open(members)):
            await until(stands(rig, taken=1, state=SourceState.UP_TO_DATE))

        report = SourcesReport(rig.engine.checkpoints, rig.engine.quarantine, rig.clock)
        assert await report.of("acme") == []
        assert [source.quarantined for source in await report.all()] == [1]


async def test_without_a_match_a_line_is_of_the_sources_own_account(log: Path) -> None:
    async with running() as rig:
        rule = {"account": "other", "api_user": "theirs", "sender": "other.example"}
        members = {"path": str(log), "account": "acme", "api_user": "main", "rule": [rule]}
        append(log, event(0), event(1, message={"from": "x@else.example"}))

        async with reading(rig, shared=sources.open(members)):
            await until(stands(rig, "shared", taken=2))

        assert await stored_ids(rig) == ["e0", "e1"]


async def quarantined(rig: Rig, name: str = "events") -> list[QuarantinedFact]:
    """Return what is in quarantine, the oldest first."""
    return (await rig.engine.quarantine.page(name, None, 1000))[::-1]


async def test_what_is_not_understood_is_kept_with_its_bytes_and_its_place(log: Path) -> None:
    async with running() as rig:
        append(log, event(0), event(1, api_user="?"), "not json", "x" * (1 << 20), event(2))

        async with reading(rig, log):
            await until(stands(rig, taken=2, refused=3, quarantined=3))

        user, line, long = await quarantined(rig)
        assert (line.place, line.code, line.raw) == ("line 3", "malformed", b"not json")
        assert (user.place, user.code) == ("line 2", "unknown_api_user")
        assert json.loads(user.raw) == event(1, api_user="?")
        assert (long.place, long.code, long.is_whole) == ("line 4", "too_large", False)


async def test_what_is_read_again_comes_in_once_or_stays(log: Path) -> None:
    """A line without an id and a time: nothing but the commit tells one from a second reading."""
    async with running() as rig:
        late = {"type": "open", "recipient": "a@b.example", "api_user": "late"}
        append(log, late, "not json", event(0))
        async with reading(rig, log):
            await until(stands(rig, taken=1, quarantined=2))
            await rig.engine.registry.add_api_user(rig.account.id, "late", "x", rig.clock.now())
            await rig.directory.refresh()
            await rig.engine.quarantine.want("events", None)
            await until(stands(rig, taken=2, quarantined=1))
            append(log, event(1))
            await until(stands(rig, taken=3))

        found = await row_of(rig)
        [left] = await quarantined(rig)
        assert (left.raw, left.is_wanted) == (b"not json", False)
        assert (found.refused, found.position) == (2, "line 4")
        assert len(await stored_ids(rig)) == 3


async def test_two_processes_that_read_a_fact_again_take_it_once(log: Path) -> None:
    async with running() as rig:
        ingest = Ingest(rig.engine, rig.clock, rig.directory)
        await ingest.start()
        committing = asyncio.create_task(ingest.run())
        lines = ({"type": "open", "recipient": f"{n}@b.example", "api_user": "?"} for n in range(9))
        append(log, *lines)
        async with reading(rig, log), reading(rig, log, ingest=ingest):
            await until(stands(rig, quarantined=9))
            await rig.engine.registry.add_api_user(rig.account.id, "?", "x", rig.clock.now())
            await rig.directory.refresh()
            await rig.engine.quarantine.want("events", None)
            await until(stands(rig, quarantined=0))

        committing.cancel()
        assert len(await stored_ids(rig)) == 9


async def test_what_cannot_be_written_now_is_read_again_later(log: Path) -> None:
    async with running() as rig:
        append(log, event(0, api_user="late"))
        async with reading(rig, log):
            await until(stands(rig, quarantined=1))
            await rig.engine.registry.add_api_user(rig.account.id, "late", "x", rig.clock.now())
            await rig.directory.refresh()
            rig.engine.log = FailingLog(rig.engine.log, [StorageError("the disk is full")])
            await rig.engine.quarantine.want("events", None)
            await until(stands(rig, taken=1, quarantined=0))
            append(log, event(1))
            await until(stands(rig, taken=2))

        assert await stored_ids(rig) == ["e0", "e1"]


async def test_a_bug_that_a_fact_meets_when_it_is_read_again_is_said_of_it(log: Path) -> None:
    async with running() as rig, reading(rig, broken=Broken()):
        await until(stands(rig, "broken", position="somewhere"))
        row = await row_of(rig, "broken")
        refused = [RefusedFact(Fact("here", b"a fact"), "malformed", "unheard of")]
        progress = [Progress("broken", row.revision, row.checkpoint, quarantine=refused)]
        now, head = rig.clock.now(), await rig.engine.log.head()
        await rig.engine.log.append([], [], head=head, now=now, progress=progress)
        await rig.engine.quarantine.want("broken", None)

        async def is_said() -> bool:
            [fact] = await quarantined(rig, "broken")
            return (fact.code, fact.is_wanted) == ("internal", False)

        await until(is_said)


async def test_of_two_processes_that_listen_at_one_address_the_one_that_does_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And where it ends, the other takes over."""
    said: list[SourceState] = []
    members = {"kind": "mail", "account": "acme", "api_user": "main"}
    async with running() as rig:
        tell = rig.engine.checkpoints.tell

        async def told(standings: Mapping[str, SourceStanding]) -> dict[str, int]:
            said.extend(each.state for each in standings.values())
            return await tell(standings)

        async def is_failing() -> bool:
            return SourceState.FAILING in said

        monkeypatch.setattr(rig.engine.checkpoints, "tell", told)
        first = sources.open(members | {"listen": "127.0.0.1:0"})
        async with contextlib.AsyncExitStack() as other:
            async with reading(rig, bounces=first):
                await until(stands(rig, "bounces", state=SourceState.UP_TO_DATE))
                second = sources.open(members | {"listen": f"127.0.0.1:{first.port}"})
                await other.enter_async_context(reading(rig, bounces=second))
                await until(is_failing)
                assert (await row_of(rig, "bounces")).standing.state is SourceState.UP_TO_DATE
            await until(stands(rig, "bounces", place=second.place, state=SourceState.UP_TO_DATE))


async def test_two_processes_that_read_one_file_take_each_line_once(log: Path) -> None:
    """Lines without an id, so that only the checkpoint keeps them from coming twice."""
    async with running() as rig:
        ingest = Ingest(rig.engine, rig.clock, rig.directory)
        await ingest.start()
        committing = asyncio.create_task(ingest.run())
        async with reading(rig, log), reading(rig, log, ingest=ingest):
            for number in range(3):
                lines = ({"type": "open", "recipient": f"{number}-{n}@b.example"} for n in range(9))
                append(log, *lines)
                await until(stands(rig, taken=9 * (number + 1)))

        committing.cancel()
        assert len(await stored_ids(rig)) == 27


@pytest.mark.parametrize("line", [
    b"{}\x0cu",
    b'{"type":"x","recipient":"a@b"} and more',
    b'{"type":"x","recipient":"a@b"',
    b'{"type":"x","recipient":"\xff"}',
    b'{"type":"x","recipient":"a@b","metadata":{"a":1e999}}',
    b'{"type":"x","metadata":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b'{"type":"x","recipient":"a@b","source":[1]}',
    b'{"type":"","recipient":"a@b"}',
], ids=range(8))  # fmt: skip
async def test_a_line_that_begins_well_and_goes_on_badly_stops_nothing(
    log: Path, line: bytes
) -> None:
    async with running() as rig:
        log.write_bytes(line + b"\n")
        append(log, event(0))

        async with reading(rig, log):
            await until(stands(rig, taken=1, refused=1))

        assert await stored_ids(rig) == ["e0"]
        assert fences.failed["sources"] == 0


async def test_of_lines_that_a_disk_has_changed_none_stops_the_source(log: Path) -> None:
    chance = random.Random(7)
    good = json.dumps(event(0, "delivrd", metadata={"a": [1.5, None]}, smtp={"code": 250})).encode()
    async with running() as rig:
        with log.open("wb") as file:
            for _ in range(3000):
                line = bytearray(good)
                for _ in range(chance.choice([1, 1, 2, 9])):
                    line[chance.randrange(len(line))] = chance.choice(b'{}[]",:\\0aeE-.\xff\xc3 \0')
                file.write(line + b"\n")
        append(log, event(1))

        async with reading(rig, log):
            await until(stands(rig, lag_bytes=0, state=SourceState.UP_TO_DATE))

        found = await row_of(rig)
        assert found.position == "line 3001"
        assert found.taken + found.duplicates + found.refused == 3001
        assert (await stored_ids(rig))[-1] == "e1"
        assert fences.failed["sources"] == 0


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"kind": "pigeon"}, "no kind of source 'pigeon'; known: file, mail, maildir, postfix"),
        ({"kind": ["file"]}, "no kind of source"),
        ({}, "missing required field `account`"),
        ({"account": "a", "api_user": "b"}, "missing required field `path`"),
        ({"path": "events.jsonl", "account": "a", "api_user": "b"}, "an absolute path expected"),
        ({"path": "/x", "account": "a", "api_user": "b", "formt": "x"}, "unknown field `formt`"),
        ({"path": "/x", "account": "a", "api_user": "b", "format": "csv"}, "csv"),
        ({"path": "/x", "account": 7, "api_user": "b"}, "account"),
    ],
)
def test_a_source_that_is_said_wrong_is_refused(members: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        sources.open(members)
