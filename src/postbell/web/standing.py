"""How a webhook stands, in the four states that every page shows, worst last."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from postbell.reports.waiting import WebhookStanding
from postbell.web.words import Words

STATES = ("up_to_date", "paused", "behind", "failing")


def sentence(say: Words, number: Callable[[int], str], words: Sequence[str]) -> str:
    """Return how many of an account's webhooks are up to date; *words* are the states of all."""
    if not words:
        return say("dash.no_webhooks")
    good = words.count("up_to_date")
    key = "dash.all_good" if good == len(words) else "dash.some_good"
    return say(key, n=len(words), count=number(len(words)), good=number(good))


def ranked(states: Sequence[WebhookStanding]) -> list[WebhookStanding]:
    """Return an account's webhooks, those that need attention first, else by id."""
    return sorted(states, key=key_of)


def key_of(state: WebhookStanding) -> tuple[int, int]:
    """Return by what webhooks are listed."""
    return len(STATES) - STATES.index(state.word), state.webhook.id


def state_of(webhook: Mapping[str, Any]) -> str:
    """Return which of the four states a webhook's view says: paused wins over its health."""
    if webhook["state"] == "paused":
        return "paused"
    return str(webhook.get("health", "up_to_date"))
