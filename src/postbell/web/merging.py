"""Two tabs, one form: what was typed is merged with what was stored meanwhile.

A form carries what it was rendered from.  When it comes back, each field is looked at alone: what
only this tab changed is taken, what only somebody else changed is kept, and a field that both
changed to different values collides.  Then nothing is stored: the page comes again with what was
typed, what is stored now beside it, and that as its new base, so that saving again replaces it.

Every form of stored values goes this way: a function from what is stored to fields, and `merge`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from postbell.errors import BadInput
from postbell.web.forms import Form

Fields = Mapping[str, str]
"""What a form shows, by the names of its fields; an absent one is as good as empty."""

BASE = "base"
MAX_TRIES = 5
MAX_SHOWN_CHARS = 300


class Merged(NamedTuple):
    """*fields*: what both tabs want, where they collide what was typed; *collisions*: what is
    stored of those fields now."""

    fields: dict[str, str]
    collisions: dict[str, str]


def merge(base: Fields, stored: Fields, typed: Fields) -> Merged:
    """Return what becomes of *typed*, made from *base*, on what is *stored* by now."""
    fields: dict[str, str] = {}
    collisions: dict[str, str] = {}
    for name in dict.fromkeys((*stored, *typed, *base)):
        was, now, mine = (each.get(name, "") for each in (base, stored, typed))
        fields[name] = now if mine == was else mine
        if was not in (now, mine) and now != mine:
            collisions[name] = now
    return Merged(fields, collisions)


def carried(fields: Fields) -> str:
    """Return the value of the hidden field that says what a form was rendered from."""
    given = {name: value for name, value in fields.items() if value}
    return msgspec.json.encode(given).decode()


def base_of(form: Form) -> Fields | None:
    """Return what a form was rendered from; None where it does not say, as none of ours does.

    Raises BadInput for what no page of ours carries.
    """
    if not form.has(BASE):
        return None
    try:
        return msgspec.json.decode(form.raw(BASE), type=dict[str, str])
    except (msgspec.DecodeError, RecursionError):
        raise BadInput("the form's hidden fields are not ours", reason="form_broken") from None


def is_moved(form: Form, stored: Fields) -> bool:
    """Return whether what a form acts on is no longer what it showed."""
    base = base_of(form)
    return base is not None and carried(base) != carried(stored)


def cut(text: str) -> str:
    """Return a stored value as it stands beside its field."""
    line = " · ".join(text.splitlines())
    return line if len(line) <= MAX_SHOWN_CHARS else line[:MAX_SHOWN_CHARS] + "…"
