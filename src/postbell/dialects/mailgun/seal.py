"""Mailgun's signature, which is inside the body: made anew for each attempt, and checked."""

import hmac

import msgspec

from postbell.dialects.checks import NO_SECRET, VERIFIED, any_key, count_json, is_same
from postbell.ports import Check, ReceivedRequest
from postbell.text.numerals import whole

TOLERANCE_S = 900
"""Mailgun's own verifier takes a timestamp that is off by so much."""

STAMP_CHARS, TOKEN_CHARS, SIGNATURE_CHARS = 10, 50, 64
_TO_STAMP = b'{"signature":{"timestamp":"'
_TO_TOKEN = b'","token":"'
_TO_SIGNATURE = b'","signature":"'
_TOKEN_AT = len(_TO_STAMP) + STAMP_CHARS + len(_TO_TOKEN)
_SEAL_CHARS = _TOKEN_AT + TOKEN_CHARS + len(_TO_SIGNATURE) + SIGNATURE_CHARS


def placed(token: bytes, event_data: bytes) -> bytes:
    """Return a body with zeros where timestamp and signature go; a token has TOKEN_CHARS."""
    seal = _sealed(b"0" * STAMP_CHARS, token, b"0" * SIGNATURE_CHARS)
    return b'%b"},"event-data":%b}' % (seal, event_data)


def sealed(body: bytes, timestamp_s: int, key: str) -> bytes:
    """Return a body with the time of an attempt, and the HMAC of it and the token."""
    stamp = b"%010d" % timestamp_s
    token = body[_TOKEN_AT : _TOKEN_AT + TOKEN_CHARS]
    signature = _signature(key, (stamp + token).decode())
    return _sealed(stamp, token, signature.encode()) + body[_SEAL_CHARS:]


class _Triple(msgspec.Struct):
    timestamp: str
    token: str
    signature: str


class _Body(msgspec.Struct):
    signature: _Triple


class Sealed:
    """Mailgun's verifier: the signature is in the body, of which it covers two members."""

    def knows(self, delivery: ReceivedRequest) -> bool:
        return delivery.body.startswith(_TO_STAMP)

    def check_key(self, secret: str) -> None:
        any_key(secret)

    def count(self, body: bytes) -> int:
        return count_json(body)

    def check(self, delivery: ReceivedRequest, secret: str) -> Check:
        if not secret:
            return NO_SECRET
        try:
            triple = _decode_body(delivery.body).signature
        except (msgspec.DecodeError, RecursionError):
            return Check(False, "the body has no signature")
        stamp = whole(triple.timestamp)
        if stamp is None or abs(delivery.at.timestamp() - stamp) > TOLERANCE_S:
            return Check(False, f"the timestamp is more than {TOLERANCE_S} s off")
        if is_same(triple.signature, _signature(secret, triple.timestamp + triple.token)):
            return VERIFIED
        return Check(False, "the signature is of another key")


_decode_body = msgspec.json.Decoder(_Body).decode


def _signature(key: str, signed: str) -> str:
    return hmac.digest(key.encode(), signed.encode(), "sha256").hex()


def _sealed(stamp: bytes, token: bytes, signature: bytes) -> bytes:
    return b"".join((_TO_STAMP, stamp, _TO_TOKEN, token, _TO_SIGNATURE, signature))
