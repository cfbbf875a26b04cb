"""What was told, out of the file in which a release before kept it, into storage."""

import asyncio
from pathlib import Path

import msgspec

from postbell.operating.notices.watching import clock_of
from postbell.ports import Notices, Telling, ToldState
from postbell.signals import log

CLOCK = "clock"
"""What the clock of the only machine was called."""


async def take_over(file: Path, notices: Notices, machine: str) -> None:
    """Write what *file* says was told, where storage knows nothing of it, then remove the file.

    Ended in between it is done again, which changes nothing.  What cannot be read was told never.
    """
    try:
        memory = await asyncio.to_thread(file.read_bytes)
    except FileNotFoundError:
        return
    except OSError as error:
        log("notice_failed", to=str(file), error=str(error), is_last=True)
        return
    try:
        told = msgspec.json.decode(memory, type=dict[str, ToldState])
    except msgspec.DecodeError:
        told = {}
    if CLOCK in told:
        told[clock_of(machine)] = told.pop(CLOCK)
    await notices.tell([Telling(subject, each, 0) for subject, each in told.items()])
    try:
        await asyncio.to_thread(file.unlink, missing_ok=True)
    except OSError as error:
        log("notice_failed", to=str(file), error=str(error), is_last=True)
