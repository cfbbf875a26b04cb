"""The states of a connection, what ends each, and which may follow it: all of it data.

A connection is in exactly one state and has exactly one deadline, which entering a state sets
anew.  A peer can therefore not undo a limit of time without getting the next one.
"""

import enum
from collections.abc import Callable
from typing import NamedTuple

from postbell.settings.limits import PeerLimits


class State(enum.Enum):
    """Where a connection is; the value names it in `/metrics` and in the log."""

    HANDSHAKE = "handshake"
    """TLS is being agreed on."""
    FRESH = "fresh"
    """No byte came yet."""
    HEAD = "head"
    """A request began, its head is not whole."""
    BODY = "body"
    """A request is being handled, its body is not whole."""
    ANSWERING = "answering"
    """A whole request is being handled."""
    WRITING = "writing"
    """An answer waits for the peer to take it."""
    IDLE = "idle"
    """A request was answered, no further one began."""
    DRAINING = "draining"
    """The last answer was given; what the peer still sends is thrown away."""
    CLOSING = "closing"
    """Nothing is read any more; what was written is on its way."""

    __hash__ = object.__hash__  # enum's own hashes the name, in Python, each time


class Rule(NamedTuple):
    """What holds in a state: the limit of time, in seconds, and what may follow."""

    limit_s: Callable[[PeerLimits], float]
    then: frozenset[State]


_LAST = frozenset({State.DRAINING, State.CLOSING})
_AFTER_ANSWER = _LAST | {State.IDLE, State.HEAD, State.BODY, State.ANSWERING}

RULES: dict[State, Rule] = {
    State.HANDSHAKE: Rule(
        lambda limits: limits.tls_handshake_s, frozenset({State.FRESH, State.CLOSING})
    ),
    State.FRESH: Rule(
        lambda limits: limits.http_head_s, _LAST | {State.HEAD, State.BODY, State.ANSWERING}
    ),
    State.HEAD: Rule(lambda limits: limits.http_head_s, _LAST | {State.BODY, State.ANSWERING}),
    State.BODY: Rule(
        lambda limits: limits.http_body_grace_s, _LAST | {State.ANSWERING, State.WRITING}
    ),
    State.ANSWERING: Rule(lambda limits: limits.http_answer_s, _AFTER_ANSWER | {State.WRITING}),
    State.WRITING: Rule(lambda limits: limits.http_write_s, _AFTER_ANSWER),
    State.IDLE: Rule(
        lambda limits: limits.http_idle_s, _LAST | {State.HEAD, State.BODY, State.ANSWERING}
    ),
    State.DRAINING: Rule(lambda limits: limits.http_drain_s, frozenset({State.CLOSING})),
    State.CLOSING: Rule(lambda limits: limits.http_write_s, frozenset()),
}
SILENT = frozenset({State.FRESH, State.IDLE})
"""Nothing is under way."""
WORKING = frozenset({State.BODY, State.ANSWERING})
"""A request is being handled."""
WAITING = tuple(state for state in State if state is not State.ANSWERING)
"""It is the peer's turn: such a connection may be ended for a new one's sake."""
