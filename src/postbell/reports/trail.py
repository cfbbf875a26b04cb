"""The audit trail as it is shown: to an account's own people and keys, or to the operator."""

import re
from typing import Any, NamedTuple

from postbell.clock import from_us, rfc3339, to_us
from postbell.directory import Directory
from postbell.errors import BadInput
from postbell.ports import Engine, TrailPlace, TrailQuery
from postbell.trail import STAFF, TrailEntry


class Entries(NamedTuple):
    """A page of entries, the newest first, and where the next one begins, None after the last.

    It may have fewer rows than asked for, or none, and a next one: a search looks at
    `ENTRIES_SEEN` entries at once.
    """

    rows: list[dict[str, Any]]
    next: str | None


class TrailReport:
    """Reading the trail."""

    def __init__(self, engine: Engine, directory: Directory) -> None:
        self._engine = engine
        self._directory = directory

    async def entries(self, wanted: TrailQuery, *, after: str = "", limit: int = 100) -> Entries:
        """Return entries; *after* is `next` of the page before.

        With `wanted.hides_staff`, for who belongs to an account, it is said of the installation's
        own people only that it was one of them.
        """
        trail, place = self._engine.trail, _place(after)
        found = await trail.entries(wanted, before=place, limit=limit + 1)
        shown, edge = found[:limit], None
        if len(found) > limit:
            edge = TrailPlace(shown[-1].at, shown[-1].id)
        elif wanted.actor or wanted.action or wanted.subject:
            edge = await trail.edge(wanted, before=place)
        more = None if edge is None else f"{to_us(edge.at)}-{edge.id}"
        return Entries([self._view(entry, wanted.hides_staff) for entry in shown], more)

    def _view(self, entry: TrailEntry, hides_staff: bool) -> dict[str, Any]:
        actor, subject = entry.actor, entry.subject
        is_hidden = hides_staff and actor.kind in STAFF
        account = self._directory.accounts.get(entry.account_id or 0)
        return {
            "id": entry.id,
            "at": rfc3339(entry.at),
            "account": account.name if account is not None else None,
            "action": entry.action,
            "actor": {
                "kind": actor.kind.value,
                "id": None if is_hidden else actor.id or None,
                "name": "" if is_hidden else actor.name,
                "address": "" if is_hidden else actor.address,
                "face": actor.face,
            },
            "subject": {"kind": subject.kind, "id": subject.id, "name": subject.name},
            "old": entry.old,
            "new": entry.new,
        }


def _place(after: str) -> TrailPlace | None:
    if not after:
        return None
    match = _MARK.fullmatch(after)
    if match is None:
        raise BadInput(
            "after is not a mark that a list returned as next", member="after", reason="mark"
        )
    return TrailPlace(from_us(int(match[1])), int(match[2]))


_MARK = re.compile(r"([0-9]{1,16})-([0-9]{1,18})", re.ASCII)
