"""The dialects: what each provider calls things, how it writes and signs them.

One module (or package) each, with the dialect's instance in `dialect`; they never import each
other.  A new one is a further line here and its fixtures.
"""

from collections.abc import Mapping

from postbell.dialects import engagelab, mailgun, mandrill, native, sendpulse, sendpulse_bulk
from postbell.errors import BadInput
from postbell.ports import Dialect

_ALL: tuple[Dialect, ...] = (
    engagelab.dialect,
    mailgun.dialect,
    mandrill.dialect,
    native.dialect,
    sendpulse.dialect,
    sendpulse_bulk.dialect,
)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in _ALL}

API_ROOTS: Mapping[str, str] = {
    "v1": engagelab.dialect.name,
    "v2": sendpulse.dialect.name,
    "oauth": sendpulse.dialect.name,
}
"""Whose management API a path is of, by its first part."""


def find(name: str) -> Dialect:
    """Return the dialect of this name; raise BadInput that lists the known ones."""
    found = DIALECTS.get(name)
    if found is None:
        raise BadInput(
            f"no dialect {name!r}; known: {', '.join(sorted(DIALECTS))}",
            member="dialect",
            reason="unknown_dialect",
            given=name,
        )
    return found
