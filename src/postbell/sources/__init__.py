"""How mail's events come in beside the API, one module for each kind of source.

`running` runs them, and is where they hand over what they read; `whose` says whose a mail is,
`checking` what one would make of a sample; `tail` reads files that grow, through the `rotation` of
them, for who goes by `following`.  A source imports no other.  A new one is a further line here,
its tests and a howto.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from postbell.errors import BadInput
from postbell.ports import Source
from postbell.sources import file, postfix, whose
from postbell.sources.mail import listener, maildir
from postbell.sources.whose import Whose
from postbell.verp import KEYLESS, Tracer


class SourceKind(NamedTuple):
    """A kind of source: what makes one of its own members in the settings and of whose its mail is,
    or raises BadInput that names a member; and what it knows of a mail for rules (`whose`)."""

    open: Callable[[Mapping[str, Any], Whose, Tracer], Source]
    conditions: Sequence[str]


KINDS: Mapping[str, SourceKind] = {
    "file": SourceKind(file.open, ("sender", "header")),
    "mail": SourceKind(listener.open, ("sender", "header")),
    "maildir": SourceKind(maildir.open, ("sender", "header")),
    "postfix": SourceKind(postfix.open, whose.CONDITIONS),
}


def open(members: Mapping[str, Any], tracer: Tracer = KEYLESS) -> Source:
    """Return the source that these members of the settings describe; nothing is read yet.  What is
    signed with the keys of *tracer* says whose it is."""
    kind = _kind(members)
    owned = whose.read(members, kind.conditions)
    common = ("kind", *whose.MEMBERS)
    own = {name: members[name] for name in members if name not in common}
    return kind.open(own, owned, tracer)


def owners(members: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the accounts and api users that these members name, in their order: the source's own,
    then those of its rules."""
    return whose.read(members, _kind(members).conditions).owners


def _kind(members: Mapping[str, Any]) -> SourceKind:
    name = members.get("kind", "file")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise BadInput(f"no kind of source {name!r}; known: {', '.join(KINDS)}", member="kind")
    return kind
