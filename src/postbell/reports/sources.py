"""Sources as they are shown: to the operator, and to the account whose events they bring."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct

from postbell.clock import Clock
from postbell.events import Moment
from postbell.ports import Checkpoints, SourceRow, SourceState

GONE = timedelta(seconds=60)
"""A source that said nothing for so long does not run: one that runs says something in 20 s."""
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
            description="waiting: what it reads is not there yet; held: nothing can be written at"
            " the moment; failing: it cannot read, or does not know whose the events are"
        ),
    ]
    position: Annotated[str, Meta(description="how far it has read, as `line 812`")]
    taken: Annotated[Count, Meta(description="events that came in")]
    duplicates: Annotated[Count, Meta(description="events that had come in before")]
    refused: Annotated[Count, Meta(description="facts that make no event, such as bad lines")]
    lag_bytes: Annotated[Count | None, Meta(description="what lies unread")]
    moved_at: Annotated[Moment | None, Meta(description="when something was read last")]
    refusal: Annotated[str, Meta(description="what was wrong with one that was refused")]
    refused_at: Moment | None
    seen_at: Annotated[Moment, Meta(description="when this was so")]


class OperatorSourceView(SourceView, frozen=True, kw_only=True):
    """The same with what is of the machine: what it reads, and what kept it from reading last."""

    place: str
    fault: str
    fault_at: Moment | None


class SourcesReport:
    """Reading how sources do."""

    def __init__(self, checkpoints: Checkpoints, clock: Clock) -> None:
        self._checkpoints = checkpoints
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
            )
            for row in await self._checkpoints.all()
        ]

    async def of(self, account: str) -> list[SourceView]:
        """Return the sources whose events are the account's, by name."""
        now = self._clock.now()
        rows = await self._checkpoints.all()
        return [SourceView(**_members(row, now)) for row in rows if row.standing.account == account]


def _members(row: SourceRow, now: datetime) -> dict[str, Any]:
    standing = row.standing
    is_gone = abs(now - standing.seen_at) > GONE
    return {
        "name": row.name,
        "kind": standing.kind,
        "account": standing.account,
        "api_user": standing.api_user,
        "state": SourceState.STOPPED if is_gone else standing.state,
        "position": row.position,
        "taken": row.taken,
        "duplicates": row.duplicates,
        "refused": row.refused,
        "lag_bytes": standing.lag_bytes,
        "moved_at": row.moved_at,
        "refusal": standing.refusal,
        "refused_at": standing.refused_at,
        "seen_at": standing.seen_at,
    }
