"""Sources as they are shown: to the operator, and to the account whose events they bring."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from postbell.clock import Clock
from postbell.errors import NotFound
from postbell.events import Moment
from postbell.ports import (
    MAX_BEGIN_BYTES,
    MAX_SILENCE,
    Checkpoints,
    Quarantine,
    QuarantinedFact,
    SourceRow,
    SourceStanding,
    SourceState,
)
from postbell.reports.views import Id, Page

Count = Annotated[int, Meta(ge=0)]


class SourceView(Struct, frozen=True, kw_only=True):
    """A way events come in beside the API, and how far it is."""

    name: str
    kind: str
    account: str
    api_user: str
    state: Annotated[
        SourceState,
        Meta(
            description="waiting: what it reads is not there; held: nothing can be written at"
            " the moment; failing: it cannot read, or does not know whose the events are"
        ),
    ]
    position: Annotated[str, Meta(description="how far it has read, as `line 812`")]
    taken: Annotated[Count, Meta(description="events that came in")]
    duplicates: Annotated[Count, Meta(description="events that had come in before")]
    refused: Annotated[Count, Meta(description="facts that make no event, such as bad lines")]
    unmatched: Annotated[
        Count, Meta(description="facts about mail that no rule of the source gives to anybody")
    ]
    quarantined: Annotated[Count, Meta(description="facts in quarantine, to be read again")]
    crowded_out: Annotated[Count, Meta(description="facts that newer ones made leave it")]
    lag_bytes: Annotated[Count | None, Meta(description="what lies unread")]
    per_s: Annotated[float, Meta(ge=0, description="facts read a second, over the last minute")]
    behind_since: Annotated[Moment | None, Meta(description="since when something lay unread")]
    moved_at: Annotated[Moment | None, Meta(description="when something was read last")]
    refusal: Annotated[str, Meta(description="what was wrong with one that was refused")]
    refused_at: Moment | None
    seen_at: Annotated[Moment, Meta(description="when this was so")]


class OperatorSourceView(SourceView, frozen=True, kw_only=True):
    """The same with what is of the machine: what it reads, and what kept it from reading last."""

    place: str
    fault: str
    fault_at: Moment | None
    ill_since: Annotated[Moment | None, Meta(description="since when it cannot read on")]


class QuarantinedView(Struct, frozen=True, kw_only=True):
    """A fact that a source read and did not understand."""

    id: Id
    source: str
    at: Annotated[Moment, Meta(description="when it was read first")]
    place: Annotated[str, Meta(description="where it stood, as `line 812`")]
    code: str
    message: Annotated[str, Meta(description="what was wrong with it when it was read last")]
    size_bytes: Annotated[Count, Meta(description="of the fact; 0 where none of it was kept")]
    is_whole: Annotated[bool, Meta(description="whether all of it is here, to be read again")]
    is_wanted: Annotated[bool, Meta(description="whether it is read again soon")]
    begin: Annotated[str, Meta(description="how it begins, read as UTF-8")]


class FactView(QuarantinedView, frozen=True, kw_only=True):
    """The same with its bytes."""

    raw: Annotated[str, Meta(description="what was kept of it, in base64")]


class SourcesReport:
    """Reading how sources do, and what they did not understand."""

    def __init__(self, checkpoints: Checkpoints, quarantine: Quarantine, clock: Clock) -> None:
        self._checkpoints = checkpoints
        self._quarantine = quarantine
        self._clock = clock

    async def all(self) -> list[OperatorSourceView]:
        """Return every source that ever ran and was not forgotten, by name."""
        now = self._clock.now()
        return [
            OperatorSourceView(
                **_members(row, now),
                place=row.standing.place,
                fault=row.standing.fault,
                fault_at=row.standing.fault_at,
                ill_since=_ill_since(row, now),
            )
            for row in await self._checkpoints.all()
        ]

    async def of(self, account: str) -> list[SourceView]:
        """Return the sources whose events are the account's alone, by name."""
        now = self._clock.now()
        rows = await self._checkpoints.all()
        return [SourceView(**_members(row, now)) for row in rows if row.standing.is_of(account)]

    async def quarantine(
        self, source: str, *, before: int | None = None, limit: int = 100
    ) -> Page[QuarantinedView]:
        """Return what the source has in quarantine, the newest first."""
        facts = await self._quarantine.page(source, before, limit + 1)
        rows = [QuarantinedView(**_of_fact(fact)) for fact in facts[:limit]]
        return Page(rows, str(rows[-1].id) if len(facts) > limit else None)

    async def fact(
        self, fact_id: int, *, source: str | None = None, account: str | None = None
    ) -> tuple[FactView, bytes]:
        """Return a fact in quarantine, and its bytes as they are; raise NotFound for one that is
        not the source's, or of a source that is not the account's."""
        found = await self._quarantine.find(fact_id) if 0 < fact_id < 1 << 63 else None
        if found is not None and account is not None:
            row = await self._checkpoints.read(found.source)
            if row is None or not row.standing.is_of(account):
                found = None
        if found is None or source not in (None, found.source):
            where = "any quarantine" if source is None else f"the quarantine of {source[:40]!r}"
            raise NotFound(f"no fact {fact_id} is in {where}")
        view = FactView(**_of_fact(found), raw=b64encode(found.raw).decode())
        return view, found.raw


def _ill_since(row: SourceRow, now: datetime) -> datetime | None:
    standing = row.standing
    is_stopped = _state(standing, now) is SourceState.STOPPED
    return standing.seen_at if is_stopped else standing.ill_since


def _state(standing: SourceStanding, now: datetime) -> SourceState:
    is_gone = abs(now - standing.seen_at) > MAX_SILENCE
    return SourceState.STOPPED if is_gone else standing.state


def _of_fact(fact: QuarantinedFact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "source": fact.source,
        "at": fact.at,
        "place": fact.place,
        "code": fact.code,
        "message": fact.message,
        "size_bytes": fact.size_bytes,
        "is_whole": fact.is_whole,
        "is_wanted": fact.is_wanted,
        "begin": fact.raw[:MAX_BEGIN_BYTES].decode("utf-8", "replace"),
    }


def _members(row: SourceRow, now: datetime) -> dict[str, Any]:
    standing = row.standing
    state = _state(standing, now)
    is_stopped = state is SourceState.STOPPED
    return {
        "name": row.name,
        "kind": standing.kind,
        "account": standing.account,
        "api_user": standing.api_user,
        "state": state,
        "position": row.position,
        "taken": row.taken,
        "duplicates": row.duplicates,
        "refused": row.refused,
        "unmatched": row.unmatched,
        "quarantined": row.quarantined,
        "crowded_out": row.crowded_out,
        "lag_bytes": standing.lag_bytes,
        "per_s": 0.0 if is_stopped else standing.facts_per_s,
        "behind_since": None if is_stopped else standing.behind_since,
        "moved_at": row.moved_at,
        "refusal": standing.refusal,
        "refused_at": standing.refused_at,
        "seen_at": standing.seen_at,
    }
