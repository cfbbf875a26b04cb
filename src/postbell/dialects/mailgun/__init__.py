"""The Mailgun dialect: one event per POST, signed inside the body.

Payloads follow Mailgun's pages on webhooks and events (read in November 2026) and what its
receivers take; what they leave open is told in docs/explain/differences.md.
The signature is in `seal`, the words and members in `payload`.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from postbell.clock import to_us
from postbell.dialects import options as tables
from postbell.dialects import samples, ticking
from postbell.dialects.mailgun import payload, seal
from postbell.errors import BadInput
from postbell.events import TYPE_OF, EventType
from postbell.logged import Logged
from postbell.ports import Probe, Signing, Tick
from postbell.records import Policy, SecretKind

RETRY_WAITS_S = (300.0, 600.0, 900.0, 3600.0, 7200.0, 14_400.0)
"""5 min, 10 min, 15 min, 1 h, 2 h, 4 h."""
NOT_ACCEPTABLE = 406
"""Mailgun's way for a receiver to say that it does not want this event again."""

_NUMBER_BITS = 0x3F


class Mailgun:
    """The words of Mailgun."""

    name = "mailgun"
    title = "Mailgun"
    content_type = "application/json"
    secret_kinds: tuple[SecretKind, ...] = (SecretKind.APP_KEY,)
    signs_with_several = False
    verifier = seal.Sealed()

    def policy(self, options: Mapping[str, Any]) -> Policy:
        # Mailgun documents no timeout: 10 s is ours
        return Policy(
            max_events=1,
            max_wait_s=0.0,
            max_bytes=1 << 20,
            timeout_s=10.0,
            success=(200,),
            refused=(NOT_ACCEPTABLE,),
            retry_waits_s=RETRY_WAITS_S,
            concurrency=32,
        )

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, (), options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        if policy.max_events != 1:
            raise BadInput(
                f"policy.max_events is {policy.max_events}, but Mailgun sends one event per POST;"
                " set it to 1",
                member="policy.max_events",
                reason="only_one_event",
            )

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return ()

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        return ()

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset(payload.WORDS)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return ticking.by_word(payload.WORDS)

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & _NUMBER_BITS)
        return int(kind in payload.WORDS and (types is None or kind in types))

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        """Return the body with zeros where the seal's timestamp and signature go.

        The token is a digest of the event's id: the same in every retry and replay, since
        receivers recognise repeats by it.
        """
        ((raw, _, _),) = events
        event = payload.read(raw)
        token = blake2b(event.event_id.encode(), digest_size=seal.TOKEN_CHARS // 2).hexdigest()
        return seal.placed(token.encode(), payload.write(event))

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        """Return the body with the time of this attempt, and the HMAC of it and the token.

        Receivers refuse a timestamp of more than a few minutes ago.
        """
        keys = (key.value for key in signing.secrets if key.kind is SecretKind.APP_KEY)
        key = next(keys, None)
        if key is None:
            return body
        return seal.sealed(body, to_us(signing.at) // 1_000_000, key)

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        return [
            ("content-type", self.content_type),
            ("postbell-batch", signing.batch_id),
            ("postbell-attempt", str(signing.attempt)),
            ("postbell-events", str(signing.events)),
        ]

    def sample(self) -> Sequence[dict[str, Any]]:
        return samples.of_types(payload.WORDS)


dialect = Mailgun()
