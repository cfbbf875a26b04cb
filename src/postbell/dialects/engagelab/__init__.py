"""The EngageLab dialect: one event per POST, nested payload, MD5 over timestamp and APP KEY.

Source: EngageLab's pages "API WebHooks" and "WebHook" (2023-08-10); what they leave open is told in
docs/explain/differences.md.
The words are in `codes`, the failures in `failures`, the fields in `payload`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from postbell.clock import to_us
from postbell.dialects import options as tables
from postbell.dialects import samples
from postbell.dialects.engagelab import codes, payload, signature
from postbell.dialects.options import FLAG, Option, words
from postbell.errors import BadInput
from postbell.events import OUT_OF_BAND, TYPE_OF, EventType
from postbell.ports import Logged, Probe, Signing, Tick
from postbell.records import Policy, SecretKind

SIGNATURE = Option(
    "signature",
    words("md5", "hmac"),
    "md5",
    "formula of `X-WebHook-Signature`: md5 of timestamp + `email` + APP KEY, or HMAC-SHA256 of the"
    " timestamp with the APP KEY",
)
CODES = Option(
    "codes",
    words("hardness", "phase"),
    "hardness",
    "which failures are `invalid_email` (4) and which `soft_bounce` (5): hard and soft ones, or"
    " those in the SMTP session and those that came back later",
)
URL_CHECK = Option(
    "url_check",
    words("off", "get", "get_and_post"),
    "off",
    "requests that the URL must answer with 200 when it is registered or changed",
)
ARRAY = Option(
    "array",
    FLAG,
    "false",
    "whether a body is an array of events; then `max_events` may be above 1",
)
OPTIONS = (SIGNATURE, CODES, URL_CHECK, ARRAY)

RETRY_WAITS_S = (180.0, 600.0, 1800.0, 3600.0, 21_600.0, 43_200.0, 86_400.0)
"""3 min, 10 min, 30 min, 1 h, 6 h, 12 h, 24 h: at most 7 retries (reference section 8)."""

_ASKED = {"off": 0, "get": 1, "get_and_post": 2}
_NUMBER_BITS = 0x3F
_encode = msgspec.json.Encoder().encode


class EngageLab:
    """The words of EngageLab Email."""

    name = "engagelab"
    title = "EngageLab Email"
    content_type = "application/json; charset=utf-8"
    secret_kinds: tuple[SecretKind, ...] = (SecretKind.APP_KEY,)
    signs_with_several = False
    verifier = signature.VERIFIER

    def policy(self, options: Mapping[str, Any]) -> Policy:
        return Policy(
            max_events=1,
            max_wait_s=0.0,
            max_bytes=1 << 20,
            timeout_s=3.0,
            success=(200, 204),
            retry_waits_s=RETRY_WAITS_S,
            concurrency=32,
            keep_parked_days=15.0,
        )

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(tables.check(self.name, OPTIONS, options))

    def check_policy(self, policy: Policy, options: Mapping[str, Any]) -> None:
        if policy.max_events != 1 and not ARRAY.of(options):
            raise BadInput(
                f"policy.max_events is {policy.max_events}, but EngageLab sends one event per POST;"
                " set it to 1, or set options.array to true",
                member="policy.max_events",
                reason="one_event",
            )

    def option_rows(self) -> Sequence[tuple[str, str, str, str]]:
        return tables.rows(OPTIONS)

    def probes(self, url: str, options: Mapping[str, Any]) -> Sequence[Probe]:
        asked = [Probe("GET", (), None), Probe("POST", (("content-type", self.content_type),), b"")]
        return asked[: _ASKED[str(URL_CHECK.of(options))]]

    def carries(self, options: Mapping[str, Any]) -> frozenset[EventType]:
        return frozenset(codes.CODE_OF)

    def ticks(self, options: Mapping[str, Any]) -> Sequence[Tick]:
        return [Tick(code.name, code.types) for code in codes.CODES]

    def weight(
        self, code: int, types: frozenset[EventType] | None, options: Mapping[str, Any]
    ) -> int:
        kind = TYPE_OF.get(code & _NUMBER_BITS)
        if kind not in codes.CODE_OF:
            return 0
        if types is None or CODES.of(options) != "phase" or kind not in codes.FAILURES:
            return int(types is None or kind in types)
        said = codes.code_for(kind, bool(code & OUT_OF_BAND), is_by_phase=True)
        return int(not types.isdisjoint(said.types))

    def render(self, events: Sequence[Logged], options: Mapping[str, Any]) -> bytes:
        is_by_phase = CODES.of(options) == "phase"
        if ARRAY.of(options):
            return _encode([payload.write(raw, is_by_phase) for raw, _, _ in events])
        ((raw, _, _),) = events
        return _encode(payload.write(raw, is_by_phase))

    def seal(self, body: bytes, signing: Signing, options: Mapping[str, Any]) -> bytes:
        return body

    def headers(
        self, body: bytes, signing: Signing, options: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        keys = (key.value for key in signing.secrets if key.kind is SecretKind.APP_KEY)
        app_key = next(keys, signature.TEST_APP_KEY)
        timestamp = str(to_us(signing.at) // 1000)
        sign = signature.md5 if SIGNATURE.of(options) == "md5" else signature.keyed
        return [
            ("content-type", self.content_type),
            ("X-WebHook-Timestamp", timestamp),
            ("X-WebHook-AppKey", signature.APP_KEY_HEADER),
            ("X-WebHook-Signature", sign(timestamp, app_key)),
            ("postbell-batch", signing.batch_id),
            ("postbell-attempt", str(signing.attempt)),
            ("postbell-events", str(signing.events)),
        ]

    def sample(self) -> Sequence[dict[str, Any]]:
        return samples.of_types(code.types[0] for code in codes.CODES)


dialect = EngageLab()
