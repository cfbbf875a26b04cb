"""The operator's page: every account, how it stands, and a way in."""

from starlette.responses import Response
from starlette.routing import Route

from postbell.errors import NotFound
from postbell.web import cookies as jar
from postbell.web.page import SESSION_S, page
from postbell.web.site import Site
from postbell.web.standing import Standing, standing_of
from postbell.web.visit import Visit

PATH = "/operator"


def routes(site: Site) -> list[Route]:
    """Return the routes of the operator."""
    return [
        page(site, PATH, operator=True, GET=_show),
        page(site, PATH + "/look/{id}", operator=True, POST=_look),
    ]


async def _show(visit: Visit) -> Response:
    site = visit.site
    accounts = await site.reports.accounts()
    users = await site.reports.api_users()
    webhooks = (await site.reports.webhooks(None, limit=10_000)).rows
    by_account: dict[str, list[Standing]] = {account["name"]: [] for account in accounts}
    for webhook in webhooks:
        by_account[webhook["account"]].append(standing_of(webhook))
    rows = [
        {
            "id": account["id"],
            "name": account["name"],
            "created_at": account["created_at"],
            "api_users": sum(
                user["account"] == account["name"] and not user["revoked_at"] for user in users
            ),
            "webhooks": by_account[account["name"]],
            "worst": max(by_account[account["name"]], default=None),
            "waiting": sum(each.waiting for each in by_account[account["name"]]),
            "parked": sum(each.parked for each in by_account[account["name"]]),
        }
        for account in accounts
    ]
    rows.sort(key=lambda row: row["worst"].rank if row["worst"] else -1, reverse=True)
    troubled = [row for row in rows if row["worst"] and row["worst"].state == "failing"]
    return visit.render(
        "operator.html",
        rows=rows,
        troubled=troubled,
        unnamed_proxy=site.unnamed_proxy(),
        is_clock_sure=site.desk.clock.is_sure,
    )


async def _look(visit: Visit) -> Response:
    response = visit.redirect("/")
    if visit.signed_in is not None:
        await visit.site.desk.look_at(visit.signed_in, visit.id)
    elif visit.id in visit.site.desk.directory.accounts:
        await visit.site.desk.note_look(visit.id, visit.address)
        visit.cookies.put(response, jar.ACCOUNT, str(visit.id), max_age_s=SESSION_S)
    else:
        raise NotFound(f"no account {visit.id}")
    return response
