"""Native /api/v1/batches and attempts: what became of events."""

from starlette.responses import Response

from postbell.api import asked, schemas
from postbell.api.operations import (
    AFTER,
    LIMIT,
    MAX_ID,
    PREFIX,
    WEBHOOK_ID,
    Group,
    flag,
    integer,
    moment,
    text,
    word,
)
from postbell.api.replies import json_response, page_response
from postbell.api.resources import Call
from postbell.desk import forms
from postbell.reports.batch_views import BatchDetail, BatchView, batch_view
from postbell.reports.singles import Where

PATH = PREFIX + "/batches"
UNDER_WAY = (
    " While a request of it is under way its answer is waited for, for up to 5 seconds, and"
    " decides: 409 where the batch was taken, or the request goes on."
)
ONE = PATH + "/{id}"
TAG = "batches"
BATCH_ID = {"type": "string", "minLength": 1}


async def _list(call: Call) -> Response:
    query = call.query
    if query.pop("finished", False):
        query.pop("state", None)
        page = await call.reports.finished_batches(call.account_id, **query)
    else:
        page = await call.reports.batches(call.account_id, **query)
    return page_response(schemas.BatchPage, page)


async def _show(call: Call) -> Response:
    where = Where(**call.query)
    return json_response(await call.reports.batch(call.account_id, call.name, where))


async def _retry(call: Call) -> Response:
    return json_response(batch_view(await call.desk.retry_batch(call.name, call.account_id)))


async def _split(call: Call) -> Response:
    halves = await call.desk.split_batch(call.name, call.account_id)
    return json_response(schemas.HalvesView([batch_view(half) for half in halves]))


async def _park(call: Call) -> Response:
    return json_response(batch_view(await call.desk.park_batch(call.name, call.account_id)))


async def _bisect(call: Call) -> Response:
    return json_response(batch_view(await call.desk.bisect_batch(call.name, call.account_id)))


async def _skip(call: Call) -> Response:
    event_id = forms.check_text(call.form.get("event_id") or "", "event_id") or ""
    rest = await call.desk.skip_event(call.name, event_id, call.account_id)
    return json_response(schemas.RestView([batch_view(part) for part in rest]))


async def _attempts(call: Call) -> Response:
    page = await call.reports.attempts(call.account_id, **call.query)
    return page_response(schemas.AttemptPage, page)


_OF = Group(TAG, BATCH_ID)
OPERATIONS = (
    _OF.read(
        PATH,
        _list,
        "list open and parked batches, finished ones with `finished=true`",
        schemas.BatchPage,
        query={
            "webhook_id": WEBHOOK_ID,
            "state": word("only in this state", "waiting", "parked"),
            "finished": flag("those that are over instead, the newest first"),
            "after": AFTER,
            "limit": LIMIT,
        },
    ),
    _OF.read(
        ONE,
        _show,
        "show a batch with its attempts",
        BatchDetail,
        about="A single event that was delivered at once is searched for among the newest 200,000;"
        " the query says where to look for older ones.",
        query={
            "webhook_id": integer(1, MAX_ID, "it was this webhook's"),
            "since": moment("it arrived from this time on"),
            "until": moment("it arrived before this time"),
        },
    ),
    _OF.act(
        ONE + "/retry",
        _retry,
        "send an open or parked batch now",
        BatchView,
        about="A parked batch gets all its retries again.",
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/split",
        _split,
        "halve an open or parked batch; both halves are due now",
        schemas.HalvesView,
        about="To find the one event that a receiver refuses. The halves have ids of their own."
        + UNDER_WAY,
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/bisect",
        _bisect,
        "find the event of a batch that its receiver refuses",
        BatchView,
        about="The batch is sent now, and whatever the failure is, split at once, and so on; the"
        " events that are refused are parked, each by itself, once anything else was taken.",
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/park",
        _park,
        "give a waiting batch up; it can be sent again",
        BatchView,
        about=UNDER_WAY.strip(),
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/skip",
        _skip,
        "leave one event out of an open or parked batch",
        schemas.RestView,
        about="It is counted as skipped; what is left is due now, in batches of their own."
        + UNDER_WAY,
        body=asked.Omission,
        refusals=(409,),
    ),
    _OF.read(
        PREFIX + "/attempts",
        _attempts,
        "list attempts, the newest first",
        schemas.AttemptPage,
        about="And how events left without one: skipped, expired, split.",
        query={
            "webhook_id": WEBHOOK_ID,
            "batch_id": text("only of this batch"),
            "after": AFTER,
            "limit": LIMIT,
        },
    ),
)
