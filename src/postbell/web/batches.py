"""Batches: the list with its filters, and one batch with the whole exchange."""

import shlex
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from postbell.desk.forms import check_moment
from postbell.errors import BadInput, Conflict, NotFound
from postbell.events import decode
from postbell.reports.exchange import Sent
from postbell.reports.singles import Where
from postbell.web.page import page
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.visit import Visit, with_query

PATH = "/batches"
ON_A_PAGE = 50
EVENTS_SHOWN = 20
BODY_CHARS = 6000
CURL_BODY_BYTES = 2000
STATES = ("open", "waiting", "parked", "done")
MAX_SEARCHED = 2000
WINDOW = ("since", "until")


def routes(site: Site) -> list[Route]:
    """Return the routes of batches."""
    one = PATH + "/{id}"
    return [
        page(site, PATH, GET=_list),
        page(site, one, GET=_show),
        page(site, one + "/body", GET=_body),
        page(site, one + "/retry", GET=_back, POST=_retry),
        page(site, one + "/split", GET=_back, POST=_split),
        page(site, one + "/park", GET=_back, POST=_park),
    ]


async def _list(visit: Visit) -> Response:
    webhook = visit.query("webhook")
    wanted = {
        "webhook": webhook if webhook.isdecimal() and len(webhook) < 19 else "",
        "state": visit.query("state") if visit.query("state") in STATES else "",
        "status": visit.query("status")[:20],
        "since": visit.query("since")[:40],
    }
    rows, after = await _page(visit, wanted)
    webhooks = await visit.site.reports.matching_webhooks(visit.account_id)
    next_page = with_query(PATH, wanted | {"after": after}) if after else ""
    return visit.render(
        "batches.html",
        rows=rows,
        wanted=wanted,
        states=STATES,
        webhooks=webhooks,
        next_page=next_page,
        is_filtered=any(wanted.values()),
        parked=sum(row["state"] == "parked" for row in rows),
        waiting=sum(row["state"] == "waiting" for row in rows),
    )


async def _page(visit: Visit, wanted: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
    """Return rows of open batches, then of finished ones; a mark says where the next page is.

    A mark begins with "o" for open ones, "f" for finished ones.
    """
    reports = visit.site.reports
    webhook_id = int(wanted["webhook"]) if wanted["webhook"] else None
    since = visit.format.local(_moment(visit, wanted["since"]))
    mark = visit.query("after")
    rows: list[dict[str, Any]] = []
    searched = 0
    state = wanted["state"]
    after = mark[1:] if mark.startswith("o") else ""
    if state != "done" and not mark.startswith("f"):
        while True:
            found = await reports.batches(
                visit.account_id,
                webhook_id=webhook_id,
                state=state if state in ("waiting", "parked") else None,
                after=after,
                limit=ON_A_PAGE,
            )
            rows += [row for row in found.rows if _fits(visit, row, wanted, since)]
            searched += len(found.rows)
            after = found.next or ""
            if not after or len(rows) >= ON_A_PAGE or searched >= MAX_SEARCHED:
                break
        if after:
            return rows, f"o{after}"
        if state in ("open", "waiting", "parked"):
            return rows, ""
    after = mark[1:] if mark.startswith("f") else ""
    while len(rows) < ON_A_PAGE and searched < MAX_SEARCHED:
        found = await reports.finished_batches(
            visit.account_id, webhook_id=webhook_id, after=after, limit=ON_A_PAGE
        )
        rows += [row for row in found.rows if _fits(visit, row, wanted, since)]
        searched += len(found.rows)
        after = found.next or ""
        if not after:
            break
    return rows, f"f{after}" if after else ""


def _fits(visit: Visit, row: dict[str, Any], wanted: dict[str, str], since: Any) -> bool:
    """Return whether the row passes the filters of status (503, 5xx, or an error) and time."""
    status = wanted["status"].lower()
    code = str(row["last_status"] or "")
    if status.endswith("xx") and status[:1] != code[:1]:
        return False
    if status and not status.endswith("xx") and status not in (code, row["last_error"]):
        return False
    at = visit.format.local(row.get("finished_at") or row.get("cut_at"))
    return since is None or (at is not None and at >= since)


def _moment(visit: Visit, text: str) -> str:
    try:
        return visit.format.read_moment(text, "since") if text else ""
    except BadInput:
        return ""


async def _show(visit: Visit) -> Response:
    return await _batch_page(visit)


async def _batch_page(visit: Visit, problem: str = "", status: int = 200) -> Response:
    reports = visit.site.reports
    batch = await reports.batch(visit.account_id, visit.name, _where(visit))
    sent = await reports.exchange.sent(visit.account_id, visit.name, visit.site.desk.clock.now())
    try:
        webhook = await reports.webhook(visit.account_id, batch["webhook_id"])
    except NotFound:
        webhook = None
    pretty = sent.pretty() if sent is not None else ""
    return visit.render(
        "batch.html",
        status,
        batch=batch,
        webhook=webhook,
        sent=sent,
        body=pretty[:BODY_CHARS],
        is_cut=len(pretty) > BODY_CHARS,
        curl=curl_of(sent, visit.name) if sent is not None else "",
        events=_event_rows(sent),
        problem=problem,
    )


def _where(visit: Visit) -> Where:
    """Return where to look for a single event: its webhook, and about when it arrived."""
    webhook = visit.query("webhook_id")
    since, until = (visit.query(name) for name in WINDOW)
    return Where(
        int(webhook) if webhook.isdecimal() and len(webhook) < 19 else None,
        check_moment(since, "since") if since else None,
        check_moment(until, "until") if until else None,
    )


def _event_rows(sent: Sent | None) -> list[dict[str, Any]]:
    if sent is None:
        return []
    rows = []
    for raw, sequence, _ in sent.events[:EVENTS_SHOWN]:
        event = decode(raw)
        rows.append(
            {
                "id": event.event_id,
                "type": event.type.value,
                "recipient": event.recipient,
                "occurred_at": event.occurred_at,
                "message": event.message.id or "",
                "subject": event.message.subject or "",
                "sequence": sequence,
            }
        )
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
    headers = {"content-disposition": f'attachment; filename="{visit.name[:60]}.json"'}
    return Response(sent.body, headers=headers, media_type="application/json")


async def _back(visit: Visit) -> Response:
    return visit.redirect(f"{PATH}/{visit.name}")


async def _retry(visit: Visit) -> Response:
    try:
        await visit.site.desk.retry_batch(visit.name, visit.account_id)
    except Conflict as error:
        return await _batch_page(visit, explain(visit.say, error), error.status)
    return visit.redirect(f"{PATH}/{visit.name}", "batch_retried")


async def _split(visit: Visit) -> Response:
    try:
        await visit.site.desk.split_batch(visit.name, visit.account_id)
    except Conflict as error:
        return await _batch_page(visit, explain(visit.say, error), error.status)
    return visit.redirect(f"{PATH}/{visit.name}", "batch_split")


async def _park(visit: Visit) -> Response:
    await visit.site.desk.park_batch(visit.name, visit.account_id)
    return visit.redirect(f"{PATH}/{visit.name}", "batch_parked")


def curl_of(sent: Sent, batch_id: str) -> str:
    """Return the request as a curl command; a long body comes from the file to download."""
    is_short = len(sent.body) <= CURL_BODY_BYTES
    body = sent.body.decode("utf-8", "replace") if is_short else f"@{batch_id}.json"
    lines = [f"curl -X POST {shlex.quote(sent.url)}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in sent.headers]
    lines.append(f"--data-binary {shlex.quote(body)}")
    return " \\\n  ".join(lines)
