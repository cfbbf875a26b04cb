"""Owners, sessions and resets in memory."""

from datetime import datetime

from msgspec.structs import replace

from postbell.clock import is_good
from postbell.errors import NotFound
from postbell.ports import RESET_LASTS
from postbell.records import Owner, Reset, Session
from postbell.storage import owning
from postbell.storage.memory.tables import Tables


class MemoryOwners:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, owner: Owner, *, most: int | None = None) -> Owner:
        self._tables.check_warrant()
        if owner.account_id not in self._tables.accounts:
            raise NotFound(f"no account {owner.account_id}")
        if any(other.email == owner.email for other in self._tables.owners.values()):
            raise owning.taken(owner.email)
        is_counted = most is not None and not owner.is_operator
        if is_counted and most is not None and self._count(owner.account_id) >= most:
            raise owning.too_many(most)
        self._tables.last_owner += 1
        stored = replace(owner, id=self._tables.last_owner)
        self._tables.owners[stored.id] = stored
        return stored

    async def prefer(
        self,
        owner_id: int,
        *,
        language: str | None = None,
        time_zone: str | None = None,
        wants_notices: bool | None = None,
        expect: Owner | None = None,
    ) -> Owner:
        self._tables.check_warrant()
        owner = self._known(owner_id)
        owning.check_unmoved(
            owner, expect, language=language, time_zone=time_zone, wants_notices=wants_notices
        )
        return self._put(
            replace(
                owner,
                language=owner.language if language is None else language,
                time_zone=owner.time_zone if time_zone is None else time_zone,
                wants_notices=owner.wants_notices if wants_notices is None else wants_notices,
            )
        )

    async def set_operator(self, owner_id: int, is_operator: bool) -> Owner:
        self._tables.check_warrant()
        owner = self._known(owner_id)
        if owner.is_operator == is_operator:
            return owner
        if owner.is_operator:
            self._check_not_last(owner)
        self._tables.end_sessions(owner_id)
        return self._put(replace(owner, is_operator=is_operator))

    async def set_password(
        self, owner_id: int, *, expect: str, password_hash: str, keep: bytes = b""
    ) -> Owner:
        self._tables.check_warrant()
        owner = self._known(owner_id)
        if owner.password_hash != expect:
            raise owning.password_moved()
        return self._renew(owner, password_hash, keep)

    async def remove(self, owner_id: int, *, account_id: int | None = None) -> Owner:
        self._tables.check_warrant()
        owner = self._known(owner_id)
        is_user = owner.account_id == account_id and not owner.is_operator
        if account_id is not None and not is_user:
            raise NotFound(f"no owner {owner_id}")
        self._check_not_last(owner)
        self._tables.end_sessions(owner_id)
        self._drop_resets(owner_id)
        self._tables.factors.pop(owner_id, None)
        return self._tables.owners.pop(owner_id)

    async def find(self, *, owner_id: int = 0, email: str = "") -> Owner | None:
        for owner in self._tables.owners.values():
            if owner.id == owner_id or (email and owner.email == email):
                return owner
        return None

    async def of(self, account_id: int | None = None) -> list[Owner]:
        owners = self._tables.owners.values()
        return [owner for owner in owners if account_id in (None, owner.account_id)]

    async def users(self, account_id: int) -> list[Owner]:
        return [owner for owner in await self.of(account_id) if not owner.is_operator]

    async def open_session(
        self, session: Session, *, expect: str, rehashed: str = "", seen_language: str = ""
    ) -> Owner | None:
        self._tables.check_warrant()
        owner = self._tables.owners.get(session.owner_id)
        if owner is None or owner.password_hash != expect:
            return None
        held = self._tables.factors.get(owner.id)
        if held is not None and held.factor.since is not None:
            return None
        self._tables.open_session(session)
        return self._put(
            replace(
                owner,
                password_hash=rehashed or expect,
                seen_language=seen_language or owner.seen_language,
            )
        )

    async def session(self, digest: bytes) -> Session | None:
        return self._tables.sessions.get(digest)

    async def sessions(self, owner_id: int) -> list[Session]:
        own = (each for each in self._tables.sessions.values() if each.owner_id == owner_id)
        return sorted(own, key=lambda each: each.seen_at, reverse=True)

    async def touch_session(self, digest: bytes, seen_at: datetime, place: str) -> None:
        sessions = self._tables.sessions
        if digest in sessions:
            sessions[digest] = replace(sessions[digest], seen_at=seen_at, place=place)

    async def look_at(self, digest: bytes, account_id: int) -> bool:
        self._tables.check_warrant()
        session = self._tables.sessions.get(digest)
        owner = self._tables.owners.get(session.owner_id) if session is not None else None
        if session is None or owner is None or not owner.is_operator:
            return False
        if account_id not in self._tables.accounts:
            return False
        self._tables.sessions[digest] = replace(session, account_id=account_id)
        return True

    async def end_sessions(
        self, *, digest: bytes = b"", owner_id: int = 0, keep: bytes = b""
    ) -> int:
        self._tables.check_warrant()
        ended = self._tables.sessions.pop(digest, None) is not None
        return int(ended) + (self._tables.end_sessions(owner_id, keep=keep) if owner_id else 0)

    async def add_reset(self, reset: Reset) -> None:
        if reset.owner_id in self._tables.owners:
            self._drop_resets(reset.owner_id)
            self._tables.resets[reset.digest] = reset

    async def finish_reset(
        self, digest: bytes, *, password_hash: str, now: datetime
    ) -> Owner | None:
        reset = self._tables.resets.get(digest)
        if reset is None or not is_good(reset.expires_at, RESET_LASTS, now):
            return None
        return self._renew(self._known(reset.owner_id), password_hash, b"")

    async def sweep(self, *, seen_before: datetime, opened_before: datetime, now: datetime) -> None:
        tables = self._tables
        tables.sessions = {
            each.digest: each
            for each in tables.sessions.values()
            if each.seen_at >= seen_before and each.created_at >= opened_before
        }
        tables.resets = {r.digest: r for r in tables.resets.values() if r.expires_at > now}

    def _known(self, owner_id: int) -> Owner:
        owner = self._tables.owners.get(owner_id)
        if owner is None:
            raise NotFound(f"no owner {owner_id}")
        return owner

    def _put(self, owner: Owner) -> Owner:
        self._tables.owners[owner.id] = owner
        return owner

    def _renew(self, owner: Owner, password_hash: str, keep: bytes) -> Owner:
        self._tables.end_sessions(owner.id, keep=keep)
        self._drop_resets(owner.id)
        return self._put(replace(owner, password_hash=password_hash))

    def _count(self, account_id: int) -> int:
        owners = self._tables.owners.values()
        return sum(one.account_id == account_id and not one.is_operator for one in owners)

    def _check_not_last(self, owner: Owner) -> None:
        """Raise Conflict unless there is another one of the owner's role."""
        if not owner.is_operator:
            if self._count(owner.account_id) == 1:
                raise owning.last_user()
        elif sum(one.is_operator for one in self._tables.owners.values()) == 1:
            raise owning.last_operator()

    def _drop_resets(self, owner_id: int) -> None:
        resets = self._tables.resets.values()
        self._tables.resets = {r.digest: r for r in resets if r.owner_id != owner_id}
