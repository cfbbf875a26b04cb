"""What a key is good for: each request asks for one right, a key's scope says which it has."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec


class Right(StrEnum):
    """What a request does, as far as a key may let it do that or not."""

    INGEST = "ingest"
    READ = "read"
    MANAGE = "manage"


class KeyScope(StrEnum):
    """What a key was made for; RIGHTS says what it may."""

    INGEST = "ingest"
    READ = "read"
    EVERYTHING = "everything"


RIGHTS = {
    KeyScope.INGEST: frozenset((Right.INGEST,)),
    KeyScope.READ: frozenset((Right.READ,)),
    KeyScope.EVERYTHING: frozenset(Right),
}


class KeyTerms(NamedTuple):
    """What is said of a new key: what it is for, when it ends (None: when it is revoked)."""

    scope: KeyScope = KeyScope.EVERYTHING
    expires_at: datetime | None = None


UNLIMITED = KeyTerms()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an api user; *key_hash* is what is left of it (`sealing.hash_key`).

    *used_at* is late by up to a minute.  *hint* is the end of a key that was made here, to tell
    it from others; empty for one that somebody chose.
    """

    id: int
    key_hash: str
    created_at: datetime
    scope: KeyScope = KeyScope.EVERYTHING
    expires_at: datetime | None = None
    used_at: datetime | None = None
    hint: str = ""

    @property
    def terms(self) -> KeyTerms:
        return KeyTerms(self.scope, self.expires_at)

    def is_live(self, now: datetime) -> bool:
        """Return whether it has not ended."""
        return self.expires_at is None or self.expires_at > now


def covers(own: KeyTerms, other: KeyTerms) -> bool:
    """Return whether a key of *own* terms has every right that one of *other* terms has, and for
    as long: only then may it make, replace or revoke the other."""
    is_long_enough = own.expires_at is None or (
        other.expires_at is not None and other.expires_at <= own.expires_at
    )
    return is_long_enough and RIGHTS[other.scope] <= RIGHTS[own.scope]
