"""Messages as rates count them: one message to one recipient, once, however often it was opened.

Used by `index`.  What is known of a message is a row of the index; the counters say how many
messages got their result in a quarter of an hour, and what became of those since.  A busy account
is sampled: a row then stands for *weight* messages, so rows stay few and shares stay right.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from postbell.events import MACHINE, NUMBER_OF, OUT_OF_BAND, EventType
from postbell.ports import MessageState

DELIVERED, BOUNCED, FAILED, OPENED, HUMAN_OPENED, CLICKED, HUMAN_CLICKED, UNSUBSCRIBED, REPORTED = (
    1 << slot for slot in range(9)
)
"""What a message's row knows; as counters, the slot is the number of the bit."""

RESULTS = DELIVERED | BOUNCED | FAILED
SLOTS: Mapping[int, int] = {1 << slot: slot for slot in range(9)}

ROWS_AN_HOUR = 1024
"""About so many rows of an account begin in an hour.  A share of 30 % is right to 1.5 points in
an hour, to 0.3 points in a day (standard error)."""

QUARTER = 15
"""Minutes that are counted together: late opens touch fewer counters."""

KEY_SHIFT = 30
"""A key is the term of the message's id, shifted so far, and that of the recipient."""

_ODD = 0x9E3779B97F4A7C15
_HASH_BITS = 64
_MAX_LEVEL = 40
_HOUR = 60
"""Minutes."""


class Sights:
    """Events of an account that may say something of a message, in order.

    By event: the message's key (0 for none), the kind code, the first minute (since 1970) of the
    quarter of an hour.
    """

    __slots__ = ("codes", "keys", "minutes")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.codes = bytearray()
        self.minutes = array("q")

    def end_block(self, codes: bytes, minute: int) -> None:
        """Note the codes and the minute of a block whose keys have been added."""
        self.codes += codes
        self.minutes.extend([minute - minute % QUARTER] * len(codes))


class Sight(NamedTuple):
    """One of them that is looked at."""

    key: int
    code: int
    minute: int


class _Pace:
    """How an account is sampled: in which hour, its rows so far, one of how many (2**level)."""

    __slots__ = ("hour", "level", "rows")

    def __init__(self) -> None:
        self.hour = 0
        self.level = 0
        self.rows = 0

    def turn(self, minute: int) -> None:
        """Begin another hour where it has come; each that had few rows leaves fewer out."""
        hours = minute // _HOUR - self.hour
        if hours <= 0:
            return
        quiet = hours if self.rows * 4 < ROWS_AN_HOUR else hours - 1
        self.level = max(self.level - quiet, 0)
        self.hour, self.rows = minute // _HOUR, 0

    def add(self) -> None:
        self.rows += 1
        if self.rows >= ROWS_AN_HOUR and self.level < _MAX_LEVEL:
            self.level += 1
            self.rows //= 2


class Sampling:
    """Which messages get a row; remembers a pace for each account."""

    def __init__(self) -> None:
        self._paces: dict[int, _Pace] = {}

    def wanted(self, account_id: int, sights: Sights) -> list[Sight]:
        """Return what is to be looked at.

        Results are, as new messages are sampled now; what comes later, however the message was
        sampled when it was new, has to be looked for.
        """
        kinds = np.frombuffer(sights.codes, np.uint8)
        keys = np.array(sights.keys, np.uint64)
        are_wanted = _SAYS_SOMETHING[kinds] & (keys != 0)
        pace = self._paces.setdefault(account_id, _Pace())
        pace.turn(sights.minutes[0])
        if pace.level:
            are_wanted &= _IS_LATE[kinds] | _are_sampled(keys, pace.level)
        places = np.flatnonzero(are_wanted)
        minutes = np.frombuffer(sights.minutes, np.int64)
        columns = (each[places].tolist() for each in (keys, kinds, minutes))
        return list(map(Sight, *columns))

    def read(
        self, account_id: int, sights: Iterable[Sight], known: dict[int, MessageState]
    ) -> tuple[list[MessageState], dict[tuple[int, int], int]]:
        """Return the rows that change, and what that adds to the counters by quarter and slot.

        *known* has the rows of these keys that there are.  The last result of a message counts
        (a bounce that comes back by mail takes the delivery back), in the minute of the first.
        """
        pace = self._paces[account_id]
        changed: dict[int, MessageState] = {}
        counts: dict[tuple[int, int], int] = {}
        for key, code, minute in sights:
            before = known.get(key)
            if before is None:
                if minute // _HOUR != pace.hour:
                    pace.turn(minute)
                if pace.level and not _is_sampled(key, pace.level):
                    continue
                pace.add()
                at, seen, weight = minute, 0, 1 << pace.level
            else:
                _, _, at, seen, weight = before
            sets = _SETS[code]
            after = (seen & ~RESULTS | sets) if sets & RESULTS else seen | sets
            if after == seen:
                continue
            if seen & RESULTS:
                for slot in counted(seen):
                    counts[at, slot] = counts.get((at, slot), 0) - weight
            else:
                at = minute
            for slot in counted(after):
                counts[at, slot] = counts.get((at, slot), 0) + weight
            known[key] = changed[key] = MessageState(account_id, key, at, after, weight)
        return list(changed.values()), counts


def counted(seen: int) -> tuple[int, ...]:
    """Return the slots in which a message counts: what was opened counts where delivered."""
    return _COUNTED[seen]


def _counted(seen: int) -> tuple[int, ...]:
    if seen & DELIVERED:
        return tuple(slot for bit, slot in SLOTS.items() if seen & bit)
    return tuple(slot for bit, slot in SLOTS.items() if seen & bit & RESULTS)


_COUNTED = [_counted(seen) for seen in range(1 << len(SLOTS))]


def _is_sampled(key: int, level: int) -> bool:
    return (key * _ODD) % (1 << _HASH_BITS) >> (_HASH_BITS - level) == 0


def _are_sampled(keys: NDArray[np.uint64], level: int) -> NDArray[np.bool_]:
    high: NDArray[np.uint64] = (keys * np.uint64(_ODD)) >> np.uint64(_HASH_BITS - level)
    return high < np.uint64(1)


_TOLD: Mapping[EventType, tuple[int, int]] = {
    EventType.DELIVERED: (DELIVERED, DELIVERED),
    EventType.SOFT_BOUNCE: (BOUNCED, BOUNCED),
    EventType.HARD_BOUNCE: (BOUNCED, BOUNCED),
    EventType.DROPPED: (FAILED, FAILED),
    EventType.FAILED: (FAILED, FAILED),
    EventType.OPEN: (OPENED | HUMAN_OPENED, OPENED),
    EventType.CLICK: (CLICKED | HUMAN_CLICKED, CLICKED),
    EventType.UNSUBSCRIBE: (UNSUBSCRIBED, 0),
    EventType.SPAM_REPORT: (REPORTED, REPORTED),
}
"""What a type tells of a message; the second, where a machine made it."""


def _table() -> tuple[list[int], list[bool]]:
    """Return by kind code what it sets, and whether it comes later than the result."""
    sets, late = [0] * 256, [False] * 256
    for kind, (by_person, by_machine) in _TOLD.items():
        for flags in (0, OUT_OF_BAND, MACHINE, OUT_OF_BAND | MACHINE):
            code = NUMBER_OF[kind] | flags
            sets[code] = by_machine if flags & MACHINE else by_person
            late[code] = bool(flags & OUT_OF_BAND) or not by_person & RESULTS
    return sets, late


_SETS, _late = _table()
_SAYS_SOMETHING = np.array(_SETS, np.bool_)
_IS_LATE = np.array(_late, np.bool_)
