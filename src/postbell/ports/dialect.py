"""What a dialect is asked."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from postbell.events import EventType
from postbell.logged import Logged
from postbell.ports.receiving import Verifier
from postbell.records import (
    Policy,
    Secret,
    SecretKind,
)


class Stored(NamedTuple):
    """A `Logged` event whose members have names."""

    raw: bytes
    sequence: int
    recorded_at: datetime


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """What seal and headers are made from; *secrets* are those that sign at *at*, newest first.

    *url* is the webhook's as it was registered, user, password and query included.
    """

    url: str
    batch_id: str
    attempt: int
    events: int
    at: datetime
    secrets: Sequence[Secret]


class Tick(NamedTuple):
    """A word that a customer ticks, and the canonical types that it stands for.

    *is_further*: the provider's own form does not offer it; a new webhook's form has it folded
    and unticked.
    """

    word: str
    types: tuple[EventType, ...]
    is_further: bool = False


class Probe(NamedTuple):
    """A request that a URL must answer with 200 before events are sent there.

    *method* is GET or HEAD, which have no body, or POST; *instead* is asked where the answer is
    another one.
    """

    method: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    instead: "Probe | None" = None


class Dialect(Protocol):
    """A provider's words: what it carries, how it is written and signed, and its defaults.

    Pure: the same events and options give the same bytes in every release, or the golden tests
    fail.  *options* is always what `check_options` returned.

    "The same bytes on every attempt" is said of what `render` returns: the id of a batch, the
    events in it and the hash that is kept of it are of the body without its seal.  Where a
    provider signs inside the body, `seal` makes that one part anew for each attempt.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def secret_kinds(self) -> tuple[SecretKind, ...]:
        """Kinds of key that a new webhook gets; the first is made by default."""
        ...

    @property
    def signs_with_several(self) -> bool:
        """True where one request can carry several signatures (rotation with overlap)."""
        ...

    @property
    def verifier(self) -> Verifier:
        """What a developer's receiver checks deliveries with."""
        ...

    def policy(self, options: Mapping[str, Any]) -> Policy:
        """Return the dialect's default policy under these options."""
        ...

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that differ from their defaults; raise BadInput for others."""
        ...

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        """Raise BadInput where this dialect cannot keep to the policy."""
        ...

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        """Return (name, values, default, meaning) of each option, for reference and help."""
        ...

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        """Return what *url* is asked when it is registered or changed; most ask nothing."""
        ...

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        """Return the canonical types that it has a word for."""
        ...

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        """Return what a customer ticks, in the provider's order: together all of `carries`."""
        ...

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        """Return how many events on the wire one stored event of kind *code* makes (0: none).

        *types* are the ticked ones, None for all that it carries.
        """
        ...

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        """Return the body; all events have a weight above 0.

        Who reads `logged.parts_of` of them gets the same bytes for an event as who goes
        through them.
        """
        ...

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        """Return the rendered *body* with what this attempt signs inside it: *body* itself where
        the signature is a header.

        It changes no event and is exactly as long, since limits and figures are of the rendered
        body; the same *signing* gives the same bytes.
        """
        ...

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        """Return content type, signature and the dialect's own headers; *body* is sealed."""
        ...

    def sample(self) -> Sequence[dict[str, Any]]:
        """Return ingest events, one per word of the dialect, for tests of a webhook."""
        ...
