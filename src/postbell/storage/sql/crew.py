"""The processes that are there, and who does what only one of them does, in the SQL engines."""

import json
from collections.abc import Mapping

from postbell.clock import from_us, to_us
from postbell.duties import Duty, Term, ended, in_force
from postbell.ports import CrewMember, DutyHolder, LaneHolder, Reported
from postbell.storage.sql import rows as to
from postbell.storage.sql.store import SqlWriter, Store, T, raise_version
from postbell.storage.sql.transaction import Row, Transaction, Work

KEPT_S = 3600.0
"""What a process said of itself is kept so much longer than it is there."""


class SqlCrew:
    def __init__(self, store: Store, *, is_only_worker: bool) -> None:
        """The first report of the only worker ends what those before it did."""
        self._store = store
        self._is_first = is_only_worker

    async def report(
        self, member: CrewMember, duties: Mapping[Duty, str], *, lease_s: float
    ) -> Reported:
        is_first, lease = self._is_first, to.span_us(lease_s)

        async def work(db: Transaction) -> Reported:
            if is_first:
                await db.run("free_duties")
            now = await self._store.lease_now_us(db)
            until, ahead = now + lease, now + 2 * lease
            await db.run("put_member", *_values(member), until)
            await db.run("drop_members", now - to.span_us(KEPT_S), ahead)
            found: list[Term] = []
            for duty, mark in sorted(duties.items()):
                taken = await db.row("take_duty", duty, member.name, until, now, ahead, mark)
                found += [Term(duty, *taken)] if taken else []
            return Reported(found, await _members(db, now))

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

    async def members(self) -> list[CrewMember]:
        async def work(db: Transaction) -> list[CrewMember]:
            return await _members(db, await self._store.lease_now_us(db))

        return await self._store.readers.run(work)

    async def holders(self) -> list[DutyHolder]:
        async def work(db: Transaction) -> list[DutyHolder]:
            found, now = await db.rows("duties"), await self._store.lease_now_us(db)
            return [DutyHolder(d, o, e, to.left_s(until, now)) for d, o, e, until in found]

        return await self._store.readers.run(work)

    async def holdings(self) -> dict[str, int]:
        return dict(await self._store.readers.rows("holdings"))

    async def lanes(self, after: int, limit: int) -> list[LaneHolder]:
        async def work(db: Transaction) -> list[LaneHolder]:
            found = await db.rows("lane_holders", after, limit)
            now = await self._store.lease_now_us(db)
            return [LaneHolder(i, o, e, to.left_s(until, now)) for i, o, e, until in found]

        return await self._store.readers.run(work)


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
    )


async def _members(db: Transaction, now_us: int) -> list[CrewMember]:
    return [_member(row, now_us) for row in await db.rows("members", now_us)]


def _member(row: Row, now_us: int) -> CrewMember:
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
        left_s=to.left_s(until, now_us),
    )
