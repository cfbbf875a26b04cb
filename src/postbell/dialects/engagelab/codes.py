"""EngageLab's event codes: numbers and names of the API, words on the wire, canonical types.

Source: EngageLab "API WebHooks" (page of 2023-08-10).
The management API and the push both read this table.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from postbell.errors import BadInput
from postbell.events import EventType


class Code(NamedTuple):
    """One event code; *wire* is the word in the payload, which differs from *name* for 1 and 18."""

    number: int
    name: str
    wire: str
    types: tuple[EventType, ...]


DELIVER = Code(1, "deliver", "delivered", (EventType.DELIVERED,))
REPORT_SPAM = Code(3, "report_spam", "report_spam", (EventType.SPAM_REPORT,))
INVALID_EMAIL = Code(
    4,
    "invalid_email",
    "invalid_email",
    (EventType.HARD_BOUNCE, EventType.DROPPED, EventType.FAILED),
)
SOFT_BOUNCE = Code(5, "soft_bounce", "soft_bounce", (EventType.SOFT_BOUNCE,))
CLICK = Code(10, "click", "click", (EventType.CLICK,))
OPEN = Code(11, "open", "open", (EventType.OPEN,))
UNSUBSCRIBE = Code(12, "unsubscribe", "unsubscribe", (EventType.UNSUBSCRIBE,))
REQUEST = Code(18, "request", "target", (EventType.REQUEST,))
SENT = Code(32, "sent", "sent", (EventType.SENT,))

CODES = (
    DELIVER,
    REPORT_SPAM,
    INVALID_EMAIL,
    SOFT_BOUNCE,
    CLICK,
    OPEN,
    UNSUBSCRIBE,
    REQUEST,
    SENT,
)
"""In the documented order, which is also that of the numbers."""

CODE_OF = {kind: code for code in CODES for kind in code.types}
"""The code that each canonical type stands for."""

FAILURES = frozenset(INVALID_EMAIL.types + SOFT_BOUNCE.types)

_BY_NUMBER = {code.number: code for code in CODES}


def types_of(numbers: Iterable[int]) -> tuple[EventType, ...]:
    """Return the canonical types of these codes, each once, in the order of *numbers*.

    Raises BadInput (member `event`) for a number that is no code.
    """
    types: dict[EventType, None] = {}
    for number in numbers:
        code = _BY_NUMBER.get(number)
        if code is None:
            known = ", ".join(map(str, _BY_NUMBER))
            raise BadInput(f"no event code {number!r}; known: {known}", member="event")
        types.update(dict.fromkeys(code.types))
    return tuple(types)


def codes_of(types: Collection[EventType] | None) -> list[int]:
    """Return the codes that these types belong to, ascending; all of them for None."""
    return [
        code.number for code in CODES if types is None or any(kind in types for kind in code.types)
    ]


def code_for(kind: EventType, is_out_of_band: bool, is_by_phase: bool) -> Code:
    """Return the code that an event of *kind* goes out under.

    By hardness, the type says it.  By phase, a failure in the SMTP session is `invalid_email`
    and a bounce that came back later is `soft_bounce`, whatever its hardness.
    """
    if is_by_phase and kind in FAILURES:
        return SOFT_BOUNCE if is_out_of_band else INVALID_EMAIL
    return CODE_OF[kind]
