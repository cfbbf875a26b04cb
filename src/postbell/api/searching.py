"""Native events, messages, stats and the feed: what was accepted, and where it went."""

from typing import Any

from starlette.responses import Response

from postbell.api import schemas
from postbell.api.events import MAX_BODY_BYTES, MAX_EVENTS, MEDIA_TYPES
from postbell.api.feed import MAX_WAIT_S, FeedQuery, selection_of
from postbell.api.operations import (
    AFTER,
    PREFIX,
    Group,
    Operation,
    flag,
    integer,
    moment,
    text,
    types,
)
from postbell.api.replies import json_response
from postbell.api.resources import Call
from postbell.errors import BadInput
from postbell.events import Draft
from postbell.reports import search
from postbell.reports.event_views import DeliveredEvent
from postbell.reports.stats import EventStats, Grid, WebhookStats
from postbell.rights import Right

EVENTS = PREFIX + "/events"
TAG = "events"
TEXT_ID = {"type": "string", "minLength": 1, "maxLength": 1000}
DEFAULT_EVENTS = 50
DEFAULT_STEP_S = 900
MAX_STEP_S = 31 * 86_400


async def _search(call: Call) -> Response:
    query = call.query
    after, limit = query.pop("after", ""), query.pop("limit")
    wanted = search.SearchQuery(**query)
    found = await call.reports.search.events(call.account_id, wanted, after=after, limit=limit)
    rows = [hit.on_wire() for hit in found.rows]
    return json_response({"events": rows, "next": found.next, "reached": found.reached})


async def _event(call: Call) -> Response:
    found = await call.reports.timeline.event(call.account_id, call.name)
    return json_response(found.on_wire())


async def _message(call: Call) -> Response:
    found = await call.reports.timeline.message(call.account_id, call.name)
    return json_response(
        {
            "id": found.id,
            "subject": found.subject,
            "from": found.sender,
            "recipients": found.recipients,
            "events": [each.on_wire() for each in found.events],
            "is_partial": found.is_partial,
        }
    )


async def _feed(call: Call) -> Response:
    query = call.query
    start = await call.feed.start_of(call.account_id, query.get("after"), query.get("since"))
    wanted = FeedQuery(
        call.account_id,
        selection_of(query.get("types"), await _api_user_id(call, query.get("api_user"))),
        query["limit"],
    )
    wait_s = 0 if call.request.method == "HEAD" else query.get("wait", 0)
    found = await call.feed.read_or_wait(wanted, start, wait_s, call.request)
    if wait_s:
        await call.confirm()
    body = b'{"events":%s,"next":"%s","lost":%d}' % (
        call.feed.render(found.events),
        found.next.text().encode(),
        found.lost,
    )
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Response(body, 200, headers)


async def _api_user_id(call: Call, name: str | None) -> int | None:
    """Return the id of the account's api user, revoked or not, None for all."""
    if name is None:
        return None
    for user in await call.desk.engine.registry.api_users(call.account_id):
        if user.name == name:
            return user.id
    raise BadInput(
        f"no api user {name[:80]!r} in this account; leave it out for all of them",
        member="api_user",
        status=400,
    )


async def _stats(call: Call) -> Response:
    grid = await _grid(call)
    return json_response(await call.reports.stats.events(call.account_id, grid))


async def _webhook_stats(call: Call) -> Response:
    webhook = await call.desk.find_webhook(call.account_id, call.id)
    grid = await _grid(call, known_from=webhook.created_at)
    return json_response(await call.reports.stats.webhook(webhook.id, grid))


async def _grid(call: Call, **more: Any) -> Grid:
    query = {"step_s": DEFAULT_STEP_S} | call.query
    return await call.reports.stats.grid(**query, **more)


GRID = {
    "since": moment("from this time on; the last 24 hours by default"),
    "until": moment("before this time; now by default"),
    "step_s": integer(
        60, MAX_STEP_S, "seconds of a bucket: whole minutes, or hours", DEFAULT_STEP_S
    ),
}
_OF = Group(TAG)
OPERATIONS = (
    Operation(
        method="POST",
        path=EVENTS,
        right=Right.INGEST,
        handler=None,
        tag=TAG,
        summary="take in events; 202 once they are durable, 422 where none was taken",
        about=f"An array of events, one event, or one event on a line, at most {MAX_EVENTS:,}"
        f" events and {MAX_BODY_BYTES:,} bytes; gzip and zstd are taken. A wrong event does not"
        " lose the right ones, unless `atomic` is true.",
        query={"atomic": flag("store all of them or none")},
        body=Draft | list[Draft],
        body_types=tuple(sorted(MEDIA_TYPES)),
        answer=schemas.AcceptedView,
        status=202,
        poor_status=422,
    ),
    _OF.read(
        EVENTS,
        _search,
        "search events, the newest first",
        schemas.EventPage,
        about="By the index, which follows the log within a second or so; see `feed` for all"
        " events without a gap.",
        query={
            "recipient": text("a whole address", 998),
            "message": text("any id of the message", 998),
            "types": types("only these types, with commas between"),
            "since": moment("accepted from this time on"),
            "until": moment("accepted before this time"),
            "after": AFTER,
            "limit": integer(1, search.MAX_LIMIT, "how many to return at most", DEFAULT_EVENTS),
        },
    ),
    _OF.read(
        EVENTS + "/{id}",
        _event,
        "show an event and where it went",
        DeliveredEvent,
        id_schema=TEXT_ID,
    ),
    _OF.read(
        PREFIX + "/messages/{id}",
        _message,
        "show a message's events in order, with what was delivered where and when",
        schemas.MessageView,
        about="The id is any of those that `message` has.",
        id_schema=TEXT_ID,
        spans_slashes=True,
    ),
    _OF.read(
        PREFIX + "/feed",
        _feed,
        "read events in the order of acceptance, from any position; waits for new ones",
        schemas.FeedView,
        about="Keep `next` with what you make of the events, and give it as `after` the next"
        " time: nothing is left out and nothing comes twice. With `wait` the answer comes with"
        " the next event, or empty after so many seconds.",
        query={
            "after": text("`next` of the answer before, `oldest` (the default) or `now`"),
            "since": moment("instead of `after`: accepted from this time on"),
            "limit": integer(1, 1000, "how many to return at most", 100),
            "wait": integer(0, MAX_WAIT_S, "seconds to wait for an event", 0),
            "types": types("only these types, with commas between"),
            "api_user": text("only of this api user"),
        },
    ),
    _OF.read(
        PREFIX + "/stats",
        _stats,
        "count events by type and time, with delivery, bounce, open and click rates",
        EventStats,
        tag="stats",
        about="A bucket is null where nothing is known. Rates are shares of messages, each to one"
        " recipient and counted once (`rates_of` is `messages`): `delivery` and `bounce` of those"
        " with a result in this time, the others of those delivered. They are estimates where an"
        " account sends many. With the index switched off they are shares of events.",
        query=GRID,
    ),
    _OF.read(
        PREFIX + "/webhooks/{id}/stats",
        _webhook_stats,
        "count a webhook's deliveries and failures by time, with latencies",
        WebhookStats,
        tag="stats",
        query=GRID,
    ),
)
