"""What a dialect says of a delivery that a receiver has: for developers, who look at what comes."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol


class ReceivedRequest(NamedTuple):
    """A request as it arrived at *at*; names of headers are in lower case, *url* is as it was
    registered, as far as the receiver knows."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime


class Check(NamedTuple):
    """What came of it: *is_good* None where nothing could be checked."""

    is_good: bool | None
    reason: str


class Verifier(Protocol):
    """Checks a dialect's deliveries as a careful receiver would; nothing that comes raises."""

    def knows(self, delivery: ReceivedRequest) -> bool:
        """Say whether a delivery looks like one of this dialect and of no other."""
        ...

    def check_key(self, secret: str) -> None:
        """Raise BadInput for a key of this dialect's kinds that nothing can be checked with."""
        ...

    def count(self, body: bytes) -> int:
        """Return how many events a body holds, 0 where it is none of this dialect."""
        ...

    def check(self, delivery: ReceivedRequest, secret: str) -> Check:
        """Check a delivery against *secret*, which is empty where there is none."""
        ...
