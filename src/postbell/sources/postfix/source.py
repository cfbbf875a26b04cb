"""The source `postfix`: the log of Postfix, in a file or in the journal of systemd.

Its checkpoint is the `FilePlace` of `tail` or the journal's cursor, and how many clients were
turned away, as JSON.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from postbell.clock import SystemClock
from postbell.errors import BadInput, ServiceError
from postbell.ports import Fact, Inlet, Recall, RefusedFact, SourceReading, SourceState
from postbell.signals import log
from postbell.sources.following import follow, line_fact, path_of
from postbell.sources.postfix.drafts import KIND
from postbell.sources.postfix.journal import JOURNAL, Entries, follow_journal
from postbell.sources.postfix.mails import Mails
from postbell.sources.postfix.older import OlderLog, next_older
from postbell.sources.postfix.reader import Findings, LogReader, Noted
from postbell.sources.postfix.relays import Relays
from postbell.sources.samples import lines_of
from postbell.sources.tail import Chunk, FileLine, FilePlace, oldest
from postbell.sources.whose import MEMBERS, Whose
from postbell.verp import Tracer

MAX_LINE_BYTES = 1 << 18
MAX_ENTRY_BYTES = 2 * MAX_LINE_BYTES
"""An entry of the journal has more members than the line."""
MAX_POSITION_CHARS = 200
KEPT = timedelta(days=10)
"""What is known of a mail is kept so long after its last line; Postfix gives up after 5 days
(`maximal_queue_lifetime`)."""
MOST_KEPT = 300_000


class PostfixMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say of it."""

    path: str = ""
    journal: bool = False
    from_start: bool = False
    zone: str = ""
    relays: list[str] = []


class LogPlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the log was read, the file or, up to the *cursor*, the journal; *turned* clients were
    turned away before that.  Of older logs those are done that were written last before *older_ns*,
    and the *older_done* oldest of those that were written then; of the next the lines up to
    *older_line*."""

    file: FilePlace = FilePlace()
    turned: int = 0
    cursor: str = ""
    older_ns: int = 0
    older_done: int = 0
    older_line: int = 0


def open(members: Mapping[str, Any], whose: Whose, _: Tracer) -> "PostfixSource":
    """Return the source of these members; raise BadInput that names a wrong one."""
    try:
        given = msgspec.convert(members, PostfixMembers)
    except msgspec.ValidationError as error:
        known = ", ".join(("kind", *MEMBERS, *PostfixMembers.__struct_fields__))
        raise BadInput(f"{error}; members: {known}", member="source") from None
    if given.journal is bool(given.path):
        raise BadInput("name either the log in 'path' or 'journal = true'", member="path")
    path = None if given.journal else path_of(given.path)
    reader = partial(LogReader, Relays(given.relays), _zone(given.zone), whose)
    return PostfixSource(path, whose, reader, is_from_start=given.from_start)


class PostfixSource:
    """Follows the log; what it says is made events of in the thread that reads it."""

    kind = KIND

    def __init__(
        self,
        path: Path | None,
        whose: Whose,
        reader: Callable[[], LogReader],
        *,
        is_from_start: bool,
    ) -> None:
        self._path = path
        self._is_from_start = is_from_start
        self.place = JOURNAL if path is None else str(path)
        self.account = whose.account
        self.api_user = whose.api_user
        self.is_shared = whose.is_shared
        self._reader, self._apart = reader(), reader()
        self._clock = SystemClock()

    def sample(self, file: BinaryIO) -> Iterator[Fact]:
        """Yield the lines."""
        return lines_of(file, MAX_LINE_BYTES)

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        """Return the events of these lines, of a log that is written now; those of the quarantine
        neither ask for what is remembered nor change it."""
        findings, now = Findings(), self._clock.now()
        noted = self._apart.look((each for each in facts if not each.kept), findings)
        mails = await _recalled(self._apart, noted, recall)
        self._apart.fold(noted, mails, now, findings)
        for each in facts:
            if each.kept:
                self._apart.again(each, now, findings)
        return self._reading(findings, mails)

    async def run(self, inlet: Inlet) -> None:
        """Follow the log until cancelled."""
        place = _place_of(inlet.checkpoint)
        if self._path is None:
            read = partial(self._read_journal, inlet)
            await follow_journal(place.cursor, MAX_ENTRY_BYTES, inlet, read)
            return
        if self._is_from_start and not place.file.head_bytes:
            place = await self._read_older(self._path, place, inlet)
        await follow(self._path, place.file, MAX_LINE_BYTES, inlet, partial(self._read, inlet))

    async def _read_older(self, path: Path, place: LogPlace, inlet: Inlet) -> LogPlace:
        """Read what rotation has compressed; return where to go on: in the oldest log that it has
        not."""
        run = asyncio.get_running_loop().run_in_executor
        with contextlib.ExitStack() as stack:
            thread = ThreadPoolExecutor(1, "postbell-source")
            stack.callback(thread.shutdown, wait=False)
            while True:
                file = await run(thread, oldest, path)  # first: it may be compressed meanwhile
                older = await run(thread, next_older, path, place.older_ns, place.older_done)
                if place.older_line and (older is None or not _is_at(place, older)):
                    _say_lost(path, place)
                if older is None:
                    return msgspec.structs.replace(place, file=file)
                place = await self._read_one(older, place, inlet, thread)

    async def _read_one(
        self, older: OlderLog, place: LogPlace, inlet: Inlet, thread: Executor
    ) -> LogPlace:
        """Read one older log, the rest of it where it was begun."""
        run = asyncio.get_running_loop().run_in_executor
        written_at = datetime.fromtimestamp(older.modified_ns / 1e9, UTC)
        begun = place.older_line if _is_at(place, older) else 0
        parts, is_left = older.parts(begun, MAX_LINE_BYTES), True
        while is_left:
            part, refused = list[Fact](), list[RefusedFact]()
            try:
                part = await run(thread, next, parts, [])
            except BadInput as error:
                where = Fact(f"{older.path.name} after line {place.older_line}", b"")
                refused = [RefusedFact(where, error.code, error.message)]
            is_left = bool(part)
            line = part[-1].number if part else 0
            place = LogPlace(
                turned=place.turned,
                older_ns=older.modified_ns,
                older_done=older.before + (not is_left),
                older_line=line,
            )
            position = f"{older.path.name} line {line}" if part else f"{older.path.name} read"
            inlet.report(SourceState.READING)
            await inlet.take(
                await self._made(inlet, thread, part, refused, written_at, place, position)
            )
        return place

    async def _read(self, inlet: Inlet, chunk: Chunk, thread: Executor) -> SourceReading:
        written_at = datetime.fromtimestamp(chunk.after.modified_ns / 1e9, UTC)
        long = _too_long([line_fact(chunk.too_long, b"")] if chunk.too_long else [])
        place = msgspec.structs.replace(_place_of(inlet.checkpoint), file=chunk.after)
        position = f"line {chunk.after.line}"
        return await self._made(inlet, thread, chunk.lines, long, written_at, place, position)

    async def _read_journal(
        self, inlet: Inlet, entries: Entries, thread: Executor
    ) -> SourceReading:
        now, place = self._clock.now(), LogPlace(cursor=entries.cursor)
        position = entries.cursor[:MAX_POSITION_CHARS]
        return await self._made(
            inlet, thread, entries.facts, _too_long(entries.too_long), now, place, position
        )

    async def _made(
        self,
        inlet: Inlet,
        thread: Executor,
        lines: Sequence[Fact | FileLine],
        refused: Sequence[RefusedFact],
        written_at: datetime,
        place: LogPlace,
        position: str,
    ) -> SourceReading:
        """Return what lines up to a place make; the log was last written at *written_at*."""
        run, findings = asyncio.get_running_loop().run_in_executor, Findings()
        noted = await run(thread, self._reader.look, lines, findings)
        mails = await _recalled(self._reader, noted, inlet.recall)
        await run(thread, self._reader.fold, noted, mails, written_at, findings)
        turned = _place_of(inlet.checkpoint).turned + findings.turned
        findings.refused += refused
        return self._reading(findings, mails)._replace(
            checkpoint=msgspec.json.encode(msgspec.structs.replace(place, turned=turned)),
            position=position + (f", {turned} clients turned away" if turned else ""),
            seen=len(lines),
        )

    def _reading(self, findings: Findings, mails: Mails) -> SourceReading:
        forget, remember = mails.changes(self._clock.now() + KEPT)
        if mails.crowded_out:
            what = (
                "a mail has more deferred recipients than are remembered; these may expire unheard"
            )
            crowd = Fact(f"{mails.crowded_out} recipients", b"")
            findings.refused.append(RefusedFact(crowd, "too_many", what))
        return SourceReading(
            findings.drafts,
            findings.facts,
            refused=findings.refused,
            rules=findings.rules,
            forget=forget,
            remember=remember,
            most=MOST_KEPT,
        )


async def _recalled(reader: LogReader, noted: Sequence[Noted], recall: Recall) -> Mails:
    """Return what is remembered of the mails that some lines are about."""
    mails = Mails(await recall(reader.keys(noted)), reader.asked)
    if pages := reader.page_keys(noted, mails):
        mails.add_pages(await recall(pages))
    return mails


def _is_at(place: LogPlace, older: OlderLog) -> bool:
    """Say whether this older log is the one that was begun."""
    return (place.older_ns, place.older_done) == (older.modified_ns, older.before)


def _say_lost(path: Path, place: LogPlace) -> None:
    log(
        "source_lost",
        place=str(path),
        error=f"the compressed log that was read up to line {place.older_line} was removed: the"
        " lines after that one are lost; going on with the next newer log",
    )


def _too_long(facts: Sequence[Fact]) -> list[RefusedFact]:
    what = f"it has over {MAX_LINE_BYTES} bytes"
    return [RefusedFact(fact, "too_large", what) for fact in facts]


def _zone(name: str) -> tzinfo | None:
    """Return the zone of this name, None for the machine's own."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(
            f"no time zone {name!r}; a name as 'Europe/Paris' or 'UTC' expected", member="zone"
        ) from None


def _place_of(checkpoint: bytes) -> LogPlace:
    """Return the place that a checkpoint is; raise ServiceError where it is none."""
    try:
        return msgspec.json.decode(checkpoint, type=LogPlace) if checkpoint else LogPlace()
    except msgspec.DecodeError as error:
        raise ServiceError(
            f"its checkpoint cannot be read ({error}); begin at the start of the log with"
            " 'postbell sources forget'"
        ) from None
