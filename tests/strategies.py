"""Hypothesis strategies for what customers may send: ingest events that `events.accept` takes.

`ingest_events` gives the JSON value of one event, `stored_events` what a dialect gets of it.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st

from postbell.clock import rfc3339
from postbell.events import MADE_HERE, EventType
from postbell.ingest.accepting import Accepted, accept
from postbell.ports import Stored

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)

SENDABLE = tuple(kind for kind in EventType if kind not in MADE_HERE)

BOUNCE_CLASSES = (
    "userunknown", "hostunknown", "syntax", "suspend", "mailboxfull", "mesgtoobig", "networkerror",
    "expired", "ratelimited", "blocked", "badreputation", "spamdetected", "policyviolation",
    "relay denied", "content", "attachment", "suppressed", "unsubscribed", "undetermined",
)  # fmt: skip


def texts(min_size: int = 0, max_size: int = 40) -> st.SearchStrategy[str]:
    """Any text that JSON can carry and databases can keep."""
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(letters, min_size=min_size, max_size=max_size)


def _members(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


_WORDS = texts(max_size=20)
_MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
_TIMES = st.one_of(
    st.none(),
    _MOMENTS.map(rfc3339),
    st.integers(-(10**10), 10**11 - 1),
    st.floats(0, 4e9),
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts(),
)
_MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(texts(), st.integers(0, 2**60).map(str)),
        "email_id": texts(),
        "rfc_message_id": texts(),
        "esp_id": texts(),
        "queue_id": texts(),
        "from": texts(),
        "subject": texts(),
    },
)
_SMTP = _members(
    code=st.integers(0, 999),
    enhanced=st.sampled_from(["", "2.0.0", "4.2.2", "5.1.1", "5.7.509"]),
    text=texts(max_size=80),
    command=_WORDS,
    mx=_WORDS,
    ip=_WORDS,
    tls=st.booleans(),
)
_BOUNCES = st.fixed_dictionaries(
    {},
    optional={
        "class": st.one_of(st.sampled_from(BOUNCE_CLASSES), _WORDS),
        "type": st.sampled_from(["hard", "soft"]),
        "origin": st.sampled_from(["in_session", "oob", "local"]),
        "rule_id": _WORDS,
    },
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3)


_METADATA = st.one_of(
    st.dictionaries(texts(max_size=12), _SCALARS, max_size=4),
    st.dictionaries(_WORDS, st.recursive(_SCALARS, _nested, max_leaves=6), max_size=3),
    st.fixed_dictionaries({}, optional={"task_id": _SCALARS, "label_id": _SCALARS}),
)


def ingest_events(types: Collection[EventType] = SENDABLE) -> st.SearchStrategy[dict[str, Any]]:
    """One event of these types, with any of the members that the ingest API takes."""
    return st.fixed_dictionaries(
        {
            "type": st.sampled_from([kind.value for kind in types]),
            "recipient": texts(min_size=1, max_size=60).filter(str.strip),
        },
        optional={
            "event_id": st.from_regex(r"[A-Za-z0-9._~-]{1,100}", fullmatch=True),
            "occurred_at": _TIMES,
            "message": _MESSAGES,
            "tags": st.lists(_WORDS, max_size=3),
            "metadata": _METADATA,
            "smtp": _SMTP,
            "attempt": _members(n=st.integers(0, 20), final=st.booleans()),
            "bounce": _BOUNCES,
            "actor": _members(
                kind=st.sampled_from(["human", "prefetch", "scanner", "unknown"]),
                confidence=st.floats(0, 1),
                evidence=st.lists(_WORDS, max_size=2),
            ),
            "client": _members(
                ua=_WORDS, ip=_WORDS, name=_WORDS, name_version=_WORDS, os=_WORDS, os_version=_WORDS
            ),
            "link": _members(url=texts(), index=st.integers(0, 2**53), name=_WORDS),
            "unsubscribe": _members(method=_WORDS),
            "complaint": _members(feedback_type=_WORDS, confidence=_WORDS),
            "source": _members(kind=_WORDS, node=_WORDS, position=_WORDS, raw_ref=_WORDS),
        },
    )


def accepted(event: dict[str, Any]) -> Accepted:
    """Return *event* as ingest takes it, for the account `acme` and its api user `my_test`."""
    return accept(
        msgspec.json.encode(event),
        account="acme",
        api_user="my_test",
        api_user_id=lambda name: 1 if name == "my_test" else None,
        now=NOW,
    )


def stored(event: dict[str, Any], sequence: int = 48211, recorded_at: datetime = NOW) -> Stored:
    """Return *event* as a dialect gets it."""
    return Stored(accepted(event).raw, sequence, recorded_at)


def stored_events(types: Collection[EventType] = SENDABLE) -> st.SearchStrategy[Stored]:
    """What a dialect gets of one event of these types."""
    return st.builds(stored, ingest_events(types), st.integers(1, 2**63 - 1), _MOMENTS)
