"""The processes of an installation as they are shown to its operator: who holds what."""

from collections import defaultdict
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from postbell.events import Moment
from postbell.ports import Crew, CrewMember

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
GONE = "gone"
"""In the place of a role: a process that does not say that it is there, whose webhooks are to be
claimed yet."""


class DutyView(Struct, frozen=True, kw_only=True):
    """What one process does for all, and the number of those that have done it."""

    duty: str
    epoch: Count


class ProcessView(Struct, frozen=True, kw_only=True):
    """A process, and what it holds."""

    name: str
    role: Annotated[str, Meta(description="api, worker, all; gone where it ended without a word")]
    machine: str
    pid: Count
    version: str
    started_at: Moment | None
    webhooks: Annotated[Count, Meta(description="those that it delivers to")]
    work: Annotated[Count, Meta(description="of these, a second: events, a request for 40 more")]
    behind_s: Annotated[Seconds, Meta(description="how long the oldest due event there waits")]
    lease_s: Annotated[Seconds, Meta(description="for so long it holds them, unless it says more")]
    duties: Annotated[list[DutyView], Meta(description="what it does for all")]


class WebhookHolderView(Struct, frozen=True, kw_only=True):
    """Who delivers to a webhook, and how often that was somebody else's."""

    webhook: Count
    worker: Annotated[str, Meta(description="empty where nobody does")]
    epoch: Count
    lease_s: Seconds


class CrewReport:
    """Reads who is there."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    async def all(self) -> list[ProcessView]:
        """Return every process that is there, or holds something yet, by machine and start."""
        lanes = await self._crew.holdings()
        lanes.pop("", None)
        duties: dict[str, list[DutyView]] = defaultdict(list)
        for holder in await self._crew.holders():
            if holder.owner and holder.left_s > 0:
                duties[holder.owner].append(DutyView(duty=holder.duty, epoch=holder.epoch))
        found = [
            ProcessView(
                name=each.name,
                role=each.role,
                machine=each.machine,
                pid=each.pid,
                version=each.version,
                started_at=each.started_at,
                webhooks=lanes.pop(each.name, 0),
                work=round(each.work),
                behind_s=round(each.behind_s, 1),
                lease_s=round(each.left_s, 1),
                duties=duties.pop(each.name, []),
            )
            for each in sorted(await self._crew.members(), key=_in_order)
        ]
        return found + [_gone(name, count) for name, count in sorted(lanes.items())]

    async def unheld(self) -> int:
        """Return how many webhooks nobody delivers to at the moment."""
        return (await self._crew.holdings()).get("", 0)

    async def webhooks(self, after: int, limit: int) -> list[WebhookHolderView]:
        """Return who delivers to each of up to *limit* webhooks with ids above *after*."""
        return [
            WebhookHolderView(
                webhook=each.webhook_id,
                worker=each.owner,
                epoch=each.epoch,
                lease_s=round(each.left_s, 1),
            )
            for each in await self._crew.lanes(after, limit)
        ]


def _in_order(member: CrewMember) -> tuple[str, datetime, str]:
    return member.machine, member.started_at, member.name


def _gone(name: str, webhooks: int) -> ProcessView:
    return ProcessView(
        name=name,
        role=GONE,
        machine="",
        pid=0,
        version="",
        started_at=None,
        webhooks=webhooks,
        work=0,
        behind_s=0.0,
        lease_s=0.0,
        duties=[],
    )
