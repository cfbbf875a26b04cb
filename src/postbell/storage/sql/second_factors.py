"""Second factors in SQLite: secrets are sealed, of recovery codes and tokens only digests kept."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from postbell.clock import from_us, is_good, to_us
from postbell.ports import HALF_LASTS, HALF_SIGN_INS_KEPT, HalfSignIn, Proof, SecondFactor
from postbell.records import Session
from postbell.storage.sql import rows as to
from postbell.storage.sql.owners import end_sessions, open_session
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction


class _Held(NamedTuple):
    """A factor and its owner, as they are inside a transaction."""

    owner_id: int
    password_hash: str
    begun_with: str
    created_at: int
    since: int | None
    last_step: int


class SqlSecondFactors:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, owner_id: int) -> SecondFactor | None:
        found = await self._store.readers.row("second_factor", owner_id)
        if found is None:
            return None
        return SecondFactor(
            id=found[0],
            owner_id=found[1],
            secret=self._store.sealer.unseal(found[2]),
            created_at=from_us(found[3]),
            since=to.moment(found[4]),
            last_step=found[5],
            codes_left=found[6],
        )

    async def is_in_force(self, owner_id: int) -> bool:
        found = await self._store.readers.row("is_in_force", owner_id)
        return found is not None

    async def in_force(self, account_id: int | None = None) -> set[int]:
        found = await self._store.readers.rows("owners_with_factor", account_id)
        return {each[0] for each in found}

    async def begin(
        self, owner_id: int, secret: str, *, password_hash: str, now: datetime
    ) -> SecondFactor | None:
        sealed = self._store.sealer.seal(secret)

        async def work(db: Transaction) -> SecondFactor | None:
            before = await db.row("second_factor", owner_id)
            is_in_force = before is not None and before[4] is not None
            if is_in_force or not await _has_password(db, owner_id, password_hash):
                return None
            await db.run("drop_factor", owner_id)
            given: int = await db.scalar("add_factor", owner_id, sealed, password_hash, to_us(now))
            return SecondFactor(given, owner_id, secret, now)

        return await self._store.write(work)

    async def put_in_force(
        self,
        proof: Proof,
        recovery: Collection[bytes],
        *,
        begun_after: datetime,
        keep: bytes,
        now: datetime,
    ) -> bool:
        async def work(db: Transaction) -> bool:
            held = await _held(db, proof)
            if held is None or held.since is not None or held.created_at <= to_us(begun_after):
                return False
            session = await db.row("session", keep)
            if session is None or session[1] != held.owner_id:
                return False
            if held.begun_with != held.password_hash or not await _is_proven(db, held, proof):
                return False
            await _use(db, proof)
            await db.run("put_factor_in_force", proof.factor_id, to_us(now))
            await _add_recovery(db, proof.factor_id, recovery)
            await end_sessions(db, held.owner_id, keep)
            return True

        return await self._store.write(work)

    async def replace_recovery(
        self, proof: Proof, recovery: Collection[bytes], *, password_hash: str
    ) -> bool:
        async def work(db: Transaction) -> bool:
            held = await _in_force(db, proof)
            if held is None or held.password_hash != password_hash:
                return False
            await _use(db, proof)
            await _add_recovery(db, proof.factor_id, recovery)
            return True

        return await self._store.write(work)

    async def turn_off(self, proof: Proof, *, password_hash: str) -> bool:
        async def work(db: Transaction) -> bool:
            held = await _in_force(db, proof)
            if held is None or held.password_hash != password_hash:
                return False
            await db.run("drop_factor", held.owner_id)
            await db.run("drop_half_sign_ins", held.owner_id)
            return True

        return await self._store.write(work)

    async def remove(self, owner_id: int) -> bool:
        async def work(db: Transaction) -> bool:
            if await db.row("drop_factor", owner_id) is None:
                return False
            await end_sessions(db, owner_id)
            return True

        return await self._store.write(work)

    async def begin_sign_in(
        self, half: HalfSignIn, *, expect: str, seen_language: str, now: datetime
    ) -> bool:
        noted = (half.owner_id, expect, half.password_hash, seen_language)

        async def work(db: Transaction) -> bool:
            if await db.row("is_in_force", half.owner_id) is None:
                return False
            if await db.row("note_sign_in", *noted) is None:
                return False
            kept = (to_us(now), half.owner_id, HALF_SIGN_INS_KEPT - 1)
            await db.run("drop_old_half_sign_ins", *kept)
            values = (half.digest, half.owner_id, half.password_hash, to_us(half.expires_at))
            await db.run("add_half_sign_in", *values)
            return True

        return await self._store.write(work)

    async def half_sign_in(self, digest: bytes, now: datetime) -> HalfSignIn | None:
        return await self._store.readers.run(lambda db: _half(db, digest, now))

    async def finish_sign_in(
        self, half: bytes, proof: Proof, session: Session, now: datetime
    ) -> bool:
        async def work(db: Transaction) -> bool:
            begun = await _half(db, half, now)
            held = await _in_force(db, proof)
            if begun is None or held is None:
                return False
            if not begun.owner_id == held.owner_id == session.owner_id:
                return False
            await _use(db, proof)
            await db.run("drop_half_sign_in", half)
            await open_session(db, session)
            return True

        return await self._store.write(work)


async def _half(db: Transaction, digest: bytes, now: datetime) -> HalfSignIn | None:
    found = await db.row("half_sign_in", digest)
    if found is None or not is_good(ends_at := from_us(found[3]), HALF_LASTS, now):
        return None
    return HalfSignIn(found[0], found[1], found[2], ends_at)


async def _has_password(db: Transaction, owner_id: int, password_hash: str) -> bool:
    found = await db.row("password_of_owner", owner_id)
    return found is not None and found[0] == password_hash


async def _held(db: Transaction, proof: Proof) -> _Held | None:
    found = await db.row("factor_and_owner", proof.factor_id)
    return _Held(*found) if found is not None else None


async def _in_force(db: Transaction, proof: Proof) -> _Held | None:
    """Return the factor in force that *proof* proves."""
    held = await _held(db, proof)
    if held is None or held.since is None or not await _is_proven(db, held, proof):
        return None
    return held


async def _is_proven(db: Transaction, held: _Held, proof: Proof) -> bool:
    if proof.recovery:
        return await db.row("recovery_code", proof.factor_id, proof.recovery) is not None
    return proof.step > held.last_step


async def _use(db: Transaction, proof: Proof) -> None:
    if proof.recovery:
        await db.run("use_recovery_code", proof.factor_id, proof.recovery)
    else:
        await db.run("use_step", proof.factor_id, proof.step)


async def _add_recovery(db: Transaction, factor_id: int, recovery: Collection[bytes]) -> None:
    await db.run("drop_recovery_codes", factor_id)
    for digest in recovery:
        await db.run("add_recovery_code", factor_id, digest)
