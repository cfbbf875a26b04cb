"""The audit trail as it is shown: to an account's own people and keys, or to the operator."""

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from postbell.clock import from_us, to_us
from postbell.directory import Directory
from postbell.events import Moment
from postbell.ports import Engine, TrailPlace, TrailQuery
from postbell.reports.marks import no_mark
from postbell.reports.views import Id, Page
from postbell.trail import STAFF, ActorKind, TrailEntry


class ActorView(Struct, frozen=True):
    """Who acted, and from where; of the installation's own people only that it was one of them."""

    kind: ActorKind
    id: Annotated[int | None, Meta(description="a key's or a person's; null: not told")]
    name: Annotated[str, Meta(description="an e-mail address, or an api user's name")]
    address: Annotated[str, Meta(description="the network address as the server saw it")]
    face: Annotated[
        str, Meta(description="`pages`, `native`, `engagelab`, `sendpulse`, `cli`; where it was")
    ]


class SubjectView(Struct, frozen=True):
    """What was changed."""

    kind: str
    id: str
    name: str


class TrailEntryView(Struct, frozen=True):
    """One change; `old` and `new` hold the members that differ, without secrets."""

    id: Id
    at: Moment
    account: str | None
    action: Annotated[str, Meta(description="`thing.what`, see the query parameter")]
    actor: ActorView
    subject: SubjectView
    old: dict[str, Any]
    new: dict[str, Any]


class TrailReport:
    """Reading the trail."""

    def __init__(self, engine: Engine, directory: Directory) -> None:
        self._engine = engine
        self._directory = directory

    async def entries(
        self, wanted: TrailQuery, *, after: str = "", limit: int = 100
    ) -> Page[TrailEntryView]:
        """Return entries, the newest first; *after* is `next` of the page before.

        A page may have fewer rows than asked for, or none, and a next one: a search looks at
        `ENTRIES_SEEN` entries at once.
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
        return Page([self._view(entry, wanted.hides_staff) for entry in shown], more)

    def _view(self, entry: TrailEntry, hides_staff: bool) -> TrailEntryView:
        actor, subject = entry.actor, entry.subject
        is_hidden = hides_staff and actor.kind in STAFF
        account = self._directory.known.accounts.get(entry.account_id or 0)
        return TrailEntryView(
            id=entry.id,
            at=entry.at,
            account=account.name if account is not None else None,
            action=entry.action,
            actor=ActorView(
                kind=actor.kind,
                id=None if is_hidden else actor.id or None,
                name="" if is_hidden else actor.name,
                address="" if is_hidden else actor.address,
                face=actor.face,
            ),
            subject=SubjectView(subject.kind, subject.id, subject.name),
            old=entry.old,
            new=entry.new,
        )


def _place(after: str) -> TrailPlace | None:
    if not after:
        return None
    match = _MARK.fullmatch(after)
    if match is None:
        raise no_mark()
    return TrailPlace(from_us(int(match[1])), int(match[2]))


_MARK = re.compile(r"([0-9]{1,16})-([0-9]{1,18})", re.ASCII)
