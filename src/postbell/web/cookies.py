"""The cookies of the pages, and the token that every form carries.

Names get the prefix `__Host-` where the connection is encrypted (RFC 6265bis section 4.1.3).
"""

import hmac
import secrets
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

SESSION = "postbell_session"
GUEST = "postbell_guest"
DEVICE = "postbell_device"
"""Tells a browser that signed in before from strangers; it opens nothing."""
HALF = "postbell_half"
"""Of somebody whose password was right and whose one-time code is awaited."""

DONE = "postbell_done"
"""Names what was just done, for the page that is sent for next; it says so, once."""
DONE_S = 60

ZONE = "postbell_zone"
ACCOUNT = "postbell_account"
MAX_COOKIE_CHARS = 128


class Cookies:
    """The cookies of one request; *is_secure* where the customer's side speaks TLS."""

    def __init__(self, request: Request, *, is_secure: bool) -> None:
        self._request = request
        self.is_secure = is_secure
        self._prefix = "__Host-" if is_secure else ""

    def get(self, name: str) -> str:
        """Return a cookie's value, "" where there is none or it is not one of ours."""
        value = self._request.cookies.get(self._prefix + name, "")
        return value if len(value) <= MAX_COOKIE_CHARS else ""

    def zone(self) -> str:
        """Return the browser's time zone as our script told it; it is not a secret."""
        return self._request.cookies.get(ZONE, "")[:64].replace("%2F", "/")

    def put(self, response: Response, name: str, value: str, *, max_age_s: int | None) -> None:
        """Set a cookie that scripts cannot read and other sites cannot send with a form."""
        response.set_cookie(
            self._prefix + name,
            value,
            max_age=max_age_s,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def drop(self, response: Response, name: str) -> None:
        """Take a cookie away."""
        response.delete_cookie(
            self._prefix + name,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )


def new_guest() -> str:
    """Return the value of a cookie for somebody who has not signed in."""
    return secrets.token_urlsafe(24)


def form_token(cookie: str) -> str:
    """Return the token that forms of the owner of *cookie* carry; nobody else can make it."""
    return hmac.new(cookie.encode(), b"postbell form", sha256).hexdigest()[:40]


def done_value(key: str, path: str, secret: str) -> str:
    """Return the value of DONE: what was done, told at *path* to who has the cookie *secret*."""
    made = hmac.new(secret.encode(), f"postbell done {key} {path}".encode(), sha256)
    return f"{key}.{made.hexdigest()[:40]}"


def done_key(value: str, path: str, secret: str) -> str:
    """Return what was done, "" where it is not to be told at this path, or nobody did it here."""
    key = value.partition(".")[0]
    is_ours = hmac.compare_digest(value.encode(), done_value(key, path, secret).encode())
    return key if is_ours and secret else ""


def is_form_token(sent: str, cookie: str) -> bool:
    """Return whether a form carried the right token; an empty cookie has none."""
    return bool(cookie) and hmac.compare_digest(sent.encode(), form_token(cookie).encode())
