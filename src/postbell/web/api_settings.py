"""Account settings -> API: API users with their keys, and webhooks, on one page.

The page that SendPulse's document describes: give a URL, tick the events, done.
"""

from starlette.responses import Response
from starlette.routing import Route

from postbell.desk.people import NewKey
from postbell.errors import BadInput, Conflict, NotFound
from postbell.web import webhook_form
from postbell.web.page import page
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.standing import state_of
from postbell.web.visit import Visit
from postbell.web.webhook_form import Typed
from postbell.web.webhook_page import create, form_context, is_step

PATH = "/settings/api"
WEBHOOKS_SHOWN = 50


def routes(site: Site) -> list[Route]:
    """Return the routes of the API settings."""
    return [
        page(site, PATH, GET=_show, POST=_create_webhook),
        page(site, PATH + "/users", GET=_back, POST=_create_user),
        page(site, PATH + "/users/{id}/rotate", GET=_back, POST=_rotate_user),
        page(site, PATH + "/users/{id}/revoke", GET=_back, POST=_revoke_user),
    ]


async def _show(visit: Visit) -> Response:
    return await _page(visit)


async def _back(visit: Visit) -> Response:
    return visit.redirect(PATH)


async def _page(
    visit: Visit,
    *,
    values: Typed | None = None,
    new_key: NewKey | None = None,
    user_problem: str = "",
    status: int = 200,
) -> Response:
    site = visit.site
    values = values or webhook_form.blank(site.desk, visit.query("dialect"))
    users = await site.reports.api_users(visit.account_id)
    active = [user for user in users if not user["revoked_at"]]
    found = await site.reports.webhooks(visit.account_id, limit=WEBHOOKS_SHOWN)
    webhooks = [row | {"standing": state_of(row)} for row in found.rows]
    shown_user = new_key.api_user.name if new_key else active[0]["name"] if active else "API_USER"
    return visit.render(
        "api_settings.html",
        status,
        **form_context(visit, values),
        api_users=active,
        revoked=[user for user in users if user["revoked_at"]],
        webhooks=webhooks,
        has_more=found.next is not None,
        new_key=new_key,
        shown_user=shown_user,
        shown_key=new_key.key if new_key else "API_KEY",
        user_problem=user_problem,
    )


async def _create_webhook(visit: Visit) -> Response:
    if is_step(visit):
        values = webhook_form.change_dialect(visit.site.desk, webhook_form.typed(visit.form))
        return await _page(visit, values=values)
    try:
        made = await create(visit)
    except Conflict as error:
        made = webhook_form.typed(visit.form)
        made.problems["url"] = explain(visit.say, error)
    if isinstance(made, Typed):
        return await _page(visit, values=made, status=422)
    return visit.redirect(f"{PATH}#webhook-{made.id}", "webhook_created")


async def _create_user(visit: Visit) -> Response:
    try:
        made = await visit.site.desk.create_api_user(visit.account.name, visit.form.text("name"))
    except (BadInput, Conflict) as error:
        return await _page(visit, user_problem=explain(visit.say, error), status=error.status)
    return await _page(visit, new_key=made)


async def _rotate_user(visit: Visit) -> Response:
    made = await visit.site.desk.rotate_api_user(await _name(visit), account_id=visit.account_id)
    return await _page(visit, new_key=made)


async def _revoke_user(visit: Visit) -> Response:
    await visit.site.desk.revoke_api_user(await _name(visit), account_id=visit.account_id)
    return visit.redirect(PATH, "user_revoked")


async def _name(visit: Visit) -> str:
    """Return the name of the api user in the path; raise NotFound unless it is the account's."""
    for user in await visit.site.reports.api_users(visit.account_id):
        if user["id"] == visit.id:
            return str(user["name"])
    raise NotFound(f"no api user {visit.id}")
