"""Following the journal of systemd: `journalctl` is asked for what came after a cursor."""

import asyncio
import contextlib
import re
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from postbell.errors import ServiceError
from postbell.ports import Fact, Inlet, SourceReading, SourceState

MOST_AT_ONCE = 1_000
TOGETHER_S = 0.05
"""What comes within so long is handed over together."""


class Entries:
    """Entries of the journal, as `journalctl -o json` prints them, and the cursor of the last; the
    places of those *too_long* to be read."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        self.facts: list[Fact] = []
        self.too_long: list[Fact] = []

    async def read_one(self, out: StreamReader) -> bool:
        """Read one more; False at the end."""
        try:
            line = await out.readline()
        except ValueError:  # what was read of it is gone
            self.too_long.append(Fact(f"after {self.cursor}"[:200], b""))
            return True
        if found := _CURSOR(line):
            self.cursor = found[1].decode()
            self.facts.append(Fact(self.cursor[:200], line.strip()))
        return bool(line)


Read = Callable[[Entries, Executor], Awaitable[SourceReading]]
"""Makes events of some entries; work that takes long goes to the thread."""


async def follow_journal(cursor: str, max_bytes: int, inlet: Inlet, read: Read) -> None:
    """Hand over what facility `mail` writes after *cursor*, all of it where that is empty, until
    cancelled; an entry has at most *max_bytes*.  Raises ServiceError once `journalctl` ends."""
    process, out, errors = await _started(cursor, max_bytes)
    thread = ThreadPoolExecutor(1, "postbell-source")
    try:
        inlet.report(SourceState.UP_TO_DATE)
        while entries := await _next(out, cursor):
            await inlet.take(await read(entries, thread))
            cursor = entries.cursor
            inlet.report(SourceState.UP_TO_DATE)
        said = (await errors.read(1_000)).decode(errors="replace").strip()
        raise ServiceError(f"journalctl ended: {said or 'it said nothing'}")
    finally:
        thread.shutdown(wait=False)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _started(cursor: str, max_bytes: int) -> tuple[Process, StreamReader, StreamReader]:
    """Return the process, what it prints and what it says of errors."""
    after = [f"--after-cursor={cursor}"] if cursor else []
    options = ("--output=json", "--all", "--follow", "--lines=all", "--quiet", *after)
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


async def _next(out: StreamReader, cursor: str) -> Entries | None:
    """Return what comes next, None at the end."""
    entries = Entries(cursor)
    if not await entries.read_one(out):
        return None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TOGETHER_S):
            while len(entries.facts) < MOST_AT_ONCE and await entries.read_one(out):
                pass
    return entries


FACILITY = "SYSLOG_FACILITY=2"
"""Mail (RFC 5424 section 6.2.1)."""
_CURSOR = re.compile(rb'"__CURSOR"\s*:\s*"([^"\\]{1,1000})"').search
