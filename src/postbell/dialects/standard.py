"""Checking Standard Webhooks 1.0.0: `v1` with a whsec_ secret, `v1a` with a whpk_ public key."""

import base64
import binascii
import hmac
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from postbell.dialects.checks import VERIFIED, InHeader
from postbell.errors import BadInput
from postbell.ports import Check, ReceivedRequest

TOLERANCE_S = 300
PUBLIC_KEY_BYTES = 32


HEADER = "webhook-signature"


def _check_key(secret: str) -> None:
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


def _verify(delivery: ReceivedRequest, secret: str) -> Check:
    headers = delivery.headers
    stamp = headers.get("webhook-timestamp", "")
    if not _STAMP(stamp) or abs(delivery.at.timestamp() - int(stamp)) > TOLERANCE_S:
        return Check(False, f"webhook-timestamp is more than {TOLERANCE_S} s off")
    content = b".".join((headers.get("webhook-id", "").encode(), stamp.encode(), delivery.body))
    version = "v1a" if secret.startswith("whpk_") else "v1"
    parts = (part.partition(",") for part in headers[HEADER].split())
    given = [value for kind, _, value in parts if kind == version]
    if not given:
        return Check(False, f"{HEADER} has no {version} signature")
    if _VERSIONS[version](_key(secret), content, given):
        return VERIFIED
    return Check(False, "the signature is of another key or body")


def _is_symmetric(key: bytes, content: bytes, given: list[str]) -> bool:
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return any(hmac.compare_digest(expected.encode(), value.encode()) for value in given)


def _is_ed25519(key: bytes, content: bytes, given: list[str]) -> bool:
    public = Ed25519PublicKey.from_public_bytes(key)
    for value in given:
        try:
            public.verify(base64.b64decode(value), content)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


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

VERIFIER = InHeader(HEADER, _verify, _check_key)
"""The native dialect's."""
