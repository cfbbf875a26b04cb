"""How a webhook stands, in the four states that every page shows, worst last."""

from collections.abc import Mapping
from typing import Any, NamedTuple

STATES = ("up_to_date", "paused", "behind", "failing")


class Standing(NamedTuple):
    """A state and the counts behind it."""

    rank: int
    state: str
    waiting: int
    parked: int
    lag_s: float
    webhook_id: int


def state_of(webhook: Mapping[str, Any]) -> str:
    """Return which of the four states a webhook's view says: paused wins over its health."""
    if webhook["state"] == "paused":
        return "paused"
    return str(webhook.get("health", "up_to_date"))


def standing_of(webhook: Mapping[str, Any]) -> Standing:
    """Return how a webhook stands, from its view in `reports`."""
    state = state_of(webhook)
    return Standing(
        STATES.index(state),
        state,
        webhook.get("waiting", 0),
        webhook.get("parked", 0),
        webhook.get("lag_s", 0.0),
        webhook["id"],
    )
