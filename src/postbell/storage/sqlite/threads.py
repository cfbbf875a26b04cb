"""Blocking work off the event loop, in threads that end with it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class ThreadAnswer(NamedTuple):
    """What a thread found out for a caller that waits on the loop."""

    future: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None


def deliver(loop: asyncio.AbstractEventLoop, answers: list[ThreadAnswer]) -> None:
    """Resolve *answers* on *loop*, from any thread."""
    call_soon(loop, _resolve, answers)


def call_soon(
    loop: asyncio.AbstractEventLoop, call: Callable[..., object], *values: object
) -> None:
    """Let *loop* call, from any thread; on a loop that is closed nobody waits for it."""
    try:
        loop.call_soon_threadsafe(call, *values)
    except RuntimeError:
        if not loop.is_closed():
            raise


async def in_thread(work: Callable[[], T], name: str) -> T:
    """Return what *work* returns in a thread of its own; a cancelled caller leaves it running."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            answer = ThreadAnswer(future, value=work())
        except BaseException as error:
            answer = ThreadAnswer(future, error=error)
        deliver(loop, [answer])

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        return await future
    finally:
        if future.done() and not future.cancelled():
            thread.join()


def _resolve(answers: list[ThreadAnswer]) -> None:
    for future, value, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
