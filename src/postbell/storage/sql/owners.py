"""Owners, sessions and resets in SQLite; of tokens only digests are kept."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from postbell.clock import from_us, is_good, to_us
from postbell.errors import NotFound
from postbell.ports import RESET_LASTS, SESSIONS_KEPT
from postbell.records import Owner, Reset, Session
from postbell.storage import owning
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Row, Taken, Transaction


class SqlOwners:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, owner: Owner, *, most: int | None = None) -> Owner:
        async def work(db: Transaction) -> Owner:
            if await db.row("account_name", owner.account_id) is None:
                raise NotFound(f"no account {owner.account_id}")
            members = (owner.email, owner.password_hash, to_us(owner.created_at))
            try:
                given: int = await db.scalar(
                    "add_owner", owner.account_id, *members, *_preferences(owner)
                )
            except Taken:
                raise owning.taken(owner.email) from None
            is_counted = most is not None and not owner.is_operator
            if is_counted and most is not None and await _count_users(db, owner.account_id) > most:
                raise owning.too_many(most)
            return replace(owner, id=given)

        return await self._store.write(work)

    async def prefer(
        self,
        owner_id: int,
        *,
        language: str | None = None,
        time_zone: str | None = None,
        wants_notices: bool | None = None,
        expect: Owner | None = None,
    ) -> Owner:
        given = {"language": language, "time_zone": time_zone, "wants_notices": wants_notices}

        async def work(db: Transaction) -> Owner:
            owning.check_unmoved(await _known(db, owner_id), expect, **given)
            return await _changed(db, "prefer", owner_id, *given.values())

        return await self._store.write(work)

    async def set_operator(self, owner_id: int, is_operator: bool) -> Owner:
        async def work(db: Transaction) -> Owner:
            owner = await _known(db, owner_id)
            if owner.is_operator == is_operator:
                return owner
            if owner.is_operator:
                await _check_not_last(db, owner)
            await end_sessions(db, owner_id)
            return await _changed(db, "set_operator", owner_id, is_operator)

        return await self._store.write(work)

    async def set_password(
        self, owner_id: int, *, expect: str, password_hash: str, keep: bytes = b""
    ) -> Owner:
        async def work(db: Transaction) -> Owner:
            if (await _known(db, owner_id)).password_hash != expect:
                raise owning.password_moved()
            return await _renew(db, owner_id, password_hash, keep)

        return await self._store.write(work)

    async def remove(self, owner_id: int, *, account_id: int | None = None) -> Owner:
        async def work(db: Transaction) -> Owner:
            owner = await _known(db, owner_id)
            is_user = owner.account_id == account_id and not owner.is_operator
            if account_id is not None and not is_user:
                raise NotFound(f"no owner {owner_id}")
            await _check_not_last(db, owner)
            await end_sessions(db, owner_id)
            await db.run("drop_resets_of_owner", owner_id)
            await db.run("remove_owner", owner_id)
            return owner

        return await self._store.write(work)

    async def find(self, *, owner_id: int = 0, email: str = "") -> Owner | None:
        name, key = ("owner", owner_id) if owner_id else ("owner_of_email", email)
        found = await self._store.readers.row(name, key)
        return None if found is None else _owner(found)

    async def of(self, account_id: int | None = None) -> list[Owner]:
        found = await self._store.readers.rows("owners", account_id)
        return [_owner(found_row) for found_row in found]

    async def users(self, account_id: int) -> list[Owner]:
        found = await self._store.readers.rows("users", account_id)
        return [_owner(found_row) for found_row in found]

    async def open_session(
        self, session: Session, *, expect: str, rehashed: str = "", seen_language: str = ""
    ) -> Owner | None:
        noted = (session.owner_id, expect, rehashed or expect, seen_language)

        async def work(db: Transaction) -> Owner | None:
            if await db.row("is_in_force", session.owner_id) is not None:
                return None
            found = await db.row("note_sign_in", *noted)
            if found is None:
                return None
            await open_session(db, session)
            return _owner(found)

        return await self._store.write(work)

    async def session(self, digest: bytes) -> Session | None:
        found = await self._store.readers.row("session", digest)
        return None if found is None else _session(found)

    async def sessions(self, owner_id: int) -> list[Session]:
        found = await self._store.readers.rows("sessions_of_owner", owner_id)
        return [_session(each) for each in found]

    async def touch_session(self, digest: bytes, seen_at: datetime, place: str) -> None:
        values = (digest, to_us(seen_at), place)
        await self._store.writer.run(lambda db: db.rows("touch_session", *values))

    async def look_at(self, digest: bytes, account_id: int) -> bool:
        async def work(db: Transaction) -> bool:
            return await db.row("look_at", digest, account_id) is not None

        return await self._store.write(work)

    async def end_sessions(
        self, *, digest: bytes = b"", owner_id: int = 0, keep: bytes = b""
    ) -> int:
        async def work(db: Transaction) -> int:
            ended = await db.rows("end_session", digest)
            return len(ended) + (await end_sessions(db, owner_id, keep) if owner_id else 0)

        return await self._store.write(work)

    async def add_reset(self, reset: Reset) -> None:
        values = (reset.owner_id, reset.digest, to_us(reset.expires_at))

        async def work(db: Transaction) -> None:
            await db.rows("add_reset", *values)

        await self._store.writer.run(work)

    async def finish_reset(
        self, digest: bytes, *, password_hash: str, now: datetime
    ) -> Owner | None:
        async def work(db: Transaction) -> Owner | None:
            found = await db.row("reset", digest)
            if found is None or not is_good(from_us(found[1]), RESET_LASTS, now):
                return None
            return await _renew(db, found[0], password_hash, b"")

        return await self._store.write(work)

    async def sweep(self, *, seen_before: datetime, opened_before: datetime, now: datetime) -> None:
        async def work(db: Transaction) -> None:
            await db.run("drop_old_sessions", to_us(seen_before), to_us(opened_before))
            await db.run("drop_old_resets", to_us(now))

        await self._store.writer.run(work)


async def open_session(db: Transaction, session: Session) -> None:
    """Open a session inside a transaction; too many others of its owner end."""
    times = (to_us(session.created_at), to_us(session.seen_at))
    values = (session.digest, session.owner_id, session.account_id, *times)
    await db.run("open_session", *values, session.device, session.place)
    await db.run("drop_many_sessions", session.owner_id, SESSIONS_KEPT)


async def end_sessions(db: Transaction, owner_id: int, keep: bytes = b"") -> int:
    """End an owner's sessions but *keep*, and sign-ins half way; return how many sessions."""
    await db.run("drop_half_sign_ins", owner_id)
    return len(await db.rows("end_sessions_of_owner", owner_id, keep))


