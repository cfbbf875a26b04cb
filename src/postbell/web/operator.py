"""The operator's page: every account, how it stands, and a way in; sources of events; processes."""

from collections import Counter
from typing import NamedTuple

from starlette.responses import Response
from starlette.routing import Route

from postbell.errors import NotFound
from postbell.web import cookies as jar
from postbell.web import standing
from postbell.web.page import SESSION_S, page
from postbell.web.site import Site
from postbell.web.sources import SHAPES
from postbell.web.standing import STATES
from postbell.web.visit import Visit

PATH = "/operator"


class AccountRow(NamedTuple):
    """An account in the list: how many of its webhooks are not up to date, how the worst stands."""

    id: int
    name: str
    api_users: int
    webhooks: int
    worst: str
    troubled: int
    parked: int


def routes(site: Site) -> list[Route]:
    """Return the routes of the operator."""
    return [
        page(site, PATH, operator=True, GET=_show),
        page(site, PATH + "/look/{id}", operator=True, POST=_look),
    ]


async def _show(visit: Visit) -> Response:
    site = visit.site
    accounts = await site.reports.accounts()
    users = Counter(user.account for user in await site.reports.api_users() if not user.revoked_at)
    rows = []
    for account in accounts:
        states = standing.ranked(await site.reports.states(account.id))
        rows.append(
            AccountRow(
                id=account.id,
                name=account.name,
                api_users=users[account.name],
                webhooks=len(states),
                worst=states[0].word if states else "",
                troubled=sum(each.word != "up_to_date" for each in states),
                parked=sum(each.parked for each in states),
            )
        )
    rows.sort(key=lambda row: STATES.index(row.worst) if row.worst else -1, reverse=True)
    troubled = [row for row in rows if row.worst == "failing"]
    return visit.render(
        "operator.html",
        rows=rows,
        troubled=troubled,
        sources=await site.reports.sources.all(),
        processes=await site.reports.crew.all(),
        unheld=await site.reports.crew.unheld(),
        shapes=SHAPES,
        unnamed_proxy=site.unnamed_proxy(),
        is_clock_sure=site.desk.clock.is_sure,
        weak=[each.name for each in await site.reports.weak_settings()],
    )


async def _look(visit: Visit) -> Response:
    response = visit.redirect("/")
    if visit.signed_in is not None:
        await visit.site.desk.look_at(visit.signed_in, visit.id)
    elif await visit.site.desk.directory.find(lambda known: known.accounts.get(visit.id)):
        await visit.site.desk.note_look(visit.id, visit.address)
        visit.cookies.put(response, jar.ACCOUNT, str(visit.id), max_age_s=SESSION_S)
    else:
        raise NotFound(f"no account {visit.id}")
    return response
