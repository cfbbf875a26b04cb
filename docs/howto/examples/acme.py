"""The Acme dialect: a made-up provider, the smallest whole example of a dialect.

Acme's receivers take an array of {"what", "who", "when"} and a token in a header.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from postbell.clock import to_us
from postbell.dialects import options as tables
from postbell.dialects import samples, ticking
from postbell.dialects.checks import Unsigned
from postbell.dialects.options import Option, words
from postbell.events import TYPE_OF, EventType
from postbell.ports import Logged, Probe, Signing, Tick
from postbell.records import Policy, SecretKind

WORDS: Mapping[EventType, str] = {
    EventType.DELIVERED: "arrived",
    EventType.HARD_BOUNCE: "returned",
    EventType.SOFT_BOUNCE: "returned",
    EventType.OPEN: "read",
}
UNIT = Option("unit", words("s", "ms"), "s", "unit of `when`: seconds or milliseconds")
OPTIONS = (UNIT,)

UNIT_US = {"s": 1_000_000, "ms": 1_000}


class _Event(msgspec.Struct, frozen=True, gc=False):
    """What Acme's words need of a stored event; other members are not even decoded."""

    type: EventType
    occurred_at: datetime
    recipient: str


class _Told(msgspec.Struct, frozen=True, gc=False):
    what: str
    who: str
    when: int


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode


class Acme:
    """The words of Acme Mail."""

    name = "acme"
    title = "Acme Mail"
    content_type = "application/json"
    secret_kinds: tuple[SecretKind, ...] = (SecretKind.APP_KEY,)
    signs_with_several = False
    verifier = Unsigned()

    def policy(self, options: Mapping[str, Any]) -> Policy:
        return Policy(max_events=100, max_wait_s=10.0, timeout_s=5.0)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, OPTIONS, options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        return

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return tables.rows(OPTIONS)

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        return ()

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset(WORDS)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return ticking.by_word(WORDS)

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & 0x3F)
        return int(kind in WORDS and (types is None or kind in types))

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        unit_us = UNIT_US[str(UNIT.of(options))]
        told = []
        for raw, _, _ in events:
            event = _decode(raw)
            when = to_us(event.occurred_at) // unit_us
            told.append(_Told(WORDS[event.type], event.recipient, when))
        return _encode(told)

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        return body

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        made = [
            ("content-type", self.content_type),
            ("postbell-batch", signing.batch_id),
            ("postbell-attempt", str(signing.attempt)),
            ("postbell-events", str(signing.events)),
        ]
        if signing.secrets:
            made.append(("acme-token", signing.secrets[0].value))
        return made

    def sample(self) -> Sequence[dict[str, Any]]:
        return samples.of_types(WORDS)


dialect = Acme()
