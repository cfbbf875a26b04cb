"""Native /api/v1/batches, attempts and replays: what became of events, and once more."""

from starlette.responses import Response
from starlette.routing import Route

from postbell.api.resources import (
    DEFAULT_LIMIT,
    FLAG,
    LIMIT,
    WEBHOOK_ID,
    Call,
    Face,
    integer,
    json_response,
    page_response,
    route,
    text,
    words,
)
from postbell.desk import forms
from postbell.desk.replays import REPLAY_MEMBERS
from postbell.reports import Page
from postbell.reports.views import batch_view, replay_view

PREFIX = "/api/v1"
REPLAY_ID = integer(1, (1 << 63) - 1)


def routes(face: Face) -> list[Route]:
    """Return the routes of batches, attempts and replays."""
    return [
        route(face, PREFIX + "/batches", GET=_list),
        route(face, PREFIX + "/batches/{id}", GET=_show),
        route(face, PREFIX + "/batches/{id}/retry", POST=_retry),
        route(face, PREFIX + "/attempts", GET=_attempts),
        route(face, PREFIX + "/replays", GET=_replays, POST=_replay),
    ]


async def _list(call: Call) -> Response:
    query = call.query(
        webhook_id=WEBHOOK_ID,
        state=words("waiting", "parked"),
        finished=FLAG,
        after=text,
        limit=LIMIT,
    )
    query.setdefault("limit", DEFAULT_LIMIT)
    if query.pop("finished", "false") == "true":
        query.pop("state", None)
        return page_response(
            "batches", await call.reports.finished_batches(call.account_id, **query)
        )
    return page_response("batches", await call.reports.batches(call.account_id, **query))


async def _show(call: Call) -> Response:
    call.query()
    return json_response(await call.reports.batch(call.account_id, call.name))


async def _retry(call: Call) -> Response:
    call.query()
    forms.known_members(await call.form(), ())
    return json_response(batch_view(await call.desk.retry_batch(call.name, call.account_id)))


async def _attempts(call: Call) -> Response:
    query = call.query(webhook_id=WEBHOOK_ID, batch_id=text, after=text, limit=LIMIT)
    query.setdefault("limit", DEFAULT_LIMIT)
    return page_response("attempts", await call.reports.attempts(call.account_id, **query))


async def _replays(call: Call) -> Response:
    query = call.query(webhook_id=WEBHOOK_ID, after=REPLAY_ID, limit=LIMIT)
    query.setdefault("limit", DEFAULT_LIMIT)
    page: Page = await call.reports.replays(call.account_id, **query)
    return page_response("replays", page)


async def _replay(call: Call) -> Response:
    call.query()
    form = await call.form()
    forms.known_members(form, REPLAY_MEMBERS)
    webhook_id = forms.check_id(form.pop("webhook_id", None), "webhook_id")
    replay = await call.desk.create_replay(call.account_id, webhook_id, form)
    return json_response(replay_view(replay), 201)
