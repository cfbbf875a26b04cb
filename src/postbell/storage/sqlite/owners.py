"""Owners, sessions and resets in SQLite; of tokens only digests are kept."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import apsw
from msgspec.structs import replace

from postbell.clock import from_us, to_us
from postbell.errors import Conflict, NotFound
from postbell.records import Owner, Reset, Session
from postbell.storage.sql.statements import load
from postbell.storage.sqlite.connecting import Row, row, rows, scalar
from postbell.storage.sqlite.store import REGISTRY_SQL, Store

T = TypeVar("T")
SQL = load(__package__, "owners.sql")


class SqliteOwners:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, owner: Owner) -> Owner:
        def work(db: apsw.Connection) -> int:
            if row(db, REGISTRY_SQL["account_name"], owner.account_id) is None:
                raise NotFound(f"no account {owner.account_id}")
            members = (owner.email, owner.password_hash, to_us(owner.created_at))
            try:
                given: int = scalar(
                    db, SQL["add_owner"], owner.account_id, *members, *_preferences(owner)
                )
            except apsw.ConstraintError:
                raise _taken(owner) from None
            return given

        return replace(owner, id=await self._write(work))

    async def set(self, owner: Owner) -> Owner:
        def work(db: apsw.Connection) -> Owner:
            members = (owner.email, owner.password_hash, *_preferences(owner))
            try:
                found = row(db, SQL["set_owner"], owner.id, *members)
            except apsw.ConstraintError:
                raise _taken(owner) from None
            if found is None:
                raise NotFound(f"no owner {owner.id}")
            return _owner(found)

        return await self._write(work)

    async def remove(self, owner_id: int) -> None:
        def work(db: apsw.Connection) -> None:
            db.execute(SQL["end_sessions_of_owner"], (owner_id, b""))
            db.execute(SQL["drop_resets_of_owner"], (owner_id,))
            if row(db, SQL["remove_owner"], owner_id) is None:
                raise NotFound(f"no owner {owner_id}")

        await self._write(work)

    async def find(self, *, owner_id: int = 0, email: str = "") -> Owner | None:
        name, key = ("owner", owner_id) if owner_id else ("owner_of_email", email)
        found = await self._store.readers.run(lambda db: row(db, SQL[name], key))
        return None if found is None else _owner(found)

    async def of(self, account_id: int | None = None) -> list[Owner]:
        found = await self._store.readers.run(lambda db: rows(db, SQL["owners"], account_id))
        return [_owner(found_row) for found_row in found]

    async def open_session(self, session: Session) -> None:
        times = (to_us(session.created_at), to_us(session.seen_at))
        values = (session.digest, session.owner_id, session.account_id, *times)
        await self._write(lambda db: db.execute(SQL["open_session"], values) and None)

    async def session(self, digest: bytes) -> Session | None:
        found = await self._store.readers.run(lambda db: row(db, SQL["session"], digest))
        if found is None:
            return None
        return Session(
            digest=found[0],
            owner_id=found[1],
            account_id=found[2],
            created_at=from_us(found[3]),
            seen_at=from_us(found[4]),
        )

    async def touch_session(self, digest: bytes, seen_at: datetime, account_id: int) -> None:
        values = (digest, to_us(seen_at), account_id)
        await self._write(lambda db: db.execute(SQL["touch_session"], values) and None)

    async def end_sessions(
        self, *, digest: bytes = b"", owner_id: int = 0, keep: bytes = b""
    ) -> None:
        def work(db: apsw.Connection) -> None:
            db.execute(SQL["end_session"], (digest,))
            db.execute(SQL["end_sessions_of_owner"], (owner_id, keep))

        await self._write(work)

    async def add_reset(self, reset: Reset) -> None:
        values = (reset.owner_id, reset.digest, to_us(reset.expires_at))
        await self._write(lambda db: db.execute(SQL["add_reset"], values) and None)

    async def take_reset(self, digest: bytes, now: datetime) -> int | None:
        found = await self._write(lambda db: row(db, SQL["take_reset"], digest))
        return found[0] if found is not None and from_us(found[1]) > now else None

    async def sweep(self, *, seen_before: datetime, opened_before: datetime, now: datetime) -> None:
        def work(db: apsw.Connection) -> None:
            db.execute(SQL["drop_old_sessions"], (to_us(seen_before), to_us(opened_before)))
            db.execute(SQL["drop_old_resets"], (to_us(now),))

        await self._write(work)

    async def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._store.writer.run(work)


def _preferences(owner: Owner) -> tuple[str, str, int, int, str]:
    flags = (int(owner.wants_notices), int(owner.is_operator))
    return owner.language, owner.time_zone, *flags, owner.seen_language


def _owner(found: Row) -> Owner:
    return Owner(
        id=found[0],
        account_id=found[1],
        email=found[2],
        password_hash=found[3],
        created_at=from_us(found[4]),
        language=found[5],
        time_zone=found[6],
        wants_notices=bool(found[7]),
        is_operator=bool(found[8]),
        seen_language=found[9],
    )


def _taken(owner: Owner) -> Conflict:
    return Conflict(
        f"{owner.email} signs in already; choose another address",
        reason="email_taken",
        given=owner.email,
    )
