"""Following one file for a source, through rotation, in a thread of its own: a disk that hangs
keeps no other source from reading."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from postbell.errors import BadInput, ServiceError
from postbell.fences import LOGGED, note
from postbell.ports import Fact, Inlet, RefusedFact, SourceReading, SourceState
from postbell.signals import log
from postbell.sources.tail import POLL_S, QUIET_POLLS, Chunk, FileLine, FilePlace, Tail, begin

RETRY_S = 1.0

Read = Callable[[Chunk, Executor], Awaitable[SourceReading]]
"""Makes events of some lines; work that takes long goes to the thread."""


def path_of(given: str) -> Path:
    """Return the path of a file to follow; raise BadInput where it is none."""
    path = Path(given)
    if not path.is_absolute() or "\0" in given:
        raise BadInput(f"path is {given!r}; an absolute path expected", member="path")
    return path


def fact_of(line: Fact | FileLine, known: bytes = b"") -> Fact:
    """Return what was read of a file as a fact, with what is *known* behind it; one of the
    quarantine as it is."""
    if isinstance(line, FileLine):
        return line_fact(line.number, line.raw + known)
    return line._replace(raw=line.raw + known) if known and not line.kept else line


def line_fact(number: int, raw: bytes) -> Fact:
    """Return a line as a fact; *raw* is empty where it was not kept."""
    return Fact(f"line {number}", raw, number=number)


def refusal_of(fact: Fact, error: Exception) -> RefusedFact:
    """Return how a fact is refused of which no event could be made: by its own fault, or by an
    error of ours, which stops nothing either."""
    if isinstance(error, BadInput):
        return RefusedFact(fact, error.code, error.message)
    note("sources", error, item=fact.place)
    return RefusedFact(fact, "internal", LOGGED)


async def follow(path: Path, place: FilePlace, max_bytes: int, inlet: Inlet, read: Read) -> None:
    """Follow the file from *place* on until cancelled; a line has at most *max_bytes*.

    Where it begins is kept before anything is read: the file may be rotated while nobody looks.
    """
    with contextlib.ExitStack() as stack:
        thread = ThreadPoolExecutor(1, "postbell-source")
        stack.callback(thread.shutdown, wait=False)
        if place == FilePlace():
            begun = await asyncio.get_running_loop().run_in_executor(thread, begin, path)
            await inlet.take(await read(Chunk(place, [], 0, begun, False), thread))
            place = begun
        tail = Tail(
            path,
            place,
            most_bytes=max_bytes,
            say=lambda sentence: log("source_lost", place=str(path), error=sentence),
        )
        stack.callback(thread.submit, tail.close)  # behind a read that this task gave up on
        while True:
            await _step(path, tail, thread, inlet, read)


async def _step(path: Path, tail: Tail, thread: Executor, inlet: Inlet, read: Read) -> None:
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
            missing = f"{path} is not there; it is read once it is"
            inlet.report(SourceState.WAITING, fault=missing)
        await asyncio.sleep(POLL_S)
        return
    await inlet.take(await read(chunk, thread))
    tail.confirm(chunk)
    inlet.report(SourceState.READING if lag else SourceState.UP_TO_DATE, lag_bytes=lag)
