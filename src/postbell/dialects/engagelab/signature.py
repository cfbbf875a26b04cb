"""EngageLab's two formulas of a signature, and checking them; neither covers the body."""

import hashlib
import hmac

from postbell.dialects.checks import VERIFIED, InHeader, is_same
from postbell.ports import Check, ReceivedRequest

TEST_APP_KEY = "test_appkey"
"""EngageLab's official key of the console's "try it" sender (docs of 2023-08-10)."""

HEADER = "x-webhook-signature"
APP_KEY_HEADER = "email"
"""The constant value of `X-WebHook-AppKey`: it names the product and is not the secret."""


def md5(timestamp: str, app_key: str, product: str = APP_KEY_HEADER) -> str:
    """Return md5hex(timestamp + "email" + APP KEY), what EngageLab's production sends."""
    signed = (timestamp + product + app_key).encode()
    return hashlib.md5(signed, usedforsecurity=False).hexdigest()


def keyed(timestamp: str, app_key: str) -> str:
    """Return hex(HMAC-SHA256(APP KEY, timestamp)), EngageLab's other documented formula."""
    return hmac.digest(app_key.encode(), timestamp.encode(), "sha256").hex()


def _verify(delivery: ReceivedRequest, secret: str) -> Check:
    headers = delivery.headers
    stamp, product = headers.get("x-webhook-timestamp", ""), headers.get("x-webhook-appkey", "")
    if is_same(headers[HEADER], md5(stamp, secret, product), keyed(stamp, secret)):
        return VERIFIED
    return Check(False, "the signature is of another APP KEY")


VERIFIER = InHeader(HEADER, _verify)
"""It knows both formulas."""
