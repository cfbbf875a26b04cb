"""What the verifiers of several dialects share."""

import hmac
import json

from postbell.ports import Check, Delivery

VERIFIED = Check(True, "verified")


class Verifying:
    """A verifier of a dialect whose signature is in *header*."""

    header: str

    def knows(self, delivery: Delivery) -> bool:
        return self.header in delivery.headers

    def check_key(self, secret: str) -> None:
        return

    def count(self, body: bytes) -> int:
        return count_json(body)

    def check(self, delivery: Delivery, secret: str) -> Check:
        if not secret:
            return Check(None, "no secret given")
        if self.header not in delivery.headers:
            return Check(False, f"header {self.header} is missing")
        return self.verify(delivery, secret)

    def verify(self, delivery: Delivery, secret: str) -> Check:
        """Check a delivery that has the header."""
        raise NotImplementedError


class Unsigned(Verifying):
    """A verifier of a dialect that signs nothing."""

    def knows(self, delivery: Delivery) -> bool:
        return "postbell-batch" in delivery.headers and delivery.body.startswith(b"[")

    def check(self, delivery: Delivery, secret: str) -> Check:
        return Check(None, "not signed")


def count_json(body: bytes | str) -> int:
    """Return how many events JSON holds: an array's length, 1 for an object, else 0."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    return len(value) if isinstance(value, list) else int(isinstance(value, dict))


def is_same(given: str, *expected: str) -> bool:
    """Compare a signature that came with those that are right, in constant time."""
    return any(hmac.compare_digest(given.encode(), known.encode()) for known in expected)
