"""The page at `/`: is everything all right, what is not, and what happened lately."""

from datetime import datetime
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.routing import Route

from postbell.records import Verdict
from postbell.reports.search import SearchQuery
from postbell.reports.views import known
from postbell.web import standing
from postbell.web.formats import middle
from postbell.web.page import page
from postbell.web.pictures import SPANS, events_picture, grid_of, span_of, webhook_sparks
from postbell.web.site import Site
from postbell.web.standing import StandingView
from postbell.web.visit import Visit

SHOWN = 12
MAX_PLACE_CHARS = 56
SEEN_ENTRIES = 200
"""How far back the newest failure is looked for; one press of the test button leaves twenty."""
TROUBLES = ("failing", "behind", "paused")
RATES = (
    ("delivery", "", 1),
    ("bounce", "", 1),
    ("complaint", "", 2),
    ("open", "human_open", 1),
    ("click", "human_click", 1),
    ("unsubscribe", "", 2),
)
"""Figures under the chart: a rate, the same without machines, its digits."""


class Trouble(NamedTuple):
    """A webhook that needs attention, in a sentence."""

    webhook: StandingView
    state: str
    sentence: str


def routes(site: Site) -> list[Route]:
    """Return the route of the dashboard."""
    return [page(site, "/", GET=_show)]


async def _show(visit: Visit) -> Response:
    if not visit.has_account:
        return visit.render("dashboard_empty.html")
    reports = visit.site.reports
    states = standing.ranked(await reports.states(visit.account_id))
    troubled = [each for each in states if each.word in TROUBLES]
    rows = [
        standing.standing_view(await reports.webhook_view(each.webhook), each.word)
        for each in states[:SHOWN]
    ]
    troubles = [await _trouble(visit, row) for row in rows if row.standing in TROUBLES]
    name = span_of(visit, visit.account.created_at)
    grid = await grid_of(visit, SPANS[name], visit.account.created_at)
    found = await reports.stats.events(visit.account_id, grid)
    return visit.render(
        "dashboard.html",
        sentence=standing.sentence(visit.say, visit.format.number, [each.word for each in states]),
        last_success_at=max(
            (each.last_success_at for each in states if each.last_success_at), default=None
        ),
        troubles=troubles,
        more_troubles=len(troubled) - len(troubles),
        rows=rows,
        more=max(len(states) - SHOWN, 0),
        sparks=await webhook_sparks(visit, rows),
        picture=events_picture(visit, grid, SPANS[name], found),
        total=sum(found.totals.values()),
        rates=[
            (key, found.rates[key], found.rates[human] if human else None, digits)
            for key, human, digits in RATES
        ],
        has_events=await _has_events(visit),
        rates_of=found.rates_of,
        behind=await reports.search.behind() if reports.stats.has_index else 0,
        spans=SPANS,
        span=name,
    )


async def _has_events(visit: Visit) -> bool:
    found = await visit.site.reports.search.events(visit.account_id, SearchQuery(), limit=1)
    return bool(found.rows)


async def _trouble(visit: Visit, row: StandingView) -> Trouble:
    """Return what to say of a webhook that is not up to date."""
    say, write = visit.say, visit.format
    state, waiting, parked = row.standing, known(row.waiting, 0), known(row.parked, 0)
    names: dict[str, Any] = {
        "webhook": f"#{row.id} {_place(row.url)}",
        "n": waiting,
        "count": write.number(waiting),
        "lag": write.duration(known(row.lag_s, 0.0)),
    }
    if state == "failing":
        since = _since(visit, known(row.failing_since, None))
        names |= {"why": await _why(visit, row.id), "since": since}
    if state == "paused":
        key = f"dash.reason.{row.state_reason}"
        names["why"] = say(key) if say.has(key) else row.state_reason
    said = [say(f"dash.{state}", **names)]
    if parked:
        said.append(say("webhook.are_parked", n=parked, count=write.number(parked)))
    return Trouble(row, state, " ".join(said))


async def _why(visit: Visit, webhook_id: int) -> str:
    """Return the newest failure in a word or a status code."""
    found = await visit.site.reports.attempts(
        visit.account_id, webhook_id=webhook_id, limit=SEEN_ENTRIES
    )
    for row in found.rows:
        if row.verdict in (None, Verdict.DELIVERED):
            continue
        return str(row.status) if row.status else visit.say(f"dash.why.{row.error}")
    return visit.say("dash.why.unknown")


def _since(visit: Visit, value: datetime | None) -> str:
    local = visit.format.local(value)
    if local is None:
        return ""
    is_today = local.date() == visit.format.now.astimezone(visit.format.zone).date()
    return f"{local:%H:%M}" if is_today else f"{local:%Y-%m-%d %H:%M}"


def _place(url: str) -> str:
    """Return host and path: what tells webhooks of one host apart, without what may be secret."""
    host, slash, path = url.partition("://")[2].partition("/")
    return middle(host.rpartition("@")[2] + slash + path.partition("?")[0], MAX_PLACE_CHARS)
