"""The source `file`: a file that something appends events to, a line of JSON each.

Its checkpoint is the `FilePlace` of `tail` as JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from postbell.errors import BadInput, ServiceError
from postbell.events import MADE_HERE, Draft, EventType
from postbell.ingest.accepting import draft_of, made_here, parted
from postbell.ports import Fact, Inlet, Recall, RefusedFact, SourceReading
from postbell.sources.following import fact_of, follow, line_fact, path_of, refusal_of
from postbell.sources.samples import lines_of
from postbell.sources.tail import Chunk, FilePlace
from postbell.sources.whose import MEMBERS, MailFacts, Whose
from postbell.text.encodings import GZIP, NAMED, UTF_16, ZSTD
from postbell.verp import Tracer

MAX_CHUNK_BYTES = 1 << 20
"""A line that is longer is no event, which has 64 KiB at most."""


class Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say of it."""

    path: str
    format: Literal["json-lines"] = "json-lines"


def open(members: Mapping[str, Any], whose: Whose, _: Tracer) -> "FileSource":
    """Return the source of these members; raise BadInput that names a wrong one."""
    try:
        given = msgspec.convert(members, Members)
    except msgspec.ValidationError as error:
        known = ", ".join(("kind", *MEMBERS, *Members.__struct_fields__))
        raise BadInput(f"{error}; members: {known}", member="source") from None
    return FileSource(path_of(given.path), whose)


class FileSource:
    """Follows one file."""

    kind = "file"

    def __init__(self, path: Path, whose: Whose) -> None:
        self._path = path
        self._whose = whose
        self.place = str(path)
        self.account = whose.account
        self.api_user = whose.api_user
        self.is_shared = whose.is_shared

    def sample(self, file: BinaryIO) -> Iterator[Fact]:
        """Yield the lines."""
        return lines_of(file, MAX_CHUNK_BYTES)

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        """Return the events of these lines."""
        return self._read(facts)

    async def run(self, inlet: Inlet) -> None:
        """Follow the file until cancelled."""
        place = _place_of(inlet.checkpoint)
        await follow(self._path, place, MAX_CHUNK_BYTES, inlet, self._reading)

    async def _reading(self, chunk: Chunk, _thread: Executor) -> SourceReading:
        reading = self._read([fact_of(line) for line in chunk.lines])
        refused = list(reading.refused)
        if chunk.too_long:
            what = f"it has over {MAX_CHUNK_BYTES} bytes; an event is a line of 65536 at most"
            refused.append(RefusedFact(line_fact(chunk.too_long, b""), "too_large", what))
        return reading._replace(
            checkpoint=msgspec.json.encode(chunk.after),
            position=f"line {chunk.after.line}",
            refused=refused,
            seen=len(chunk.lines),
        )

    def _read(self, facts: Sequence[Fact]) -> SourceReading:
        drafts, read, rules, refused = [], [], [], []
        for fact in facts:
            try:
                draft = _draft(fact.raw)
                rule = self._whose.give(draft, _mail_of(draft)) if self._whose.has_rules else ""
            except Exception as error:
                refused.append(refusal_of(fact, error))
                continue
            drafts.append(draft)
            read.append(fact)
            rules.append(rule)
        return SourceReading(drafts, read, refused=refused, rules=rules)


def _mail_of(draft: Draft) -> MailFacts:
    """Return what an event says of its mail: the sender, and as headers what of its metadata is a
    text."""
    sender = draft.message.from_ if draft.message is not None else None
    named = (draft.metadata or {}).items()
    return MailFacts(
        sender=parted(sender)[1] if sender else "",
        headers={name.lower(): value for name, value in named if isinstance(value, str)},
    )


def _draft(line: bytes) -> Draft:
    """Return the event of a line, `unknown` where no type has its word; raise BadInput."""
    try:
        draft = draft_of(line)
    except BadInput as error:
        if error.code == "malformed":
            _refuse_other_files(line)
        draft = draft_of(_as_unknown(line, error))
    if draft.type in MADE_HERE - {EventType.UNKNOWN}:
        raise made_here(draft.type)
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
