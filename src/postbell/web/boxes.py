"""The boxes of a form that a policy's members are written into: text to values, and back."""

import math
import re
from typing import Any

from postbell.policies import BY_NAME, Box
from postbell.web.formats import plain

NOTHING = "-"
"""What stands for a list that is empty, where an empty box is the default."""
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def read(name: str, text: str) -> Any:
    """Return what is written in the box of a member; raise ValueError for what no box takes.

    Of a member that nobody knows it is the text: the desk refuses it.
    """
    row = BY_NAME.get(name)
    if row is None:
        return text
    if row.word and text.lower() == row.word:
        return row.word
    if row.box is Box.FLAG:
        return text == "true"
    if row.box in (Box.CODES, Box.WAITS):
        parts = [] if text == NOTHING else text.replace(",", " ").split()
        return [_seconds(part) if row.box is Box.WAITS else int(part) for part in parts]
    number = float(text.replace(",", ".").replace("\u00a0", ""))
    if not math.isfinite(number):
        raise ValueError(text)
    return int(number) if row.box is Box.WHOLE and number == int(number) else number


def written(name: str, value: Any) -> str:
    """Return what a member's value is in its box."""
    row = BY_NAME[name]
    if row.box is Box.FLAG:
        return str(value).lower()
    if row.box in (Box.CODES, Box.WAITS):
        entry = _wait_text if row.box is Box.WAITS else str
        return " ".join(map(entry, value)) or row.word or NOTHING
    return plain(value)


def complaint(name: str) -> str:
    """Return the message about a text that the box of this member does not take."""
    is_waits = name in BY_NAME and BY_NAME[name].box is Box.WAITS
    return "form.bad_waits" if is_waits else "form.bad_number"


def _seconds(text: str) -> float:
    """Return seconds from "90", "5s", "2m", "1h" or "1d"."""
    found = re.fullmatch(r"([0-9.]+)([smhd]?)", text.lower())
    if found is None:
        raise ValueError(text)
    return float(found[1]) * UNITS_S[found[2]]


def _wait_text(wait_s: float) -> str:
    """Return a wait in its largest whole unit: "5s", "2m", "1h"."""
    for unit, size in (("h", 3600), ("m", 60)):
        if wait_s >= size and wait_s % size == 0:
            return f"{wait_s / size:g}{unit}"
    return f"{plain(wait_s)}s"
