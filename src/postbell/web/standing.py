"""How a webhook stands, in the four states that every page shows, worst last."""

from collections.abc import Callable, Sequence

from postbell.records import WebhookState
from postbell.reports.outcomes import Sum
from postbell.reports.views import WebhookView, extended, known
from postbell.reports.waiting import UP_TO_DATE, WebhookStanding
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


class StandingView(WebhookView, frozen=True, kw_only=True):
    """A webhook's view, how it stands in one word, and what became of its recent attempts."""

    standing: str
    sum: Sum | None = None


def standing_view(view: WebhookView, word: str = "", recent: Sum | None = None) -> StandingView:
    """Return a view with *word*, else with what it says itself: paused wins over its health."""
    is_paused = view.state is WebhookState.PAUSED
    own = "paused" if is_paused else known(view.health, UP_TO_DATE)
    return extended(view, StandingView, standing=word or own, sum=recent)
