"""The page at `/batches`: open and finished ones by time, the newest first; filters in the address.

Two streams are merged: what is open, which is little and sorted here, and what is over, from the
journal. The mark of a page says how far each was read.
"""

from datetime import datetime
from heapq import merge
from itertools import islice
from typing import NamedTuple

from starlette.responses import Response

from postbell.errors import BadInput
from postbell.reports import Page
from postbell.reports.batch_views import BatchView
from postbell.reports.opened import Opened, key_of, mark_of
from postbell.text.numerals import whole
from postbell.web.problems import explain
from postbell.web.visit import Visit, with_query

PATH = "/batches"
ON_A_PAGE = 50
STATES = ("open", "waiting", "parked", "done")
OPEN_STATES = {"": ("waiting", "parked"), "open": ("waiting", "parked"), "done": ()}
MAX_SEARCHED = 2000
OVER = "over"
"""Stands in a mark for a stream that has no more."""


class Filters(NamedTuple):
    """What the address asks for; *since* is in UTC, as a colleague opens it, too."""

    webhook: str
    state: str
    status: str
    since: str

    def fit(self, row: BatchView, since: datetime | None) -> bool:
        """Return whether a row has the status (503, 5xx, or an error's name) and the time."""
        status, code = self.status.lower(), str(row.last_status or "")
        if status.endswith("xx") and status[:1] != code[:1]:
            return False
        if status and not status.endswith("xx") and status not in (code, row.last_error):
            return False
        return since is None or row.at >= since

    @property
    def webhook_id(self) -> int | None:
        return int(self.webhook) if self.webhook else None


class Finished(NamedTuple):
    """Finished batches that fit, each with how many were read up to it, and the mark after all."""

    rows: list[tuple[int, BatchView]]
    next: str


async def show(visit: Visit) -> Response:
    """Answer with the list."""
    asked = Filters(
        visit.query("webhook").strip()[:20],
        visit.query("state").strip()[:20],
        visit.query("status").strip()[:20],
        visit.query("since").strip()[:40],
    )
    problems, since = _problems(visit, asked), ""
    try:
        since = visit.format.shared_moment(asked.since, "since")
    except BadInput as error:
        problems["since"] = explain(visit.say, error)
    if not problems and since != asked.since:
        return visit.redirect(with_query(PATH, asked._replace(since=since)._asdict()))
    sound = asked._replace(webhook="") if "webhook" in problems else asked
    local = visit.format.local(since) if not problems else None
    opened = await visit.site.reports.open.newest(
        visit.account_id,
        sound.webhook_id,
        before=visit.query("after").partition("~")[0],
        fits=lambda row: asked.fit(row, local),
        enough=ON_A_PAGE if "parked" in _states(asked) else 0,
    )
    rows, mark = ([], "") if problems else await _merge(visit, asked, opened)
    webhooks = await visit.site.reports.matching_webhooks(visit.account_id)
    return visit.render(
        "batches.html",
        422 if problems else 200,
        sentence=_sentence(visit, opened),
        rows=rows,
        urls={webhook.id: webhook.url for webhook in webhooks},
        wanted=asked._asdict(),
        since=asked.since if "since" in problems else visit.format.input_moment(since),
        problems=problems,
        states=STATES,
        webhooks=webhooks,
        next_page=with_query(PATH, asked._asdict() | {"after": mark}) if mark else "",
        first_page=with_query(PATH, asked._asdict()) if visit.query("after") else "",
        is_filtered=any(asked),
    )


def _problems(visit: Visit, asked: Filters) -> dict[str, str]:
    """Return what is wrong with the choices: a filter that is not understood shows nothing."""
    choices = {
        "webhook": not asked.webhook or whole(asked.webhook) is not None,
        "state": not asked.state or asked.state in STATES,
    }
    return {
        name: visit.say("form.no_such_choice", given=getattr(asked, name))
        for name, is_known in choices.items()
        if not is_known
    }


def _sentence(visit: Visit, opened: Opened) -> str:
    """Return what is open in words: what was given up, else what waits for a retry."""
    for state in ("parked", "waiting"):
        if count := opened.count(state):
            more = "+" if opened.is_partial else ""
            return visit.say(f"batches.{state}", n=count, count=visit.format.number(count) + more)
    return visit.say("batches.fine")


async def _merge(visit: Visit, asked: Filters, opened: Opened) -> tuple[list[BatchView], str]:
    """Return a page of rows, and the mark of the next one, "" after the last."""
    open_mark, _, over_mark = visit.query("after").partition("~")
    since = visit.format.local(asked.since)
    waiting = [
        row
        for row in opened.rows
        if row.state in _states(asked) and asked.fit(row, since) and _is_after(row, open_mark)
    ]
    over = Finished([], "")
    if asked.state in ("", "done") and over_mark != OVER:
        over = await _finished(visit, asked, since, over_mark)
    streams: tuple[list[tuple[int, BatchView]], ...] = ([(0, row) for row in waiting], over.rows)
    merged = merge(*streams, key=lambda each: key_of(each[1]), reverse=True)
    shown = list(islice(merged, ON_A_PAGE))
    opens = [row for read, row in shown if not read]
    read = max((read for read, _ in shown), default=0)
    is_all = read == max((read for read, _ in over.rows), default=0)
    if is_all:
        over_mark = over.next or OVER
    elif read:
        page = await _page(visit, asked, over_mark, read)
        over_mark = page.next or OVER
    if len(opens) == len(waiting) and not opened.has_more and over_mark == OVER:
        return [row for _, row in shown], ""
    open_mark = mark_of(opens[-1]) if opens else open_mark
    return [row for _, row in shown], f"{open_mark}~{over_mark}"


def _states(asked: Filters) -> tuple[str, ...]:
    """Return which open batches are asked for."""
    return OPEN_STATES.get(asked.state, (asked.state,))


async def _finished(visit: Visit, asked: Filters, since: datetime | None, mark: str) -> Finished:
    """Read finished batches from *mark* on until a page is full or enough were searched."""
    rows: list[tuple[int, BatchView]] = []
    read, after = 0, mark
    while len(rows) < ON_A_PAGE and read < MAX_SEARCHED:
        page = await _page(visit, asked, after, ON_A_PAGE)
        for row in page.rows:
            read += 1
            if asked.fit(row, since):
                rows.append((read, row))
        after = page.next or ""
        if not after or (since is not None and page.rows[-1].at < since):
            return Finished(rows, "")
    return Finished(rows, after)


async def _page(visit: Visit, asked: Filters, mark: str, limit: int) -> Page[BatchView]:
    return await visit.site.reports.finished_batches(
        visit.account_id, webhook_id=asked.webhook_id, after=mark, limit=limit
    )


def _is_after(row: BatchView, mark: str) -> bool:
    """Return whether the row comes after that of the mark; every one where there is none."""
    return not mark or mark_of(row) < mark
