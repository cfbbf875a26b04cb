"""Owners, sessions and resets in memory."""

from datetime import datetime

from msgspec.structs import replace

from postbell.errors import Conflict, NotFound
from postbell.records import Owner, Reset, Session
from postbell.storage.memory.tables import Tables


class MemoryOwners:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, owner: Owner) -> Owner:
        if owner.account_id not in self._tables.accounts:
            raise NotFound(f"no account {owner.account_id}")
        self._check_free(owner)
        self._tables.last_owner += 1
        stored = replace(owner, id=self._tables.last_owner)
        self._tables.owners[stored.id] = stored
        return stored

    async def set(self, owner: Owner) -> Owner:
        before = self._tables.owners.get(owner.id)
        if before is None:
            raise NotFound(f"no owner {owner.id}")
        self._check_free(owner)
        stored = replace(owner, account_id=before.account_id, created_at=before.created_at)
        self._tables.owners[owner.id] = stored
        return stored

    async def remove(self, owner_id: int) -> None:
        if self._tables.owners.pop(owner_id, None) is None:
            raise NotFound(f"no owner {owner_id}")
        await self.end_sessions(owner_id=owner_id)
        self._drop_resets(owner_id)

    async def find(self, *, owner_id: int = 0, email: str = "") -> Owner | None:
        for owner in self._tables.owners.values():
            if owner.id == owner_id or (email and owner.email == email):
                return owner
        return None

    async def of(self, account_id: int | None = None) -> list[Owner]:
        owners = self._tables.owners.values()
        return [owner for owner in owners if account_id in (None, owner.account_id)]

    async def open_session(self, session: Session) -> None:
        self._tables.sessions[session.digest] = session

    async def session(self, digest: bytes) -> Session | None:
        return self._tables.sessions.get(digest)

    async def touch_session(self, digest: bytes, seen_at: datetime, account_id: int) -> None:
        sessions = self._tables.sessions
        if digest in sessions:
            sessions[digest] = replace(sessions[digest], seen_at=seen_at, account_id=account_id)

    async def end_sessions(
        self, *, digest: bytes = b"", owner_id: int = 0, keep: bytes = b""
    ) -> None:
        self._tables.sessions = {
            each.digest: each
            for each in self._tables.sessions.values()
            if each.digest == keep or (each.digest != digest and each.owner_id != owner_id)
        }

    async def add_reset(self, reset: Reset) -> None:
        self._drop_resets(reset.owner_id)
        self._tables.resets[reset.digest] = reset

    async def take_reset(self, digest: bytes, now: datetime) -> int | None:
        reset = self._tables.resets.pop(digest, None)
        return reset.owner_id if reset is not None and reset.expires_at > now else None

    async def sweep(self, *, seen_before: datetime, opened_before: datetime, now: datetime) -> None:
        tables = self._tables
        tables.sessions = {
            each.digest: each
            for each in tables.sessions.values()
            if each.seen_at >= seen_before and each.created_at >= opened_before
        }
        tables.resets = {r.digest: r for r in tables.resets.values() if r.expires_at > now}

    def _drop_resets(self, owner_id: int) -> None:
        resets = self._tables.resets.values()
        self._tables.resets = {r.digest: r for r in resets if r.owner_id != owner_id}

    def _check_free(self, owner: Owner) -> None:
        for other in self._tables.owners.values():
            if other.email == owner.email and other.id != owner.id:
                raise Conflict(
                    f"{owner.email} signs in already; choose another address",
                    reason="email_taken",
                    given=owner.email,
                )
