"""What a User-Agent names: the recipient's program, its system, and the versions of both.

Read once, when an event comes in, by the tables of `ua-parser` (decision 0013); what is stored then
is what every dialect says, whatever later tables know.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from postbell.events import Client

if TYPE_CHECKING:
    from ua_parser import PartialResult

MAX_READ_CHARS = 512
"""What a User-Agent says beyond that is not looked at."""


def described(client: Client) -> Client:
    """Return *client* with the program and the system that its `ua` names.

    What was given stays as it is: a program with or without its version, and likewise a system.
    A User-Agent that the tables do not know adds nothing.
    """
    if not client.ua or (client.name and client.os):
        return client
    named = _named(client.ua[:MAX_READ_CHARS])
    changes: dict[str, str | None] = {}
    if not client.name and named.name:
        changes.update(name=named.name, name_version=client.name_version or named.name_version)
    if not client.os and named.os:
        changes.update(os=named.os, os_version=client.os_version or named.os_version)
    return msgspec.structs.replace(client, **changes) if changes else client


class _Named(NamedTuple):
    name: str | None
    name_version: str | None
    os: str | None
    os_version: str | None


@lru_cache(2048)
def _named(text: str) -> _Named:
    """Look a User-Agent up; most of those that come came before."""
    found = tables()(text)
    program, system = found.user_agent, found.os
    return _Named(
        program.family if program else None,
        _version(program.major, program.minor) if program else None,
        system.family if system else None,
        _version(system.major, system.minor) if system else None,
    )


@cache
def tables() -> "Callable[[str], PartialResult]":
    """Return the tables of programs and systems (15 MiB, made once, in 0.1 s), whose expressions
    take time in proportion to what they read, whatever that is."""
    from ua_parser import Domain
    from ua_parser.loaders import load_lazy_builtins
    from ua_parser.regex import Resolver

    programs, systems, _devices = load_lazy_builtins()
    resolver = Resolver((programs, systems, []))
    return lambda text: resolver(text, Domain.USER_AGENT | Domain.OS)


def _version(major: str | None, minor: str | None) -> str | None:
    return f"{major}.{minor}" if major and minor else major or None
