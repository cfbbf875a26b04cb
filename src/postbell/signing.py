"""Keys and the signatures of Standard Webhooks 1.0.0.

Plain functions over bytes; what a request carries is the dialect's matter.
"""

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postbell.clock import APART
from postbell.errors import BadInput
from postbell.records import Secret, SecretKind


def new_secret(kind: SecretKind) -> str:
    """Return a fresh key of *kind* in the form that customers see."""
    match kind:
        case SecretKind.SYMMETRIC:
            return "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        case SecretKind.ED25519:
            key = Ed25519PrivateKey.generate()
            whole = key.private_bytes_raw() + key.public_key().public_bytes_raw()
            return "whsk_" + b64encode(whole).decode()
        case SecretKind.APP_KEY:
            return secrets.token_urlsafe(24)


def check_secret(kind: SecretKind, value: str) -> None:
    """Raise BadInput (member `secret`) for a given key that cannot sign as *kind*.

    The message never repeats the key.
    """
    match kind:
        case SecretKind.SYMMETRIC:
            size = len(_decoded("whsec_", value))
            if not 24 <= size <= 64:
                raise BadInput(
                    f"a whsec_ secret holds 24 to 64 bytes, this one {size};"
                    " leave it out to get a new one",
                    member="secret",
                    reason="secret_length",
                    count=size,
                )
        case SecretKind.ED25519:
            _ed25519_seed(value)
        case SecretKind.APP_KEY:
            if not _APP_KEY.match(value):
                raise BadInput(
                    "an APP KEY is 8 to 128 printable ASCII characters without spaces;"
                    " leave it out to get a new one",
                    member="secret",
                    reason="app_key",
                )


def public_key(whsk: str) -> str:
    """Return the `whpk_` key that receivers verify with, of a `whsk_` key."""
    raw = _private_key(whsk).public_key().public_bytes_raw()
    return "whpk_" + b64encode(raw).decode()


def active_at(owned: Iterable[Secret], at: datetime) -> list[Secret]:
    """Return the keys that sign at *at*, the one that became active last first."""
    signing = [
        secret
        for secret in owned
        if _has_begun(secret, at) and (secret.expires_at is None or at < secret.expires_at)
    ]
    return sorted(signing, key=lambda secret: (secret.active_at, secret.id), reverse=True)


def _has_begun(secret: Secret, at: datetime) -> bool:
    """Say whether the key's time to sign has come.  One that is not made yet was made by a clock
    that was ahead, or this one is behind: then it has."""
    return secret.active_at <= at or secret.created_at > at + APART


def signing_at(
    own: Iterable[Secret], account: Iterable[Secret], kinds: Collection[SecretKind], at: datetime
) -> list[Secret]:
    """Return the keys of *kinds* that sign at *at*, newest first: the webhook's *own*, where it
    has none in force its account's.

    An account's key is not newer than a webhook's own, whenever it was made.
    """
    mine = active_at((key for key in own if key.kind in kinds), at)
    return mine or active_at((key for key in account if key.kind in kinds), at)


def standard_signatures(
    keys: Iterable[Secret], message_id: str, timestamp_s: int, body: bytes
) -> list[str]:
    """Return a Standard Webhooks signature of each key that can make one, in the order of *keys*.

    Signed is `id.timestamp.body`: `v1` is HMAC-SHA256, `v1a` ed25519.
    """
    head = f"{message_id}.{timestamp_s}.".encode()
    return [_SIGNERS[key.kind](key.value, head, body) for key in keys if key.kind in _SIGNERS]


def _sign_v1(secret: str, head: bytes, body: bytes) -> str:
    signing = hmac.new(_decoded("whsec_", secret), head, "sha256")
    signing.update(body)  # a copy of a large body to sign it in one piece would cost a sixth more
    return "v1," + b64encode(signing.digest()).decode()


def _sign_v1a(secret: str, head: bytes, body: bytes) -> str:
    return "v1a," + b64encode(_private_key(secret).sign(head + body)).decode()


_SIGNERS = {SecretKind.SYMMETRIC: _sign_v1, SecretKind.ED25519: _sign_v1a}


@lru_cache(256)
def _private_key(whsk: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_ed25519_seed(whsk))


def _ed25519_seed(whsk: str) -> bytes:
    """Return the 32-byte seed of a `whsk_` key, which is the seed alone or seed + public key."""
    raw = _decoded("whsk_", whsk)
    if len(raw) not in (32, 64):
        raise BadInput(
            f"a whsk_ key holds 32 bytes (seed) or 64 (seed and public key), this one {len(raw)};"
            " leave it out to get a new one",
            member="secret",
            reason="secret_ed25519",
            count=len(raw),
        )
    seed = raw[:32]
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    if raw[32:] not in (b"", public):
        raise BadInput(
            "the second half of this whsk_ key is not the public key of its first half;"
            " leave it out to get a new one",
            member="secret",
            reason="secret_halves",
        )
    return seed


def _decoded(prefix: str, value: str) -> bytes:
    try:
        if value.startswith(prefix):
            return b64decode(value[len(prefix) :], validate=True)
    except ValueError:
        pass
    _refuse_pasted(prefix, value)
    raise BadInput(
        f"this secret is not {prefix} followed by base64; leave it out to get a new one",
        member="secret",
        reason="secret_prefix",
        prefix=prefix,
    )


def _refuse_pasted(prefix: str, value: str) -> None:
    """Raise BadInput where a key was pasted with something around it, or spelled otherwise."""
    if value != value.strip() or "\n" in value:
        raise BadInput(
            "this secret has a blank or a line break in it or around it; take that off",
            member="secret",
            reason="secret_around",
        )
    if value.startswith(("v1,", "v1a,")):
        raise BadInput(
            f"v1, and v1a, are how signatures begin; give the secret alone, from {prefix} on",
            member="secret",
            reason="secret_version",
            prefix=prefix,
        )
    rest = value.removeprefix(prefix)
    if value.startswith(prefix) and _ANY_BASE64.match(rest):
        raise BadInput(
            f"what follows {prefix} is base64 without its padding or in the alphabet of URLs;"
            " write + and / for - and _, and fill it up with = to a multiple of four",
            member="secret",
            reason="secret_base64",
            prefix=prefix,
        )


_ANY_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z")
_APP_KEY = re.compile(r"[!-~]{8,128}\Z")
