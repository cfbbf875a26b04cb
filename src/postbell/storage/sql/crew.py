"""The processes that are there, and who does what only one of them does, in the SQL engines."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from postbell.clock import from_us, to_us
from postbell.duties import Duty, Term, ended, in_force
from postbell.ports import CrewMember, DutyHolder, LaneHolder, Reported
from postbell.storage.sql.store import SqlWriter, Store, T, raise_version
from postbell.storage.sql.transaction import Row, Transaction, Work

KEPT = timedelta(hours=1)
"""What a process said of itself is kept so much longer than it is there."""


class SqlCrew:
    def __init__(self, store: Store, *, is_only_worker: bool) -> None:
        """The first report of the only worker ends what those before it did."""
        self._store = store
        self._is_first = is_only_worker

    async def report(
        self, member: CrewMember, duties: Mapping[Duty, str], *, lease_s: float, now: datetime
    ) -> Reported:
        lease = timedelta(seconds=lease_s)
        until, at, ahead = to_us(now + lease), to_us(now), to_us(now + 2 * lease)
        is_first = self._is_first

        async def work(db: Transaction) -> Reported:
            if is_first:
                await db.run("free_duties")
            await db.run("put_member", *_values(member)[:-1], until)
            await db.run("drop_members", to_us(now - KEPT))
            found: list[Term] = []
            for duty, mark in sorted(duties.items()):
                taken = await db.row("take_duty", duty, member.name, until, at, ahead, mark)
                found += [Term(duty, *taken)] if taken else []
            return Reported(found, list(map(_member, await db.rows("members", at))))

        reported = await self._store.writer.run(work, is_reserved=True)
        self._is_first = False
        return reported

    async def leave(self, name: str) -> None:
        async def work(db: Transaction) -> None:
            await db.run("drop_member", name)  # waits for who hands lanes over to it
            await db.run("release_lanes", name)
            await db.run("leave_duties", name)
            await raise_version(db)

        await self._store.writer.run(work, is_reserved=True)
        self._store.registry_changed()

    async def members(self, now: datetime) -> list[CrewMember]:
        return [_member(each) for each in await self._store.readers.rows("members", to_us(now))]

    async def holders(self) -> list[DutyHolder]:
        found = await self._store.readers.rows("duties")
        return [DutyHolder(duty, owner, epoch, from_us(at)) for duty, owner, epoch, at in found]

    async def holdings(self) -> dict[str, int]:
        return dict(await self._store.readers.rows("holdings"))

    async def lanes(self, after: int, limit: int) -> list[LaneHolder]:
        found = await self._store.readers.rows("lane_holders", after, limit)
        return [LaneHolder(i, owner, epoch, from_us(at)) for i, owner, epoch, at in found]


class FencedWriter:
    """A writer that writes nothing more under a term that has ended."""

    def __init__(self, writer: SqlWriter) -> None:
        self._writer = writer

    async def run(self, work: Work[T], *, size_bytes: int = 0, is_reserved: bool = False) -> T:
        term = in_force()
        if term is None:
            return await self._writer.run(work, size_bytes=size_bytes, is_reserved=is_reserved)

        async def fenced(db: Transaction) -> T:
            if await db.row("duty_held", term.duty, term.epoch) is None:
                raise ended(term)
            return await work(db)

        return await self._writer.run(fenced, size_bytes=size_bytes, is_reserved=is_reserved)


def _values(member: CrewMember) -> tuple[str | int, ...]:
    return (
        *member[:5],
        to_us(member.started_at),
        round(member.work * 1000),
        round(member.behind_s * 1000),
        json.dumps(member.unheld),
        to_us(member.until),
    )


def _member(row: Row) -> CrewMember:
    name, machine, pid, role, version, started_at, work, behind, unheld, until = row
    return CrewMember(
        name=name,
        machine=machine,
        pid=pid,
        role=role,
        version=version,
        started_at=from_us(started_at),
        work=work / 1000,
        behind_s=behind / 1000,
        unheld=tuple(map(int, json.loads(unheld))),
        until=from_us(until),
    )
