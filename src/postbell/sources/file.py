"""The source `file`: a file that something appends events to, a line of JSON each.

Its checkpoint is the `FilePlace` of `tail` as JSON.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec

from postbell.errors import BadInput, ServiceError
from postbell.events import Draft, EventType
from postbell.fences import LOGGED, fence
from postbell.ingest.accepting import draft_of
from postbell.ports import Fact, Inlet, Recall, RefusedFact, SourceReading, SourceState
from postbell.signals import log
from postbell.sources.tail import POLL_S, QUIET_POLLS, Chunk, FilePlace, Tail
from postbell.text.encodings import GZIP, NAMED, UTF_16, ZSTD

MAX_CHUNK_BYTES = 1 << 20
"""A line that is longer is no event, which has 64 KiB at most."""
RETRY_S = 1.0


class Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say of it."""

    path: str
    account: str
    api_user: str
    format: Literal["json-lines"] = "json-lines"


def open(members: Mapping[str, Any]) -> "FileSource":
    """Return the source of these members; raise BadInput that names a wrong one."""
    try:
        given = msgspec.convert(members, Members)
    except msgspec.ValidationError as error:
        known = ", ".join(Members.__struct_fields__)
        raise BadInput(f"{error}; members: {known}", member="source") from None
    path = Path(given.path)
    if not path.is_absolute() or "\0" in given.path:
        raise BadInput(f"path is {given.path!r}; an absolute path expected", member="path")
    return FileSource(path, given.account, given.api_user)


class FileSource:
    """Follows one file through rotation, in a thread of its own: a disk that hangs keeps no other
    source from reading."""

    kind = "file"

    def __init__(self, path: Path, account: str, api_user: str) -> None:
        self._path = path
        self.place = str(path)
        self.account = account
        self.api_user = api_user

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        """Return the events of these lines."""
        return _read(facts)

    async def run(self, inlet: Inlet) -> None:
        """Follow the file until cancelled."""
        tail = Tail(
            self._path,
            _place_of(inlet.checkpoint),
            most_bytes=MAX_CHUNK_BYTES,
            say=lambda sentence: log("source_lost", place=self.place, error=sentence),
        )
        with contextlib.ExitStack() as stack:
            thread = ThreadPoolExecutor(1, "postbell-source")
            stack.callback(thread.shutdown, wait=False)
            stack.callback(thread.submit, tail.close)  # behind a read that this task gave up on
            while True:
                await self._step(tail, thread, inlet)

    async def _step(self, tail: Tail, thread: Executor, inlet: Inlet) -> None:
        """Read once, and hand over what was read."""
        try:
            chunk = await asyncio.get_running_loop().run_in_executor(thread, tail.read)
        except ServiceError as error:
            inlet.report(SourceState.FAILING, fault=error.message)
            await asyncio.sleep(RETRY_S)
            return
        lag = tail.lag_bytes
        if chunk is None:
            if not tail.missed_polls:
                inlet.report(SourceState.UP_TO_DATE, lag_bytes=lag)
            elif tail.missed_polls > QUIET_POLLS:
                missing = f"{self.place} is not there; it is read once it is"
                inlet.report(SourceState.WAITING, fault=missing)
            await asyncio.sleep(POLL_S)
            return
        await inlet.take(_reading(chunk))
        tail.confirm(chunk)
        inlet.report(SourceState.READING if lag else SourceState.UP_TO_DATE, lag_bytes=lag)


def _reading(chunk: Chunk) -> SourceReading:
    reading = _read([Fact(f"line {line.number}", line.raw) for line in chunk.lines])
    refused = list(reading.refused)
    if chunk.too_long:
        what = f"it has over {MAX_CHUNK_BYTES} bytes; an event is a line of 65536 at most"
        refused.append(RefusedFact(Fact(f"line {chunk.too_long}", b""), "too_large", what))
    return reading._replace(
        checkpoint=msgspec.json.encode(chunk.after),
        position=f"line {chunk.after.line}",
        refused=refused,
    )


def _read(facts: Sequence[Fact]) -> SourceReading:
    drafts, read, refused = [], [], []
    for fact in facts:
        with fence("sources", item=fact.place) as fenced:
            try:
                drafts.append(_draft(fact.raw))
                read.append(fact)
            except BadInput as error:
                refused.append(RefusedFact(fact, error.code, error.message))
        if fenced.has_failed:
            refused.append(RefusedFact(fact, "internal", LOGGED))
    return SourceReading(drafts, read, refused=refused)


def _draft(line: bytes) -> Draft:
    """Return the event of a line, `unknown` where no type has its word; raise BadInput."""
    try:
        draft = draft_of(line)
    except BadInput as error:
        if error.code == "malformed":
            _refuse_other_files(line)
        draft = draft_of(_as_unknown(line, error))
    draft.account = None
    return draft


def _refuse_other_files(raw: bytes) -> None:
    """Raise BadInput where a line is the first of another kind of file."""
    if raw.startswith(UTF_16):
        raise BadInput(f"the file {NAMED}", code="malformed")
    if raw.startswith((GZIP, ZSTD)):
        raise BadInput(
            "the file is compressed; name the one that is written to, or send it once with"
            " 'postbell events send'",
            code="malformed",
        )


def _as_unknown(raw: bytes, error: BadInput) -> bytes:
    """Return an event whose type is not known as one of type `unknown` that says so in
    `source.type`; raise *error* where something else is wrong with it."""
    if error.member != "type":
        raise error
    try:
        members = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as broken:
        raise BadInput(
            f"the event is not valid JSON in UTF-8: {broken}", code="malformed"
        ) from None
    given, source = members.get("type"), members.get("source") or {}
    if not isinstance(given, str) or not given or not isinstance(source, dict):
        raise error
    members |= {"type": EventType.UNKNOWN, "source": source | {"type": given}}
    return msgspec.json.encode(members)


def _place_of(checkpoint: bytes) -> FilePlace:
    """Return the place that a checkpoint is; raise ServiceError where it is none."""
    try:
        return msgspec.json.decode(checkpoint, type=FilePlace) if checkpoint else FilePlace()
    except msgspec.DecodeError as error:
        raise ServiceError(
            f"its checkpoint cannot be read ({error}); begin at the start of the file with"
            " 'postbell sources forget'"
        ) from None
