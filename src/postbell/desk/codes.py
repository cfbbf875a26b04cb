"""One-time codes (RFC 6238) and recovery codes: made, typed, and turned into what proves them.

Codes have six digits, are made anew every 30 s with SHA-1, and are taken one step early or late:
what every authenticator does without being told.
"""

import hmac
import secrets
from base64 import b32encode
from datetime import datetime
from hashlib import sha256

import pyotp

from postbell.ports import Proof, SecondFactor
from postbell.text.numerals import is_digits

STEP_S = 30
DIGITS = 6
STEPS_AROUND = (-1, 0, 1)
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
RECOVERY_CHARS = RECOVERY_BYTES * 8 // 5
"""80 random bits: nobody guesses one, not even from its hash."""

SECRET_CHARS = 32
GROUP = 4
MAX_TYPED_CHARS = 64


def new_secret() -> str:
    """Return a fresh secret of 160 random bits in base32 (RFC 4226 section 4)."""
    return pyotp.random_base32(SECRET_CHARS)


def address_of(secret: str, email: str, issuer: str) -> str:
    """Return the otpauth address that an authenticator reads from the picture."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S).provisioning_uri(
        name=email, issuer_name=issuer
    )


def new_recovery_codes() -> list[str]:
    """Return fresh recovery codes as they are shown, in groups of four."""
    made = (b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES))
    return [grouped(code.lower(), "-") for code in made]


def recovery_digest(code: str) -> bytes:
    """Return what is stored of a recovery code, however it is typed."""
    return sha256(b"recovery " + _plain(code).encode()).digest()


def grouped(text: str, mark: str) -> str:
    """Return *text* in groups of four characters."""
    return mark.join(text[at : at + GROUP] for at in range(0, len(text), GROUP))


def proof_of(factor: SecondFactor, typed: str, now: datetime) -> Proof | None:
    """Return what *typed* proves: the code of a step about now, or a recovery code; None for
    what can be neither.  Whether it was used is for the storage to say."""
    plain = _plain(typed)
    if len(plain) == RECOVERY_CHARS:
        return Proof(factor.id, recovery=recovery_digest(plain))
    if len(plain) != DIGITS or not is_digits(plain):
        return None
    codes = pyotp.TOTP(factor.secret, digits=DIGITS, interval=STEP_S)
    present = int(now.timestamp()) // STEP_S
    for step in (present + around for around in STEPS_AROUND):
        is_code = hmac.compare_digest(codes.generate_otp(step), plain)
        if is_code and step > factor.last_step:
            return Proof(factor.id, step=step)
    return None


def _plain(typed: str) -> str:
    """Return a code without what people put between its groups."""
    kept = "".join(typed[:MAX_TYPED_CHARS].replace("-", " ").split()).upper()
    return kept if kept.isascii() else ""
