"""Following the journal of systemd: `journalctl` is asked for what came from a cursor on."""

import asyncio
import contextlib
import re
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from postbell.errors import ServiceError
from postbell.ports import Fact, Inlet, SourceReading, SourceState
from postbell.signals import log
from postbell.sources.samples import AT_ONCE, AT_ONCE_BYTES

JOURNAL = "the journal"
TOGETHER_S = 0.05
"""What comes within so long is handed over together."""


class Entries:
    """Entries of the journal, as `journalctl -o json` prints them, and the cursor of the last; the
    places of those *too_long* to be read."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        self.facts: list[Fact] = []
        self.too_long: list[Fact] = []
        self.seen = self._size_bytes = 0

    @property
    def is_full(self) -> bool:
        """Say whether no more of them are to be handed over together."""
        return self.seen >= AT_ONCE or self._size_bytes >= AT_ONCE_BYTES

    def add(self, entry: bytes) -> None:
        """Add one, empty for one that is too long."""
        self.seen += 1
        if not entry:
            self.too_long.append(Fact(f"after {self.cursor}"[:200], b"", number=self.seen))
            return
        self.cursor = cursor_of(entry) or self.cursor
        self._size_bytes += len(entry)
        self.facts.append(Fact(self.cursor[:200], entry, number=self.seen))


class Output:
    """What `journalctl` prints of the entries after a cursor, one by one."""

    def __init__(self, out: StreamReader, cursor: str) -> None:
        self._out = out
        self._after = cursor
        self._is_inside = False

    async def next(self) -> bytes | None:
        """Return the next entry, empty for one that is longer than there is room for; None at the
        end: one that breaks off there comes again whole.  May be cancelled at any moment."""
        while True:
            try:
                line = await self._out.readuntil()
            except asyncio.IncompleteReadError:
                return None
            except asyncio.LimitOverrunError as error:
                self._is_inside = True
                await self._out.readexactly(error.consumed)  # which is there
                continue
            is_end_of_long, self._is_inside = self._is_inside, False
            if is_end_of_long:
                return b""
            entry = line.strip()
            if entry and not self._is_read(entry):
                return entry

    def _is_read(self, entry: bytes) -> bool:
        """Say whether it is the one at the cursor: it comes first, unless it is gone."""
        after, self._after = self._after, ""
        if after and cursor_of(entry) != after:
            log(
                "source_lost",
                place=JOURNAL,
                error="the entry that was read last is not in the journal any more: entries after"
                " it, if there were any, are lost; going on with the oldest that is newer",
            )
            return False
        return bool(after)


def cursor_of(entry: bytes) -> str:
    """Return the cursor of an entry, empty where it says none."""
    found = _CURSOR(entry)
    return found[1].decode() if found else ""


Read = Callable[[Entries, Executor], Awaitable[SourceReading]]
"""Makes events of some entries; work that takes long goes to the thread."""


async def follow_journal(cursor: str, max_bytes: int, inlet: Inlet, read: Read) -> None:
    """Hand over what facility `mail` writes after *cursor*, all of it where that is empty, until
    cancelled; an entry has at most *max_bytes*.  Raises ServiceError once `journalctl` ends."""
    process, out, errors = await _started(cursor, max_bytes)
    thread = ThreadPoolExecutor(1, "postbell-source")
    output = Output(out, cursor)
    try:
        inlet.report(SourceState.UP_TO_DATE)
        while entries := await _next(output, cursor):
            await inlet.take(await read(entries, thread))
            cursor = entries.cursor
            if entries.is_full:
                inlet.report(SourceState.READING)
            else:
                inlet.report(SourceState.UP_TO_DATE, lag_bytes=0)
        said = (await errors.read(1_000)).decode(errors="replace").strip()
        way_out = "; put the service's user into the group systemd-journal"
        may_not = "permission" in said.lower()
        raise ServiceError(
            f"journalctl ended: {said or 'it said nothing'}{way_out if may_not else ''}"
        )
    finally:
        thread.shutdown(wait=False)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # its end is not heard of behind what nobody reads


async def _started(cursor: str, max_bytes: int) -> tuple[Process, StreamReader, StreamReader]:
    """Return the process, what it prints and what it says of errors.

    It begins with the entry at the cursor: told to begin after it, it passes the next one by where
    that one is gone (systemd 252).  Who follows is shown the last boot alone, whatever he asks for,
    but of journals that are merged: those of other machines that are here come with them.
    """
    at = [f"--cursor={cursor}"] if cursor else []
    whole = ("--merge", "--follow", "--boot=all")  # in this order before systemd 254
    options = ("--output=json", "--all", *whole, "--lines=all", "--quiet", *at)
    try:
        process = await asyncio.create_subprocess_exec(
            "journalctl", *options, FACILITY, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
            limit=max_bytes,
        )  # fmt: skip
    except OSError as error:
        raise ServiceError(
            f"cannot run journalctl: {error.strerror}; name the log file in 'path' instead"
        ) from None
    return process, process.stdout or StreamReader(), process.stderr or StreamReader()


async def _next(output: Output, cursor: str) -> Entries | None:
    """Return what comes next, None at the end."""
    if (entry := await output.next()) is None:
        return None
    entries = Entries(cursor)
    entries.add(entry)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TOGETHER_S):
            while not entries.is_full and (entry := await output.next()) is not None:
                entries.add(entry)
    return entries


FACILITY = "SYSLOG_FACILITY=2"
"""Mail (RFC 5424 section 6.2.1)."""
_CURSOR = re.compile(rb'"__CURSOR"\s*:\s*"([^"\\]{1,1000})"').search
