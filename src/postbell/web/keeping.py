"""A form that was sent after its session had ended: kept in the page that asks for the password.

Nothing of it is stored here.  Its fields go with the forms of signing in, and come back to the page
that they were typed in, which shows them and does nothing: the sender looks, and sends it again.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from starlette.responses import Response

from postbell.web import cookies as jar
from postbell.web.forms import Form
from postbell.web.visit import Visit

FIELD = "kept"
AGAIN = "again"
"""The field of a form that comes back: it asks to be shown as typed."""

MAX_BYTES = 32 * 1024
NEVER = frozenset(("csrf", "present", "password", "user_password", "code", FIELD, AGAIN))
"""Fields that no page shows again."""

Pairs = list[tuple[str, str]]


def is_of_ended_session(visit: Visit, form: Form) -> bool:
    """Return whether a form was made by a page of ours for the session that this browser had."""
    return jar.is_form_token(form.raw("csrf"), visit.cookies.get(jar.SESSION))


def packed(form: Form) -> str:
    """Return the fields as one, "" where they are too long."""
    pairs = [(name, value) for name, value in form.pairs() if name not in NEVER]
    text = msgspec.json.encode(pairs)
    return urlsafe_b64encode(text).decode() if len(text) <= MAX_BYTES else ""


def unpacked(text: str) -> Pairs:
    """Return what `packed` was given; nothing for what it did not make."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(text.encode()), type=Pairs)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return []


def ask(visit: Visit, form: Form) -> Response:
    """Return the page that asks who is there, and keeps what was sent."""
    return visit.render("login.html", email="", back=visit.path, error="", kept=packed(form))


def give_back(visit: Visit, token: str, path: str, kept: str) -> Response:
    """Return the page that sends what was kept back to where it was typed, as who has just got
    the session *token*."""
    fields = [*unpacked(kept), ("csrf", jar.form_token(token)), (AGAIN, "on")]
    return visit.render("again.html", path=path, fields=fields)
