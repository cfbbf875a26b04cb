"""What the verifiers of several dialects share."""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass

from postbell.ports import Check, ReceivedRequest

VERIFIED = Check(True, "verified")
NO_SECRET = Check(None, "no secret given")


def count_json(body: bytes | str) -> int:
    """Return how many events JSON holds: an array's length, 1 for an object, else 0."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    return len(value) if isinstance(value, list) else int(isinstance(value, dict))


def any_key(secret: str) -> None:
    """Take whatever is a key."""


@dataclass(frozen=True, slots=True)
class InHeader:
    """A verifier of a dialect whose signature is in *header*, named in lower case.

    *verify* is asked of deliveries that have the header and with a secret that is not empty.
    """

    header: str
    verify: Callable[[ReceivedRequest, str], Check]
    check_key: Callable[[str], None] = any_key
    count: Callable[[bytes], int] = count_json

    def knows(self, delivery: ReceivedRequest) -> bool:
        return self.header in delivery.headers

    def check(self, delivery: ReceivedRequest, secret: str) -> Check:
        if not secret:
            return NO_SECRET
        if self.header not in delivery.headers:
            return Check(False, f"header {self.header} is missing")
        return self.verify(delivery, secret)


class Unsigned:
    """A verifier of a dialect that signs nothing."""

    def knows(self, delivery: ReceivedRequest) -> bool:
        return "postbell-batch" in delivery.headers and delivery.body.startswith(b"[")

    def check_key(self, secret: str) -> None:
        any_key(secret)

    def count(self, body: bytes) -> int:
        return count_json(body)

    def check(self, delivery: ReceivedRequest, secret: str) -> Check:
        return Check(None, "not signed")


def is_same(given: str, *expected: str) -> bool:
    """Compare a signature that came with those that are right, in constant time."""
    return any(hmac.compare_digest(given.encode(), known.encode()) for known in expected)
