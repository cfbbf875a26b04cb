"""A source of events as the operator sees it: how it does, and what it did not understand."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.responses import Response
from starlette.routing import Route

from postbell.desk import Desk
from postbell.errors import NotFound
from postbell.ports import SourceState
from postbell.reports.sources import OperatorSourceView
from postbell.text.numerals import whole
from postbell.web.page import Handler, page
from postbell.web.site import Site
from postbell.web.visit import Visit

PATH = "/operator/sources"
FACTS = "/operator/facts"
ON_A_PAGE = 50
SHAPES = {
    SourceState.UP_TO_DATE: "up_to_date",
    SourceState.READING: "behind",
    SourceState.WAITING: "behind",
    SourceState.HELD: "behind",
    SourceState.FAILING: "failing",
    SourceState.STOPPED: "paused",
}
"""How a source does, as one of the four shapes there are."""

Verb = Callable[[Desk, str | None, str, Sequence[int] | None], Awaitable[list[int]]]


def routes(site: Site) -> list[Route]:
    """Return the routes of sources."""
    one = PATH + "/{id}"
    retry, drop = _acts(Desk.retry_quarantined), _acts(Desk.drop_quarantined)
    return [
        page(site, one, operator=True, GET=_show),
        page(site, one + "/retry", operator=True, GET=_back, POST=retry),
        page(site, one + "/drop", operator=True, GET=_back, POST=drop),
        page(site, FACTS + "/{id}", operator=True, GET=_raw),
    ]


async def _show(visit: Visit) -> Response:
    source, after = await _source(visit), visit.query("after")
    facts = await visit.site.reports.sources.quarantine(
        source.name, before=whole(after) if after else None, limit=ON_A_PAGE
    )
    return visit.render(
        "source.html",
        source=source,
        shapes=SHAPES,
        facts=facts.rows,
        path=f"{PATH}/{source.name}",
        next_page=f"{PATH}/{source.name}?after={facts.next}#quarantine" if facts.next else "",
        first_page=f"{PATH}/{source.name}#quarantine" if after else "",
    )


async def _source(visit: Visit) -> OperatorSourceView:
    for source in await visit.site.reports.sources.all():
        if source.name == visit.name:
            return source
    raise NotFound(f"no source {visit.name[:40]!r}")


async def _raw(visit: Visit) -> Response:
    """Return what is kept of a fact, byte for byte."""
    _, raw = await visit.site.reports.sources.fact(visit.id)
    headers = {"content-disposition": f'attachment; filename="fact-{visit.id}.txt"'}
    return Response(raw, headers=headers, media_type="application/octet-stream")


async def _back(visit: Visit) -> Response:
    return visit.redirect(f"{PATH}/{(await _source(visit)).name}")


def _acts(verb: Verb) -> Handler:
    """Return what a button does with one fact, or with all; one that is gone needs nothing."""

    async def act(visit: Visit) -> Response:
        source, given = await _source(visit), visit.form.text("fact")
        fact = whole(given)
        if given and fact is None:
            raise NotFound(f"no fact {given[:40]!r}")
        try:
            await verb(visit.site.desk, None, source.name, None if fact is None else [fact])
        except NotFound:
            await _source(visit)
        return visit.redirect(f"{PATH}/{source.name}#quarantine", "saved")

    return act
