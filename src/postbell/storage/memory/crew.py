"""The processes that are there, and who does what only one of them does, in memory."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from postbell.duties import Duty, Term
from postbell.ports import CrewMember, DutyHolder, LaneHolder, Reported
from postbell.storage.memory.tables import NEVER, HeldDuty, Lease, Tables


class MemoryCrew:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def report(
        self, member: CrewMember, duties: Mapping[Duty, str], *, lease_s: float
    ) -> Reported:
        now, lease = self._tables.clock.now(), timedelta(seconds=lease_s)
        until, held = now + lease, self._tables.duties
        there = self._tables.members
        ahead = [name for name, (_, until_then) in there.items() if until_then > until + lease]
        for name in ahead:  # from before the clock was set back
            del there[name]
        there[member.name] = (member, until)
        found = []
        for duty, mark in sorted(duties.items()):
            holder = held.get(duty, HeldDuty())
            if holder.owner == member.name:
                term = Term(duty, holder.epoch, mark or holder.mark)
            elif now < holder.until <= until + lease:
                continue
            else:
                term = Term(duty, holder.epoch + 1, holder.mark)
            held[duty] = HeldDuty(member.name, term.epoch, until, term.mark)
            found.append(term)
        return Reported(found, await self.members())

    async def leave(self, name: str) -> None:
        self._tables.members.pop(name, None)
        for webhook_id, lease in self._tables.leases.items():
            if lease.owner == name:
                self._tables.leases[webhook_id] = Lease(work=lease.work)
        for duty, holder in list(self._tables.duties.items()):
            if holder.owner == name:
                self._tables.duties[duty] = holder._replace(owner="", until=NEVER)
        self._tables.change()

    async def members(self) -> list[CrewMember]:
        tables = self._tables
        found = ((each, tables.left_s(until)) for each, until in tables.members.values())
        return sorted(each._replace(left_s=left_s) for each, left_s in found if left_s > 0)

    async def holders(self) -> list[DutyHolder]:
        tables = self._tables
        return [
            DutyHolder(duty, each.owner, each.epoch, tables.left_s(each.until))
            for duty, each in sorted(tables.duties.items())
        ]

    async def holdings(self) -> dict[str, int]:
        return dict(Counter(lease.owner for lease in self._tables.leases.values()))

    async def lanes(self, after: int, limit: int) -> list[LaneHolder]:
        tables = self._tables
        ids = [webhook_id for webhook_id in sorted(tables.leases) if webhook_id > after]
        return [
            LaneHolder(
                i,
                tables.leases[i].owner,
                tables.lanes[i].epoch,
                tables.left_s(tables.leases[i].until),
            )
            for i in ids[:limit]
        ]