async def _known(db: Transaction, owner_id: int) -> Owner:
    found = await db.row("owner", owner_id)
    if found is None:
        raise NotFound(f"no owner {owner_id}")
    return _owner(found)


async def _changed(db: Transaction, statement: str, owner_id: int, *values: Any) -> Owner:
    """Run a statement that changes one owner and return the owner; raise NotFound."""
    found = await db.row(statement, owner_id, *values)
    if found is None:
        raise NotFound(f"no owner {owner_id}")
    return _owner(found)


async def _renew(db: Transaction, owner_id: int, password_hash: str, keep: bytes) -> Owner:
    await end_sessions(db, owner_id, keep)
    await db.run("drop_resets_of_owner", owner_id)
    return await _changed(db, "set_password", owner_id, password_hash)


async def _count_users(db: Transaction, account_id: int) -> int:
    count: int = await db.scalar("count_users", account_id)
    return count


async def _check_not_last(db: Transaction, owner: Owner) -> None:
    """Raise Conflict unless there is another one of the owner's role."""
    if not owner.is_operator:
        if await _count_users(db, owner.account_id) == 1:
            raise owning.last_user()
    elif await db.scalar("count_operators") == 1:
        raise owning.last_operator()


def _preferences(owner: Owner) -> tuple[str, str, int, int, str]:
    flags = (int(owner.wants_notices), int(owner.is_operator))
    return owner.language, owner.time_zone, *flags, owner.seen_language


def _session(found: Row) -> Session:
    return Session(
        digest=found[0],
        owner_id=found[1],
        account_id=found[2],
        created_at=from_us(found[3]),
        seen_at=from_us(found[4]),
        device=found[5],
        place=found[6],
    )


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
