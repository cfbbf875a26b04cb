"""Two changes of one webhook at the same time: which of their members are the same.

A change is made from what the webhook was when its request came, and written on what it is by
then.  What others changed meanwhile stays, unless both changed the same member to other values.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from postbell.errors import Conflict
from postbell.records import Webhook

NESTED = ("options", "policy")
WITH_DIALECT = ("options", "policy", "types")
"""What means something else under another dialect."""


def refuse(was: Webhook, now: Webhook, wanted: Webhook, changes: Mapping[str, Any]) -> None:
    """Raise Conflict where a member of *changes* is, *now*, neither as it *was* nor as *wanted*."""
    for member in _touched(changes):
        before, present = _value(was, member), _value(now, member)
        if before != present and present != _value(wanted, member):
            raise Conflict(
                f"{member} of webhook {now.id} was changed by somebody else while this change was"
                " made; read it again, then change it",
                reason="changed_meanwhile",
                member=member,
            )


def _touched(changes: Mapping[str, Any]) -> Iterator[str]:
    if any(member in changes for member in WITH_DIALECT):
        yield "dialect"
    for member, value in changes.items():
        if member in NESTED and isinstance(value, Mapping):
            yield from (f"{member}.{name}" for name in value)
        else:
            yield member


def _value(webhook: Webhook, member: str) -> Any:
    name, _, inner = member.partition(".")
    value = getattr(webhook, name)
    return value.get(inner) if inner else value
