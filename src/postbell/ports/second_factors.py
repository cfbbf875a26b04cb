"""What is kept of second factors: secrets of one-time codes, recovery codes, sign-ins half way."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from postbell.records import Session

HALF_SIGN_INS_KEPT = 20
"""Of one owner; the newest."""
HALF_LASTS = timedelta(minutes=5)
"""A sign-in that would be half way for longer is not: a clock was ahead."""


class SecondFactor(NamedTuple):
    """An owner's authenticator; *secret* is base32 in clear (engines keep it sealed).

    *since* is None while its first code is awaited; *last_step* is the newest time step whose
    code was used.
    """

    id: int
    owner_id: int
    secret: str
    created_at: datetime
    since: datetime | None = None
    last_step: int = 0
    codes_left: int = 0


class HalfSignIn(NamedTuple):
    """Somebody whose password was right and whose code is awaited; *digest* hashes the token.

    It is good for one sign-in until *expires_at*, while *password_hash* is still the owner's.
    """

    digest: bytes
    owner_id: int
    password_hash: str
    expires_at: datetime


class Proof(NamedTuple):
    """What shows that somebody holds a factor: the time step of a code that fits its secret, or
    the digest of a recovery code."""

    factor_id: int
    step: int = 0
    recovery: bytes = b""


class SecondFactors(Protocol):
    """Second factors of owners.

    Every write is one commit that says whether it came about; where it did not, nothing changed.
    A proof is used up by what it allows: a step that is not newer than the last one, and a
    recovery code that was used, prove nothing.  Removing an owner removes everything here.
    """

    async def of(self, owner_id: int) -> SecondFactor | None: ...

    async def is_in_force(self, owner_id: int) -> bool:
        """Return whether the owner has a factor in force."""
        ...

    async def in_force(self, account_id: int | None = None) -> set[int]:
        """Return ids of owners, of an account or of all, who have a factor in force."""
        ...

    async def begin(
        self, owner_id: int, secret: str, *, password_hash: str, now: datetime
    ) -> SecondFactor | None:
        """Keep a secret whose first code is awaited, in place of an earlier one; None where a
        factor is in force, or *password_hash* is not the owner's any more."""
        ...

    async def put_in_force(
        self,
        proof: Proof,
        recovery: Collection[bytes],
        *,
        begun_after: datetime,
        keep: bytes,
        now: datetime,
    ) -> bool:
        """Put a factor in force, with these recovery codes, and end the owner's sessions but
        *keep*; False unless it awaits its first code since *begun_after* at the earliest, the
        password is the one of its beginning, and *keep* is a session of the owner."""
        ...

    async def replace_recovery(
        self, proof: Proof, recovery: Collection[bytes], *, password_hash: str
    ) -> bool:
        """Put these recovery codes in the place of those that are left."""
        ...

    async def turn_off(self, proof: Proof, *, password_hash: str) -> bool:
        """Remove a factor that is in force, with its recovery codes."""
        ...

    async def remove(self, owner_id: int) -> bool:
        """Remove an owner's factor without a proof, and end all sessions and sign-ins half way;
        False where there is none."""
        ...

    async def begin_sign_in(
        self, half: HalfSignIn, *, expect: str, seen_language: str, now: datetime
    ) -> bool:
        """Keep a sign-in half way, note what `Owners.open_session` notes, and drop those that
        expired; False where the owner has no factor in force, or not the password *expect*."""
        ...

    async def half_sign_in(self, digest: bytes, now: datetime) -> HalfSignIn | None:
        """Return a sign-in half way that is still good."""
        ...

    async def finish_sign_in(
        self, half: bytes, proof: Proof, session: Session, now: datetime
    ) -> bool:
        """Use a sign-in half way up and open the session."""
        ...
