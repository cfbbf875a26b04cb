"""Checking a delivery's signature, as a careful receiver would: each dialect brings how."""

import base64
from collections.abc import Mapping

from postbell.cli.receiver import Received
from postbell.dialects import DIALECTS
from postbell.ports import Check, Dialect, ReceivedRequest

BATCH_HEADERS = ("webhook-id", "postbell-batch")
UNKNOWN = "-"


def delivery_of(received: Received, url: str = "") -> ReceivedRequest:
    """Return a request as dialects look at it; *url* is what it was sent to, where that is not what
    the request says."""
    return ReceivedRequest(url or _url_of(received), received.headers, received.body, received.at)


def dialect_of(delivery: ReceivedRequest) -> str:
    """Return the dialect that a delivery looks like, UNKNOWN for none."""
    known = (name for name, each in DIALECTS.items() if each.verifier.knows(delivery))
    return next(known, UNKNOWN)


def batch_id_of(headers: Mapping[str, str]) -> str:
    """Return the batch's id, or "-" where the request does not carry one."""
    return next((headers[name] for name in BATCH_HEADERS if headers.get(name)), "-")


def event_count(delivery: ReceivedRequest, name: str) -> int:
    """Return how many events it holds, as the dialect of this name counts."""
    dialect = DIALECTS.get(name)
    return 0 if dialect is None else dialect.verifier.count(delivery.body)


def check(delivery: ReceivedRequest, secret: str, name: str) -> Check:
    """Check a delivery against *secret* as one of the dialect of this name."""
    dialect = DIALECTS.get(name)
    if dialect is None:
        return Check(None, "not of a known dialect")
    return dialect.verifier.check(delivery, secret)


def check_secret(secret: str, name: str | None) -> None:
    """Raise BadInput for a key that nothing can be checked with, where the dialect is not known
    whatever the dialect."""
    asked: list[Dialect] = [DIALECTS[name]] if name else list(DIALECTS.values())
    for dialect in asked:
        dialect.verifier.check_key(secret)


def _url_of(received: Received) -> str:
    host = received.headers.get("host", "")
    scheme, _, given = received.headers.get("authorization", "").partition(" ")
    user = ""
    if scheme.lower() == "basic":
        try:
            user = base64.b64decode(given, validate=True).decode() + "@"
        except ValueError:
            user = ""
    return f"http://{user}{host}{received.path}"
