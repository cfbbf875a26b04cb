"""Who plays: the webhooks that there are from the start, and what may be changed of them.

Together they have small batches and large ones, a rate, an order, single events, short waits and
waits of days, few retries and many; the last one's receiver may have a limit of its own.
"""

from typing import Any

STRANGER = "stranger"
USERS = ("main", "main", "other", STRANGER)
"""Api users; the stranger is one of another account."""

TYPES = ("delivered", "open", "click", "hard_bounce", "soft_bounce", "request", "deferred")
TICKABLE = (None, ("delivered",), ("delivered", "click"), ("hard_bounce", "soft_bounce"))
CAST: tuple[dict[str, Any], ...] = (
    {"policy": {"max_events": 3, "max_wait_s": 2, "retry_waits_s": [5, 30, 120], "concurrency": 2}},
    {"policy": {"max_events": 2, "max_wait_s": 0, "retry_waits_s": [10, 60], "ordered": True,
     "refused": [406]}},
    {"dialect": "sendpulse", "options": {"bounces": "both"}, "policy": {"max_wait_s": 5,
     "max_events": 4, "rate_per_s": 4, "keep_parked_days": 0.25}},
    {"dialect": "engagelab", "policy": {"retry_waits_s": [3, 10], "concurrency": 3}},
    {"dialect": "mailgun", "policy": {"retry_waits_s": [3, 1000], "concurrency": 2}},
    {"api_user": "main", "types": ["open", "hard_bounce"], "policy": {"max_bytes": 1024,
     "max_wait_s": 1, "retry_waits_s": [20_000, 40_000] * 8, "keep_parked_days": 0.5}},
    {"policy": {"max_events": 400, "max_wait_s": 3, "retry_waits_s": [5, 60, 90, 300],
     "concurrency": 3, "split_failing": True}},
)  # fmt: skip
REVISIONS: tuple[dict[str, Any], ...] = (
    {"types": None},
    {"types": ["delivered"]},
    {"types": ["open", "click", "hard_bounce"]},
    {"api_user": "all"},
    {"api_user": "other"},
    {"dialect": "native"},
    {"dialect": "sendpulse"},
    {"dialect": "sendpulse", "options": {"unsubscribed": "literal", "bounces": "both"}},
    {"dialect": "engagelab", "policy": {"max_events": 1}},
    {"dialect": "engagelab", "options": {"array": True}, "policy": {"max_events": 3}},
    {"policy": {"max_events": 1}},
    {"policy": {"max_events": 2}},
    {"policy": {"max_bytes": 1024, "concurrency": 1}},
    {"policy": {"max_wait_s": 30, "concurrency": 5}},
    {"policy": {"retry_waits_s": []}},
    {"policy": {"retry_waits_s": [1, 1000]}},
    {"policy": {"split_failing": True}},
    {"policy": {"split_failing": False}},
)
