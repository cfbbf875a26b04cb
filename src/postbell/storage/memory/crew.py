"""The processes that are there, and who does what only one of them does, in memory."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from postbell.duties import Duty, Term
from postbell.ports import CrewMember, DutyHolder, LaneHolder, Reported
from postbell.storage.memory.tables import NEVER, Lease, Tables


class MemoryCrew:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def report(
        self, member: CrewMember, duties: Mapping[Duty, str], *, lease_s: float, now: datetime
    ) -> Reported:
        lease = timedelta(seconds=lease_s)
        until, held = now + lease, self._tables.duties
        self._tables.members[member.name] = member._replace(until=until)
        found = []
        for duty, mark in sorted(duties.items()):
            holder, last = held.get(duty, (DutyHolder(duty, "", 0, NEVER), ""))
            if holder.owner == member.name:
                term = Term(duty, holder.epoch, mark or last)
            elif now < holder.until <= until + lease:
                continue
            else:
                term = Term(duty, holder.epoch + 1, last)
            held[duty] = (DutyHolder(duty, member.name, term.epoch, until), term.mark)
            found.append(term)
        return Reported(found, await self.members(now))

    async def leave(self, name: str) -> None:
        self._tables.members.pop(name, None)
        for webhook_id, lease in self._tables.leases.items():
            if lease.owner == name:
                self._tables.leases[webhook_id] = Lease(work=lease.work)
        for duty, (holder, mark) in list(self._tables.duties.items()):
            if holder.owner == name:
                self._tables.duties[duty] = (holder._replace(owner="", until=NEVER), mark)
        self._tables.change()

    async def members(self, now: datetime) -> list[CrewMember]:
        return sorted(each for each in self._tables.members.values() if each.until > now)

    async def holders(self) -> list[DutyHolder]:
        return sorted(holder for holder, _ in self._tables.duties.values())

    async def holdings(self) -> dict[str, int]:
        return dict(Counter(lease.owner for lease in self._tables.leases.values()))

    async def lanes(self, after: int, limit: int) -> list[LaneHolder]:
        tables = self._tables
        ids = [webhook_id for webhook_id in sorted(tables.leases) if webhook_id > after]
        return [
            LaneHolder(i, tables.leases[i].owner, tables.lanes[i].epoch, tables.leases[i].until)
            for i in ids[:limit]
        ]
