"""How a serving process comes up: it opens its storage and reads from it all that it must know
before it serves, and tries that again for as long as the storage cannot be had.

`app` wires what comes of it.
"""

import asyncio
import contextlib
import socket
from typing import NamedTuple

from postbell.api.health import unready
from postbell.clock import Clock
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.errors import StorageError, TakenOver
from postbell.ingest.ingest import Ingest
from postbell.ports import Engine
from postbell.serving.listening import Door
from postbell.serving.opening import may_open_later, open_engine
from postbell.serving.server import serving
from postbell.serving.timekeeping import SteadyClock
from postbell.serving.tls import Certificate
from postbell.settings.members import Settings
from postbell.signals import log

FULL_S = 1.0
"""A start that waits for space, or for a server, looks for it so often."""
SLOW_S = 3.0
LOOKING = (
    "the database is still being opened: after an unclean end it is looked at, 30 s at most, and"
    " what came in of late is read"
)
"""What is answered when that takes longer than SLOW_S."""


class OpenedStorage(NamedTuple):
    """What a process has of its storage; *ingest* knows what came in before, None where the role
    takes nothing in.  Its owner closes the engine."""

    clock: SteadyClock
    engine: Engine
    directory: Directory
    ingest: Ingest | None


async def opened(
    settings: Settings,
    role: str,
    sock: socket.socket | None,
    door: Door,
    tls: Certificate | None,
    stop: asyncio.Event,
) -> OpenedStorage | None:
    """Open the storage, and read what is to be known.

    Where the disk is too full for that, its server is gone or becomes another one meanwhile, or it
    is looked at after an unclean end, *sock* answers 503 (and /healthz 200); None where *stop* was
    set before.
    """
    has_space, failure = False, None
    async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
        stopping = tasks.create_task(stop.wait(), name="stopping")
        stack.callback(stopping.cancel)

        async def answer_meanwhile(reason: str) -> None:
            nonlocal sock
            log("start_waits", role=role, error=reason)
            if sock is not None:
                front = serving(
                    unready(reason),
                    sock.dup(),
                    shutdown_s=settings.shutdown_s,
                    door=door,
                    certificate=tls,
                )
                await stack.enter_async_context(front)
                sock = None

        while not stop.is_set():
            opening = tasks.create_task(_tried(settings, role), name="opening")
            stack.callback(opening.cancel)
            await asyncio.wait((opening,), timeout=SLOW_S)
            if not opening.done():
                await answer_meanwhile(LOOKING)
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                break
            found = opening.result()
            if not isinstance(found, StorageError):
                return found
            is_late = await asyncio.to_thread(may_open_later, found, settings)
            may_be_tried = found.retryable or isinstance(found, TakenOver)
            if not may_be_tried or (not is_late and has_space):
                failure = found
                break
            has_space = not is_late
            if not is_late:  # it may have come just now: try once more
                continue
            await answer_meanwhile(found.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FULL_S):
                    await stop.wait()
    if failure is not None:
        raise failure
    return None


async def _tried(settings: Settings, role: str) -> OpenedStorage | StorageError:
    """Return what was opened and read, or why that cannot be; then it is closed again."""
    clock, known = SteadyClock(), DIALECTS.keys()
    async with contextlib.AsyncExitStack() as stack:
        try:
            engine = await open_engine(
                settings, clock, worker=role != "api", serves=True, dialects=known
            )
            stack.push_async_callback(engine.close)
            known_at = await engine.log.trusted_at() or await engine.log.newest_at()
            if known_at is not None:
                clock.compare(known_at)
            directory = Directory(engine.registry)
            await directory.refresh()
            ingest = None
            if role != "worker":
                ingest = ingesting(settings, clock, engine, directory)
                await ingest.start()
        except StorageError as error:
            return error
        stack.pop_all()
        return OpenedStorage(clock, engine, directory, ingest)


def ingesting(settings: Settings, clock: Clock, engine: Engine, directory: Directory) -> Ingest:
    """Return the ingest that the settings ask for, not started yet."""
    return Ingest(
        engine, clock, directory, dedup_hours=settings.dedup_hours, dedup_ids=settings.dedup_ids
    )
