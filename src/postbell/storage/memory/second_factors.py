"""Second factors in memory."""

from collections.abc import Collection
from datetime import datetime

from msgspec.structs import replace

from postbell.clock import is_good
from postbell.ports import HALF_LASTS, HALF_SIGN_INS_KEPT, HalfSignIn, Proof, SecondFactor
from postbell.records import Session
from postbell.storage.memory.tables import HeldFactor, Tables


class MemorySecondFactors:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def of(self, owner_id: int) -> SecondFactor | None:
        held = self._tables.factors.get(owner_id)
        return None if held is None else held.factor._replace(codes_left=len(held.recovery))

    async def is_in_force(self, owner_id: int) -> bool:
        held = self._tables.factors.get(owner_id)
        return held is not None and held.factor.since is not None

    async def in_force(self, account_id: int | None = None) -> set[int]:
        owners = self._tables.owners
        return {
            owner_id
            for owner_id, held in self._tables.factors.items()
            if held.factor.since is not None and account_id in (None, owners[owner_id].account_id)
        }

    async def begin(
        self, owner_id: int, secret: str, *, password_hash: str, now: datetime
    ) -> SecondFactor | None:
        self._tables.check_warrant()
        before = self._tables.factors.get(owner_id)
        is_in_force = before is not None and before.factor.since is not None
        if is_in_force or not self._has_password(owner_id, password_hash):
            return None
        self._tables.last_factor += 1
        factor = SecondFactor(self._tables.last_factor, owner_id, secret, now)
        self._tables.factors[owner_id] = HeldFactor(factor, password_hash)
        return factor

    async def put_in_force(
        self,
        proof: Proof,
        recovery: Collection[bytes],
        *,
        begun_after: datetime,
        keep: bytes,
        now: datetime,
    ) -> bool:
        self._tables.check_warrant()
        held = self._held(proof)
        if held is None or held.factor.since is not None:
            return False
        factor, session = held.factor, self._tables.sessions.get(keep)
        if factor.created_at <= begun_after or not _is_proven(held, proof):
            return False
        if session is None or session.owner_id != factor.owner_id:
            return False
        if not self._has_password(factor.owner_id, held.begun_with):
            return False
        _use(held, proof)
        held.factor = held.factor._replace(since=now)
        held.recovery = set(recovery)
        self._tables.end_sessions(factor.owner_id, keep=keep)
        return True

    async def replace_recovery(
        self, proof: Proof, recovery: Collection[bytes], *, password_hash: str
    ) -> bool:
        self._tables.check_warrant()
        held = self._in_force(proof)
        if held is None or not self._has_password(held.factor.owner_id, password_hash):
            return False
        _use(held, proof)
        held.recovery = set(recovery)
        return True

    async def turn_off(self, proof: Proof, *, password_hash: str) -> bool:
        self._tables.check_warrant()
        held = self._in_force(proof)
        if held is None or not self._has_password(held.factor.owner_id, password_hash):
            return False
        del self._tables.factors[held.factor.owner_id]
        self._tables.drop_half_sign_ins(held.factor.owner_id)
        return True

    async def remove(self, owner_id: int) -> bool:
        self._tables.check_warrant()
        if self._tables.factors.pop(owner_id, None) is None:
            return False
        self._tables.end_sessions(owner_id)
        return True

    async def begin_sign_in(
        self, half: HalfSignIn, *, expect: str, seen_language: str, now: datetime
    ) -> bool:
        is_in_force = await self.is_in_force(half.owner_id)
        if not is_in_force or not self._has_password(half.owner_id, expect):
            return False
        owner = self._tables.owners[half.owner_id]
        self._tables.owners[half.owner_id] = replace(
            owner,
            password_hash=half.password_hash,
            seen_language=seen_language or owner.seen_language,
        )
        good = [each for each in self._tables.half_sign_ins.values() if each.expires_at > now]
        own = sorted(
            (each for each in good if each.owner_id == half.owner_id),
            key=lambda each: each.expires_at,
        )
        gone = {each.digest for each in own[: max(len(own) - HALF_SIGN_INS_KEPT + 1, 0)]}
        kept = [each for each in good if each.digest not in gone]
        self._tables.half_sign_ins = {each.digest: each for each in (*kept, half)}
        return True

    async def half_sign_in(self, digest: bytes, now: datetime) -> HalfSignIn | None:
        half = self._tables.half_sign_ins.get(digest)
        if half is None or not is_good(half.expires_at, HALF_LASTS, now):
            return None
        return half if self._has_password(half.owner_id, half.password_hash) else None

    async def finish_sign_in(
        self, half: bytes, proof: Proof, session: Session, now: datetime
    ) -> bool:
        begun, held = await self.half_sign_in(half, now), self._in_force(proof)
        if begun is None or held is None:
            return False
        if not begun.owner_id == held.factor.owner_id == session.owner_id:
            return False
        _use(held, proof)
        del self._tables.half_sign_ins[half]
        self._tables.open_session(session)
        return True

    def _held(self, proof: Proof) -> HeldFactor | None:
        found = self._tables.factors.values()
        return next((each for each in found if each.factor.id == proof.factor_id), None)

    def _in_force(self, proof: Proof) -> HeldFactor | None:
        """Return the factor in force that *proof* proves."""
        held = self._held(proof)
        if held is None or held.factor.since is None or not _is_proven(held, proof):
            return None
        return held

    def _has_password(self, owner_id: int, password_hash: str) -> bool:
        owner = self._tables.owners.get(owner_id)
        return owner is not None and owner.password_hash == password_hash


def _is_proven(held: HeldFactor, proof: Proof) -> bool:
    if proof.recovery:
        return proof.recovery in held.recovery
    return proof.step > held.factor.last_step


def _use(held: HeldFactor, proof: Proof) -> None:
    if proof.recovery:
        held.recovery.discard(proof.recovery)
    else:
        held.factor = held.factor._replace(last_step=proof.step)
