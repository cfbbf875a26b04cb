"""What a key is good for: each request asks for one right, a key's scope says which it has."""

from enum import StrEnum


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
