"""The page at `/events`: finding events; every filter is in the address."""

from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from postbell.errors import BadInput, NotFound
from postbell.events import Event, EventType
from postbell.reports.search import FoundEvents, Hit, SearchQuery
from postbell.web.page import page
from postbell.web.problems import explain, shared_times
from postbell.web.site import Site
from postbell.web.visit import Visit, with_query

PATH = "/events"
ON_A_PAGE = 50
FILTERS = ("recipient", "message", "type", "since", "until")


class SearchRow(NamedTuple):
    """An event in the list, and the page that it opens: its message's, where it has one."""

    event: Event
    recorded_at: datetime
    href: str
    said: str


def routes(site: Site) -> list[Route]:
    """Return the route of the search."""
    return [page(site, PATH, GET=_search)]


async def _search(visit: Visit) -> Response:
    filters = {name: visit.query(name).strip() for name in FILTERS}
    exact, problems = shared_times(visit.say, visit.format, filters)
    kinds = [kind for kind in EventType if kind.value == filters["type"]]
    if filters["type"] and not kinds:
        problems["type"] = visit.say("form.no_such_choice", given=filters["type"][:40])
    if not problems and exact != filters:
        return visit.redirect(with_query(PATH, exact))
    found = FoundEvents([], None)
    if not problems:
        try:
            found = await _find(visit, exact, kinds)
        except BadInput as error:
            problems[error.member] = explain(visit.say, error)
    is_filtered = any(filters.values()) or bool(visit.query("after"))
    return visit.render(
        "search.html",
        422 if problems else 200,
        filters=filters,
        local={name: visit.format.input_moment(exact[name]) for name in ("since", "until")},
        problems=problems,
        types=[kind.value for kind in EventType],
        rows=[_row(hit) for hit in found.rows],
        reached=found.reached,
        next_page=with_query(PATH, exact | {"after": found.next}) if found.next else "",
        first_page=with_query(PATH, exact) if visit.query("after") else "",
        is_filtered=is_filtered,
        behind=await visit.site.reports.search.behind(),
        api_user=visit.api_user,
    )


async def _find(visit: Visit, exact: dict[str, str], kinds: list[EventType]) -> FoundEvents:
    """Search; a word that is no message's id may be an event's."""
    search = visit.site.reports.search
    wanted = SearchQuery(
        recipient=exact["recipient"],
        message=exact["message"],
        types=tuple(kinds),
        since=visit.format.local(exact["since"]),
        until=visit.format.local(exact["until"]),
    )
    found = await search.events(
        visit.account_id, wanted, after=visit.query("after"), limit=ON_A_PAGE
    )
    if exact["message"] and not found.rows and found.next is None:
        try:
            return FoundEvents([await search.event(visit.account_id, exact["message"])], None)
        except NotFound:
            return found
    return found


def _row(hit: Hit) -> SearchRow:
    event = hit.event
    href = message_path(event.message.key, event.event_id)
    return SearchRow(event, hit.recorded_at, href, said_of(event))


def message_path(message: str | None, event_id: str) -> str:
    """Return the page of a message at one of its events, or of that event alone."""
    if message:
        return f"/messages/{quote(message, safe='')}#{event_id}"
    return f"{PATH}/{event_id}"


def said_of(event: Event) -> str:
    """Return what an event says beyond its type: the server's answer, the link, the client."""
    smtp, client = event.smtp, event.client
    answer = [str(each) for each in (smtp.code, smtp.enhanced, smtp.text) if each]
    return " ".join(answer) or event.link.url or client.name or client.ua or ""
