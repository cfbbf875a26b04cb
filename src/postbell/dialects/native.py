"""The native dialect: canonical events in an array, signed by Standard Webhooks 1.0.0.

The one dialect that carries every type, `unknown` too.  The log already holds the bytes; render
only splices in what the log adds, `recorded_at` and `sequence`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from postbell.blocks import apart
from postbell.clock import rfc3339, to_us
from postbell.dialects import options as tables
from postbell.dialects import samples, standard, ticking
from postbell.events import TYPE_OF, EventType
from postbell.logged import Logged, Part, parts_of
from postbell.ports import Probe, Signing, Tick
from postbell.records import Policy, SecretKind
from postbell.signing import standard_signatures

_NUMBER_BITS = 0x3F


class Native:
    """Postbell's own words."""

    name = "native"
    title = "Postbell (Standard Webhooks)"
    content_type = "application/json"
    secret_kinds: tuple[SecretKind, ...] = (SecretKind.SYMMETRIC, SecretKind.ED25519)
    signs_with_several = True
    verifier = standard.VERIFIER

    def policy(self, options: Mapping[str, Any]) -> Policy:
        return Policy(max_events=1000, max_wait_s=5.0, max_bytes=1 << 20, timeout_s=15.0)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, (), options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        return

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return ()

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        return ()

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset(EventType)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return ticking.by_type(self.carries(options))

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & _NUMBER_BITS)
        return int(kind is not None and (types is None or kind in types))

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        # one join: a further copy of a body of some 100 kB costs more than writing it
        written = [b"["]
        for part in parts_of(events):
            written += _spliced(part)
        written[-1] = written[-1][:-1] + b"]"
        return b"".join(written)

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        return body

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        timestamp_s = to_us(signing.at) // 1_000_000
        made = [
            ("content-type", self.content_type),
            ("webhook-id", signing.batch_id),
            ("webhook-timestamp", str(timestamp_s)),
            ("postbell-attempt", str(signing.attempt)),
            ("postbell-events", str(signing.events)),
        ]
        signatures = standard_signatures(signing.secrets, signing.batch_id, timestamp_s, body)
        if signatures:
            made.insert(3, ("webhook-signature", " ".join(signatures)))
        return made

    def sample(self) -> Sequence[dict[str, Any]]:
        return samples.of_types(kind for kind in EventType if kind is not EventType.UNKNOWN)


_LAST_DIGITS = [b"%03d}," % digits for digits in range(1000)]


def _spliced(part: Part) -> list[bytes]:
    """Return three pieces for each event: up to its closing brace, and twice what the log adds.

    Sequence numbers are not written one by one: most differ in their last three digits only.
    """
    told = f',"recorded_at":"{rfc3339(part.recorded_at)}","sequence":'
    written = [b""] * (3 * len(part.sizes))
    written[0::3] = apart(part.body, part.sizes, without=1)
    firsts, lasts = written[1::3], written[2::3]
    at, sequence = 0, part.sequences[0]
    if sequence < len(_LAST_DIGITS) or not isinstance(part.sequences, range):
        lasts = [f"{told}{each}}},".encode() for each in part.sequences]
        at = len(lasts)
    while at < len(lasts):
        thousands, digits = divmod(sequence + at, len(_LAST_DIGITS))
        found = _LAST_DIGITS[digits : digits + len(lasts) - at]
        firsts[at : at + len(found)] = [f"{told}{thousands}".encode()] * len(found)
        lasts[at : at + len(found)] = found
        at += len(found)
    written[1::3], written[2::3] = firsts, lasts
    return written


dialect = Native()
