"""Words of the search index: what is found by hash, and how counters are numbered.

Used by `index`, which fills it, and by `reports`, which asks it.
"""

from math import log2
from zlib import crc32

from postbell.blocks import id_hash

TERM_MASK = (1 << 30) - 1
_MESSAGE_SEED = 1

EVENTS = "events"
"""Counters of an account: the slot is an event's kind code (`events.kind_code`)."""

MESSAGES = "messages"
"""Counters of an account: messages by what became of them (`messages.SLOTS`)."""

ATTEMPTS = "attempts"
"""Counters of a webhook: the slots below, and from FIRST_LATENCY on how long successes took."""

DELIVERED, FAILED = 0, 1
"""Events in attempts that succeeded, that failed."""
SUCCESSES, FAILURES = 2, 3
"""Attempts that succeeded, that failed."""
PARKED, EXPIRED, SKIPPED = 4, 5, 6
"""Events that were given up, dropped by retention, skipped by a person."""
FIRST_LATENCY = 32
LATENCY_SLOTS = 96
_PER_OCTAVE = 4


def recipient_term(address: str) -> int:
    """Return the term of a recipient, all letters in lower case."""
    return crc32(address.lower().encode()) & TERM_MASK


def message_term(text: str) -> int:
    """Return the term of any id of the message."""
    return crc32(text.encode(), _MESSAGE_SEED) & TERM_MASK


def event_term(account_id: int, event_id: str) -> int:
    """Return the term of an event's id: the low bits of the hash that its block keeps."""
    return int.from_bytes(id_hash(account_id, event_id), "little") & TERM_MASK


def latency_slot(ms: float) -> int:
    """Return the slot of a latency; slots are a quarter of an octave wide (19 %)."""
    octaves = log2(max(ms, 1.0)) * _PER_OCTAVE
    return FIRST_LATENCY + min(int(octaves), LATENCY_SLOTS - 1)


def latency_ms(slot: int) -> float:
    """Return the middle of a latency slot."""
    middle: float = 2 ** ((slot - FIRST_LATENCY + 0.5) / _PER_OCTAVE)
    return middle
