"""One batch with the whole exchange; the list of batches is in `batch_list`."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from starlette.responses import Response
from starlette.routing import Route

from postbell.desk import Desk
from postbell.desk.forms import check_moment
from postbell.errors import Conflict, NotFound
from postbell.events import Event, decode
from postbell.ports import Logged
from postbell.reports.exchange import FORM, Sent
from postbell.reports.singles import Where
from postbell.reports.views import known
from postbell.text.numerals import whole
from postbell.web import batch_list, phases
from postbell.web.finding import Places, places
from postbell.web.page import Handler, page
from postbell.web.problems import explain
from postbell.web.search import message_path
from postbell.web.site import Site
from postbell.web.visit import Visit

PATH = batch_list.PATH
JSON = "application/json"
EVENTS_SHOWN = 20
BODY_CHARS = 6000
CURL_BODY_BYTES = 2000
WINDOW = ("since", "until")
RUN = "run_"
"""How the keys of runs begin."""


class BatchRow(NamedTuple):
    """An event of the batch, and the page that it opens."""

    event: Event
    sequence: int
    recorded_at: datetime
    href: str


def routes(site: Site) -> list[Route]:
    """Return the routes of batches."""
    one = PATH + "/{id}"
    return [
        page(site, PATH, GET=batch_list.show),
        page(site, one, GET=_show),
        page(site, one + "/body", GET=_body),
        page(site, one + "/retry", GET=_back, POST=_acts(Desk.retry_batch, "batch_retried")),
        page(site, one + "/split", GET=_back, POST=_acts(Desk.split_batch, "batch_split")),
        page(site, one + "/bisect", GET=_back, POST=_acts(Desk.bisect_batch, "batch_bisected")),
        page(site, one + "/park", GET=_back, POST=_acts(Desk.park_batch, "batch_parked")),
        page(site, one + "/skip", GET=_back, POST=_skip),
    ]


async def _show(visit: Visit) -> Response:
    return await _batch_page(visit)


async def _batch_page(visit: Visit, problem: str = "", status: int = 200) -> Response:
    reports = visit.site.reports
    batch = await reports.batch(visit.account_id, visit.name, _where(visit))
    is_run = visit.name.startswith(RUN)
    sent = None
    if not is_run:
        now = visit.site.desk.clock.now()
        sent = await reports.exchange.sent(visit.account_id, visit.name, now)
    logged = sent.events if sent is not None else ()
    if is_run:
        logged = await reports.exchange.of_run(visit.account_id, visit.name)
    try:
        webhook = await reports.webhook(visit.account_id, batch.webhook_id)
    except NotFound:
        webhook = None
    find = visit.query("find").strip()[:200]
    pretty, found = await asyncio.to_thread(_read, sent, find)
    drawn = [phases.drawn(known(each.phases_ms, ())) for each in batch.attempts_made]
    return visit.render(
        "batch.html",
        status,
        batch=batch,
        webhook=webhook,
        sent=sent,
        body=pretty[:BODY_CHARS],
        is_cut=len(pretty) > BODY_CHARS,
        find=find,
        places=found,
        phases=[each.svg for each in drawn],
        phase_rows=[each.rows for each in drawn],
        curl=curl_of(sent, visit.name) if sent is not None else "",
        is_run=is_run,
        events=_event_rows(logged),
        events_count=len(logged),
        problem=problem,
    )


def _read(sent: Sent | None, find: str) -> tuple[str, Places]:
    """Return a body for people, and where in it stands what they look for."""
    pretty = sent.pretty() if sent is not None else ""
    return pretty, places(pretty, find)


def _where(visit: Visit) -> Where:
    """Return where to look for a single event: its webhook, and about when it arrived."""
    webhook = visit.query("webhook_id")
    since, until = (visit.query(name) for name in WINDOW)
    return Where(
        whole(webhook),
        check_moment(since, "since") if since else None,
        check_moment(until, "until") if until else None,
    )


def _event_rows(logged: Sequence[Logged]) -> list[BatchRow]:
    rows = []
    for raw, sequence, recorded_at in logged[:EVENTS_SHOWN]:
        event = decode(raw)
        href = message_path(event.message.key, event.event_id)
        rows.append(BatchRow(event, sequence, recorded_at, href))
    return rows


async def _body(visit: Visit) -> Response:
    """Return the body as it is sent, byte for byte."""
    sent = await visit.site.reports.exchange.sent(
        visit.account_id, visit.name, visit.site.desk.clock.now()
    )
    if sent is None:
        raise NotFound(
            f"nothing is left of batch {visit.name[:80]!r}: its events have expired",
            reason="batch_gone",
        )
    headers = {"content-disposition": f'attachment; filename="{_file(sent, visit.name[:60])}"'}
    return Response(sent.body, headers=headers, media_type=FORM if sent.is_form else JSON)


async def _back(visit: Visit) -> Response:
    return visit.redirect(f"{PATH}/{visit.name}")


def _acts(verb: Callable[[Desk, str, int], Awaitable[object]], done: str) -> Handler:
    """Return what a button does with a batch: *verb*, then the message *done*."""

    async def act(visit: Visit) -> Response:
        try:
            await verb(visit.site.desk, visit.name, visit.account_id)
        except Conflict as error:
            return await _batch_page(visit, explain(visit.say, error), error.status)
        return visit.redirect(f"{PATH}/{visit.name}", done)

    return act


async def _skip(visit: Visit) -> Response:
    """Leave an event out, and go on to what is left of the batch; to this one where nothing is."""
    event_id = visit.form.text("event")
    try:
        rest = await visit.site.desk.skip_event(visit.name, event_id, visit.account_id)
    except Conflict as error:
        return await _batch_page(visit, explain(visit.say, error), error.status)
    return visit.redirect(f"{PATH}/{rest[0].id if rest else visit.name}", "event_skipped")


def _file(sent: Sent, batch_id: str) -> str:
    return f"{batch_id}.{'txt' if sent.is_form else 'json'}"


def curl_of(sent: Sent, batch_id: str) -> str:
    """Return the request as a curl command; a long body comes from the file to download."""
    is_short = len(sent.body) <= CURL_BODY_BYTES
    body = sent.body.decode("utf-8", "replace") if is_short else f"@{_file(sent, batch_id)}"
    lines = [f"curl -X POST {shlex.quote(sent.url)}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in sent.headers]
    lines.append(f"--data-binary {shlex.quote(body)}")
    return " \\\n  ".join(lines)
