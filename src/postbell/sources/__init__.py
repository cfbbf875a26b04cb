"""How mail's events come in beside the API, one module for each kind of source.

`running` runs them, and is where they hand over what they read; `tail` reads files that grow,
through the `rotation` of them, for who goes by `following`.  A source imports no other.  A new one
is a further line here, its tests and a howto.
"""

from collections.abc import Callable, Mapping
from typing import Any

from postbell.errors import BadInput
from postbell.ports import Source
from postbell.sources import file, postfix
from postbell.sources.mail import listener, maildir
from postbell.verp import KEYLESS, Tracer

Opener = Callable[[Mapping[str, Any], Tracer], Source]
"""Makes a source of its members in the settings; raises BadInput that names one."""

KINDS: Mapping[str, Opener] = {
    "file": file.open,
    "mail": listener.open,
    "maildir": maildir.open,
    "postfix": postfix.open,
}


def open(members: Mapping[str, Any], tracer: Tracer = KEYLESS) -> Source:
    """Return the source that these members of the settings describe; nothing is read yet.  What is
    signed with the keys of *tracer* says whose it is."""
    kind = members.get("kind", "file")
    opener = KINDS.get(kind) if isinstance(kind, str) else None
    if opener is None:
        raise BadInput(f"no kind of source {kind!r}; known: {', '.join(KINDS)}", member="kind")
    return opener({name: value for name, value in members.items() if name != "kind"}, tracer)
