"""What the administrator's commands work with: the database opened directly, and a desk on it.

A running server follows through the database, so what a command changes is in force at once.
"""

import asyncio
import contextlib
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, TypeVar

from postbell.clock import SystemClock
from postbell.desk import Desk
from postbell.desk.acting import acts
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.ports import Engine
from postbell.reports import Reports
from postbell.serving.opening import open_engine, open_sender, require_database
from postbell.settings.members import Settings
from postbell.trail import Actor, ActorKind

FACE = "cli"
T = TypeVar("T")


class Office(NamedTuple):
    """The write side and the read side of everything, on one engine."""

    engine: Engine
    desk: Desk
    reports: Reports
    directory: Directory


def at_desk(
    settings: Settings, work: Callable[[Office], Awaitable[T]], *, may_create: bool = False
) -> T:
    """Open the database beside whoever serves it, do *work*, close it, and return the result.

    Raises UsageError where there is no database yet, unless this *may_create* one.
    """

    async def whole() -> T:
        async with opened(settings, may_create=may_create) as office:
            return await work(office)

    return asyncio.run(whole())


def by_command() -> Actor:
    """Return the actor of a command: the machine's user, and who became it by sudo."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        name = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "")
    shown = f"{name} ({behind})" if behind not in ("", name) else name
    shown = shown.encode("utf-8", "replace").decode()
    return Actor(ActorKind.COMMAND, os.getuid(), shown, os.uname().nodename, FACE)


@contextlib.asynccontextmanager
async def opened(settings: Settings, *, may_create: bool = False) -> AsyncIterator[Office]:
    """Open the office for the length of the block; who acts in it is the command."""
    if not may_create:
        require_database(settings)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        engine = await open_engine(settings, clock, worker=False, dialects=DIALECTS.keys())
        stack.push_async_callback(engine.close)
        guard, sender = open_sender(settings, clock)
        stack.push_async_callback(sender.close)
        directory = Directory(engine.registry)
        await directory.refresh()
        stack.enter_context(acts(by_command()))
        yield Office(
            engine,
            Desk(
                engine,
                DIALECTS,
                guard,
                clock,
                directory,
                installation_policies=settings.policy,
                max_webhooks_per_account=settings.max_webhooks_per_account,
                max_api_users_per_account=settings.max_api_users_per_account,
                sender=sender,
            ),
            Reports(engine, DIALECTS, directory, clock, installation_policies=settings.policy),
            directory,
        )
