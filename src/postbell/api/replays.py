"""Native /api/v1/replays: old events once more, and what that would be."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime

from starlette.responses import Response, StreamingResponse

from postbell.api import asked, schemas
from postbell.api.operations import (
    AFTER_ID,
    JSON_LINES,
    LIMIT,
    PREFIX,
    WEBHOOK_ID,
    Group,
)
from postbell.api.replies import json_response, page_response
from postbell.api.resources import Call
from postbell.desk import forms
from postbell.events import decode
from postbell.records import Replay
from postbell.reports.event_views import EventView
from postbell.reports.views import ReplayView, replay_view
from postbell.rights import Right

PATH = PREFIX + "/replays"
ONE = PATH + "/{id}"
TAG = "replays"
MAX_COUNTED_EVENTS = 200_000
MAX_COUNTED_S = 10.0
"""A dry run that finds little in a long log ends here, too."""


async def _list(call: Call) -> Response:
    page = await call.reports.replays(call.account_id, **call.query)
    return page_response(schemas.ReplayPage, page)


async def _create(call: Call) -> Response:
    plan = await _plan(call)
    replay = await call.desk.start_replay(plan)
    return json_response(replay_view(replay), 201, {"location": f"{PATH}/{replay.id}"})


async def _show(call: Call) -> Response:
    return json_response(replay_view(await call.desk.find_replay(call.account_id, call.id)))


async def _cancel(call: Call) -> Response:
    return json_response(replay_view(await call.desk.cancel_replay(call.account_id, call.id)))


async def _dry_run(call: Call) -> Response:
    plan = await _plan(call)
    found: Counter[str] = Counter()
    first: datetime | None = None
    last: datetime | None = None
    is_partial = False
    clock = call.desk.clock
    ends_at_s = clock.monotonic_s() + MAX_COUNTED_S
    async for events in call.desk.preview_replay(plan):
        if found.total() >= MAX_COUNTED_EVENTS or clock.monotonic_s() >= ends_at_s:
            is_partial = True
            break
        found.update(decode(raw).type.value for raw, _, _ in events)
        if events:
            first, last = first or events[0][2], events[-1][2]
    return json_response(
        schemas.DryRunView(plan.webhook_id, found.total(), found, first, last, is_partial)
    )


async def _dry_run_events(call: Call) -> Response:
    lines = _lines(call, await _plan(call))
    headers = {
        "content-disposition": 'attachment; filename="replay.jsonl"',
        "cache-control": "no-store",
    }
    return StreamingResponse(lines, 200, headers, JSON_LINES)


async def _lines(call: Call, plan: Replay) -> AsyncIterator[bytes]:
    async for events in call.desk.preview_replay(plan):
        yield b"".join(call.feed.render([event])[1:-1] + b"\n" for event in events)


async def _plan(call: Call) -> Replay:
    webhook_id = forms.check_id(call.form.pop("webhook_id", None), "webhook_id")
    return await call.desk.plan_replay(call.account_id, webhook_id, call.form)


_OF = Group(TAG)
OPERATIONS = (
    _OF.read(
        PATH,
        _list,
        "list replays, the newest first",
        schemas.ReplayPage,
        query={"webhook_id": WEBHOOK_ID, "after": AFTER_ID, "limit": LIMIT},
    ),
    _OF.act(
        PATH,
        _create,
        "send old events again, as new batches",
        ReplayView,
        about="With the same event ids. `since` and `until` are times of acceptance.",
        body=asked.NewReplay,
        status=201,
        headers=("Location",),
        refusals=(404, 409),
    ),
    _OF.act(
        PATH + "/dry-run",
        _dry_run,
        "count what a replay would send; nothing is sent",
        schemas.DryRunView,
        right=Right.READ,
        body=asked.NewReplay,
        refusals=(404, 409),
        is_safe=True,
    ),
    _OF.act(
        PATH + "/dry-run/events",
        _dry_run_events,
        "download the events that a replay would send, one on a line",
        EventView,
        right=Right.READ,
        about="In the native form, in their order.",
        body=asked.NewReplay,
        answer_type=JSON_LINES,
        refusals=(404, 409),
        is_safe=True,
    ),
    _OF.read(ONE, _show, "show a replay", ReplayView),
    _OF.act(
        ONE + "/cancel",
        _cancel,
        "end a replay; what it has not sent is skipped, what it parked stays",
        ReplayView,
        refusals=(409,),
    ),
)
