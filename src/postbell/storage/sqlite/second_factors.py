"""Second factors in SQLite: secrets are sealed, of recovery codes and tokens only digests kept."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import apsw

from postbell.clock import from_us, is_good, to_us
from postbell.ports import HALF_LASTS, HALF_SIGN_INS_KEPT, HalfSignIn, Proof, SecondFactor
from postbell.records import Session
from postbell.storage.sqlite import rows as to
from postbell.storage.sqlite.connecting import row, rows, scalar
from postbell.storage.sqlite.owners import end_sessions, open_session
from postbell.storage.sqlite.store import FACTORS_SQL as SQL
from postbell.storage.sqlite.store import OWNERS_SQL, Store


class _Held(NamedTuple):
    """A factor and its owner, as they are inside a transaction."""

    owner_id: int
    password_hash: str
    begun_with: str
    created_at: int
    since: int | None
    last_step: int


class SqliteSecondFactors:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, owner_id: int) -> SecondFactor | None:
        found = await self._store.readers.run(lambda db: row(db, SQL["second_factor"], owner_id))
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
        found = await self._store.readers.run(lambda db: row(db, SQL["is_in_force"], owner_id))
        return found is not None

    async def in_force(self, account_id: int | None = None) -> set[int]:
        found = await self._store.readers.run(
            lambda db: rows(db, SQL["owners_with_factor"], account_id)
        )
        return {each[0] for each in found}

    async def begin(
        self, owner_id: int, secret: str, *, password_hash: str, now: datetime
    ) -> SecondFactor | None:
        sealed = self._store.sealer.seal(secret)

        def work(db: apsw.Connection) -> SecondFactor | None:
            before = row(db, SQL["second_factor"], owner_id)
            is_in_force = before is not None and before[4] is not None
            if is_in_force or not _has_password(db, owner_id, password_hash):
                return None
            db.execute(SQL["drop_factor"], (owner_id,))
            given: int = scalar(db, SQL["add_factor"], owner_id, sealed, password_hash, to_us(now))
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
        def work(db: apsw.Connection) -> bool:
            held = _held(db, proof)
            if held is None or held.since is not None or held.created_at <= to_us(begun_after):
                return False
            session = row(db, OWNERS_SQL["session"], keep)
            if session is None or session[1] != held.owner_id:
                return False
            if held.begun_with != held.password_hash or not _is_proven(db, held, proof):
                return False
            _use(db, proof)
            db.execute(SQL["put_factor_in_force"], (proof.factor_id, to_us(now)))
            _add_recovery(db, proof.factor_id, recovery)
            end_sessions(db, held.owner_id, keep)
            return True

        return await self._store.write(work)

    async def replace_recovery(
        self, proof: Proof, recovery: Collection[bytes], *, password_hash: str
    ) -> bool:
        def work(db: apsw.Connection) -> bool:
            held = _in_force(db, proof)
            if held is None or held.password_hash != password_hash:
                return False
            _use(db, proof)
            _add_recovery(db, proof.factor_id, recovery)
            return True

        return await self._store.write(work)

    async def turn_off(self, proof: Proof, *, password_hash: str) -> bool:
        def work(db: apsw.Connection) -> bool:
            held = _in_force(db, proof)
            if held is None or held.password_hash != password_hash:
                return False
            db.execute(SQL["drop_factor"], (held.owner_id,))
            db.execute(SQL["drop_half_sign_ins"], (held.owner_id,))
            return True

        return await self._store.write(work)

    async def remove(self, owner_id: int) -> bool:
        def work(db: apsw.Connection) -> bool:
            if row(db, SQL["drop_factor"], owner_id) is None:
                return False
            end_sessions(db, owner_id)
            return True

        return await self._store.write(work)

    async def begin_sign_in(
        self, half: HalfSignIn, *, expect: str, seen_language: str, now: datetime
    ) -> bool:
        noted = (half.owner_id, expect, half.password_hash, seen_language)

        def work(db: apsw.Connection) -> bool:
            if row(db, SQL["is_in_force"], half.owner_id) is None:
                return False
            if row(db, OWNERS_SQL["note_sign_in"], *noted) is None:
                return False
            kept = (to_us(now), half.owner_id, HALF_SIGN_INS_KEPT - 1)
            db.execute(SQL["drop_old_half_sign_ins"], kept)
            values = (half.digest, half.owner_id, half.password_hash, to_us(half.expires_at))
            db.execute(SQL["add_half_sign_in"], values)
            return True

        return await self._store.write(work)

    async def half_sign_in(self, digest: bytes, now: datetime) -> HalfSignIn | None:
        return await self._store.readers.run(lambda db: _half(db, digest, now))

    async def finish_sign_in(
        self, half: bytes, proof: Proof, session: Session, now: datetime
    ) -> bool:
        def work(db: apsw.Connection) -> bool:
            begun = _half(db, half, now)
            held = _in_force(db, proof)
            if begun is None or held is None:
                return False
            if not begun.owner_id == held.owner_id == session.owner_id:
                return False
            _use(db, proof)
            db.execute(SQL["drop_half_sign_in"], (half,))
            open_session(db, session)
            return True

        return await self._store.write(work)


def _half(db: apsw.Connection, digest: bytes, now: datetime) -> HalfSignIn | None:
    found = row(db, SQL["half_sign_in"], digest)
    if found is None or not is_good(ends_at := from_us(found[3]), HALF_LASTS, now):
        return None
    return HalfSignIn(found[0], found[1], found[2], ends_at)


def _has_password(db: apsw.Connection, owner_id: int, password_hash: str) -> bool:
    found = row(db, SQL["password_of_owner"], owner_id)
    return found is not None and found[0] == password_hash


def _held(db: apsw.Connection, proof: Proof) -> _Held | None:
    found = row(db, SQL["factor_and_owner"], proof.factor_id)
    return _Held(*found) if found is not None else None


def _in_force(db: apsw.Connection, proof: Proof) -> _Held | None:
    """Return the factor in force that *proof* proves."""
    held = _held(db, proof)
    if held is None or held.since is None or not _is_proven(db, held, proof):
        return None
    return held


def _is_proven(db: apsw.Connection, held: _Held, proof: Proof) -> bool:
    if proof.recovery:
        return row(db, SQL["recovery_code"], proof.factor_id, proof.recovery) is not None
    return proof.step > held.last_step


def _use(db: apsw.Connection, proof: Proof) -> None:
    if proof.recovery:
        db.execute(SQL["use_recovery_code"], (proof.factor_id, proof.recovery))
    else:
        db.execute(SQL["use_step"], (proof.factor_id, proof.step))


def _add_recovery(db: apsw.Connection, factor_id: int, recovery: Collection[bytes]) -> None:
    db.execute(SQL["drop_recovery_codes"], (factor_id,))
    for digest in recovery:
        db.execute(SQL["add_recovery_code"], (factor_id, digest))
