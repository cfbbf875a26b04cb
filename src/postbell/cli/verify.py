"""Checking a delivery's signature, as a careful receiver would: one row per scheme."""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from postbell.errors import BadInput

TOLERANCE_S = 300
PUBLIC_KEY_BYTES = 32


class Check(NamedTuple):
    """What came of it: *is_good* None where nothing could be checked."""

    is_good: bool | None
    reason: str


class Scheme(NamedTuple):
    """How a dialect is recognised by a header, and checked."""

    dialect: str
    header: str
    batch_header: str
    check: Callable[[Mapping[str, str], bytes, str, datetime], Check]


def dialect_of(headers: Mapping[str, str]) -> str:
    """Return the dialect that the headers look like."""
    return next((row.dialect for row in SCHEMES if row.header in headers), "sendpulse")


def batch_id_of(headers: Mapping[str, str]) -> str:
    """Return the batch's id, or "-" where the request does not carry one."""
    return next((headers[name] for name in BATCH_HEADERS if headers.get(name)), "-")


def event_count(body: bytes) -> int:
    """Return how many events a body holds: an array's length, 1 for an object, else 0."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    return len(value) if isinstance(value, list) else int(isinstance(value, dict))


def check(
    headers: Mapping[str, str], body: bytes, secret: str, now: datetime, dialect: str = ""
) -> Check:
    """Check a delivery against *secret*, as *dialect* or what the headers look like."""
    name = dialect or dialect_of(headers)
    scheme = next((row for row in SCHEMES if row.dialect == name), None)
    if scheme is None:
        return Check(None, "not signed")
    if not secret:
        return Check(None, "no secret given")
    if scheme.header not in headers:
        return Check(False, f"header {scheme.header} is missing")
    return scheme.check(headers, body, secret, now)


def check_secret(secret: str) -> None:
    """Raise BadInput for a key that nothing can be checked with."""
    if secret.startswith("whsk_"):
        raise BadInput(
            "a whsk_ key signs; give its public key, whpk_..., to verify", member="secret"
        )
    if secret.startswith(("whsec_", "whpk_")):
        key = _key(secret)
        if secret.startswith("whpk_") and len(key) != PUBLIC_KEY_BYTES:
            raise BadInput(
                f"a whpk_ key holds {PUBLIC_KEY_BYTES} bytes, this one {len(key)}; copy it whole",
                member="secret",
            )


def _check_native(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Check:
    """Standard Webhooks 1.0.0: v1 with a whsec_ secret, v1a with a whpk_ public key."""
    stamp = headers.get("webhook-timestamp", "")
    if not _STAMP(stamp) or abs(now.timestamp() - int(stamp)) > TOLERANCE_S:
        return Check(False, f"webhook-timestamp is more than {TOLERANCE_S} s off")
    content = b".".join((headers.get("webhook-id", "").encode(), stamp.encode(), body))
    version = "v1a" if secret.startswith("whpk_") else "v1"
    given = [
        value
        for kind, _, value in (part.partition(",") for part in headers["webhook-signature"].split())
        if kind == version
    ]
    if not given:
        return Check(False, f"webhook-signature has no {version} signature")
    is_good = _VERSIONS[version](_key(secret), content, given)
    return Check(is_good, "verified" if is_good else "the signature is of another key or body")


def _is_symmetric(key: bytes, content: bytes, given: list[str]) -> bool:
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return any(hmac.compare_digest(expected.encode(), value.encode()) for value in given)


def _is_ed25519(key: bytes, content: bytes, given: list[str]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = Ed25519PublicKey.from_public_bytes(key)
    for value in given:
        try:
            public.verify(base64.b64decode(value), content)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _check_engagelab(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Check:
    """EngageLab: MD5 by default, HMAC-SHA256 as an option; neither covers the body."""
    stamp = headers.get("x-webhook-timestamp", "")
    app_key = headers.get("x-webhook-appkey", "")
    digest = hashlib.md5(f"{stamp}{app_key}{secret}".encode(), usedforsecurity=False).hexdigest()
    keyed = hmac.new(secret.encode(), stamp.encode(), "sha256").hexdigest()
    given = headers["x-webhook-signature"]
    if any(hmac.compare_digest(given.encode(), known.encode()) for known in (digest, keyed)):
        return Check(True, "verified")
    return Check(False, "the signature is of another APP KEY")


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix("whsec_").removeprefix("whpk_")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise BadInput(
            "the secret is not base64 after its prefix; copy it whole", member="secret"
        ) from None


_STAMP = re.compile("[0-9]{1,16}").fullmatch
_VERSIONS = {"v1": _is_symmetric, "v1a": _is_ed25519}
SCHEMES = (
    Scheme("native", "webhook-signature", "webhook-id", _check_native),
    Scheme("engagelab", "x-webhook-signature", "postbell-batch", _check_engagelab),
)
BATCH_HEADERS = ("webhook-id", "postbell-batch")
