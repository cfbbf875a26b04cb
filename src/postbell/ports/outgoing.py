"""HTTP going out: requests to customers' URLs, and which URLs may be called."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from postbell.blocks import Range
from postbell.records import Outcome


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a customer's URL.

    *webhook_id* and *account_id* choose the limits; *body* None sends a GET without one, or
    a HEAD where it *is_head*; *part* is what it carries of the log, None for what is of no log.
    """

    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    timeout_s: float
    account_id: int
    webhook_id: int
    is_head: bool = False
    is_failing: bool = False
    part: Range | None = None


class Sender(Protocol):
    """HTTP going out, guarded."""

    async def send(self, request: Request) -> Outcome:
        """Make the request; whatever the receiver does is an outcome, never an exception."""
        ...

    async def close(self) -> None: ...


class UrlGuard(Protocol):
    """The address rules for URLs that a customer registers (promise 6)."""

    async def check(self, url: str) -> None:
        """Raise BadInput (member `url`, code `url_malformed` or `url_inside`) for a URL that
        must not be called; a name that does not resolve now passes.  Takes at most 2 s."""
        ...
