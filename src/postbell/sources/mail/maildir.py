"""The source `maildir`: mails that a mail server delivered into a Maildir folder.

What lies in `new` is read, and moved to `cur` as seen, or removed, once its events are durable.
The checkpoint has the names of those read last: where the process ended before it moved them, they
are moved and not read again.
"""

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import msgspec

from postbell.errors import BadInput, ServiceError
from postbell.fences import fence
from postbell.ports import Fact, Inlet, Recall, SourceReading, SourceState
from postbell.sources.following import path_of
from postbell.sources.mail.mime import MAX_MAIL_BYTES
from postbell.sources.mail.reading import MailReader
from postbell.sources.mail.taking import ReadMail, gathered, is_enough, read
from postbell.sources.samples import mails_of
from postbell.sources.whose import MEMBERS, Whose
from postbell.text.headers import plain
from postbell.verp import Tracer

POLL_S = 1.0
SEEN = b":2,S"
"""What a name in `cur` ends with where a person or a program has seen the mail."""


class MaildirMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say of it."""

    path: str
    after: Literal["keep", "remove"] = "keep"
    unsubscribe: list[str] = []
    only_signed: bool = False


class MaildirPlace(msgspec.Struct, frozen=True):
    """Its checkpoint: how many mails were read, and the names of the last of them."""

    mails: int = 0
    names: tuple[bytes, ...] = ()


def open(members: Mapping[str, Any], whose: Whose, tracer: Tracer) -> "MaildirSource":
    """Return the source of these members; raise BadInput that names a wrong one."""
    try:
        given = msgspec.convert(members, MaildirMembers)
    except msgspec.ValidationError as error:
        known = ", ".join(("kind", *MEMBERS, *MaildirMembers.__struct_fields__))
        raise BadInput(f"{error}; members: {known}", member="source") from None
    reader = MailReader(tracer, whose, given.unsubscribe, only_signed=given.only_signed)
    return MaildirSource(path_of(given.path), given, whose, reader)


class _Looked(NamedTuple):
    """What was read at once, and what is wrong with the first that could not be."""

    names: tuple[bytes, ...]
    mails: list[ReadMail]
    fault: str


class MaildirSource:
    """Reads one folder, in a thread of its own: a disk that hangs keeps nobody else waiting.  What
    is signed may be anybody's."""

    kind = "maildir"
    is_shared = True

    def __init__(
        self, path: Path, members: MaildirMembers, whose: Whose, reader: MailReader
    ) -> None:
        self._new, self._cur = (os.fsencode(path / name) for name in ("new", "cur"))
        self._is_kept = members.after == "keep"
        self._reader = reader
        self.place = str(path)
        self.account = whose.account
        self.api_user = whose.api_user

    def sample(self, file: BinaryIO) -> Iterator[Fact]:
        """Yield the one mail, or those of an mbox."""
        return mails_of(file, MAX_MAIL_BYTES)

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        """Return what these mails tell of."""
        return gathered([await asyncio.to_thread(read, self._reader, fact) for fact in facts])

    async def run(self, inlet: Inlet) -> None:
        """Read the folder until cancelled."""
        with contextlib.ExitStack() as stack:
            thread = ThreadPoolExecutor(1, "postbell-source")
            stack.callback(thread.shutdown, wait=False)
            place = _place_of(inlet.checkpoint)
            while True:
                place = await self._step(place, thread, inlet)

    async def _step(self, place: MaildirPlace, thread: Executor, inlet: Inlet) -> MaildirPlace:
        """Move what was read, read what came since, and return the place after it."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(thread, self._put_away, place.names)
            place = MaildirPlace(place.mails)
            looked = await loop.run_in_executor(thread, self._look, place.mails)
        except OSError as error:
            inlet.report(SourceState.FAILING, fault=_fault(error))
            await asyncio.sleep(POLL_S)
            return place
        if looked.names:
            place = MaildirPlace(place.mails + len(looked.names), looked.names)
            reading = gathered(looked.mails)
            checkpoint, position = msgspec.json.encode(place), f"mail {place.mails}"
            await inlet.take(reading._replace(checkpoint=checkpoint, position=position))
        if looked.fault:
            inlet.report(SourceState.FAILING, fault=looked.fault)
        elif looked.names:
            inlet.report(SourceState.READING)
        else:
            inlet.report(SourceState.UP_TO_DATE, lag_bytes=0)
        if not looked.names:
            await asyncio.sleep(POLL_S)
        return place

    def _put_away(self, names: Sequence[bytes]) -> None:
        """Move mails out of `new`, those that still lie there."""
        for name in names:
            old = os.path.join(self._new, name)
            if not os.path.lexists(old):
                continue
            if self._is_kept:
                os.rename(old, os.path.join(self._cur, name.partition(b":")[0] + SEEN))
            else:
                os.unlink(old)

    def _look(self, before: int) -> _Looked:
        """Read the first mails that lie in `new`; one that may not be read is passed, and stays."""
        names: list[bytes] = []
        mails: list[ReadMail] = []
        fault = ""
        with os.scandir(self._new) as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                with fence("sources", item=f"a mail in {self.place}"):
                    try:
                        content = _content(entry.path)
                    except OSError as error:
                        fault = fault or _fault(error)
                        continue
                    number = before + len(names) + 1
                    place = f"mail {number} ({plain(entry.name)})"
                    mails.append(read(self._reader, Fact(place, content, number=number)))
                    names.append(entry.name)
                if is_enough(mails):
                    break
        return _Looked(tuple(names), mails, fault)


def _content(path: bytes) -> bytes:
    """Return the beginning of a mail; raise OSError for what is no file, and is not waited for."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no file", path)
        return os.read(file, MAX_MAIL_BYTES)
    finally:
        os.close(file)


def _fault(error: OSError) -> str:
    name = os.fsdecode(error.filename) if error.filename else "the folder"
    return f"cannot read {plain(name)}: {error.strerror}"


def _place_of(checkpoint: bytes) -> MaildirPlace:
    """Return the place that a checkpoint is; raise ServiceError where it is none."""
    try:
        return msgspec.json.decode(checkpoint or b"{}", type=MaildirPlace)
    except msgspec.DecodeError as error:
        raise ServiceError(
            f"its checkpoint cannot be read ({error}); begin anew with 'postbell sources forget'"
        ) from None
