"""Account settings -> API: API users with their keys, and webhooks, on one page.

The page that SendPulse's document describes: give a URL, tick the events, done.
"""

from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import Route

from postbell.clock import rfc3339
from postbell.desk.forms import check_moment, check_scope
from postbell.desk.people import NewKey
from postbell.errors import BadInput, Conflict, NotFound
from postbell.reports.views import ApiUserView
from postbell.rights import KeyScope, KeyTerms
from postbell.text.numerals import whole
from postbell.web import merging, webhook_form
from postbell.web.page import page
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.standing import standing_view
from postbell.web.visit import Visit
from postbell.web.webhook_form import Typed
from postbell.web.webhook_page import create, created, first_form, form_context, is_step

PATH = "/settings/api"
WEBHOOKS_SHOWN = 50
USERS_SHOWN = 25
OVERLAPS_H = (0, 1, 24, 168)


class KeyForm(NamedTuple):
    """What was typed of a new key, of an api user that there is (0: of a new one), and what is
    wrong with it."""

    user_id: int = -1
    name: str = ""
    scope: str = KeyScope.EVERYTHING.value
    expires_at: str = ""
    problems: dict[str, str] = {}


def routes(site: Site) -> list[Route]:
    """Return the routes of the API settings."""
    return [
        page(site, PATH, GET=_show, POST=_create_webhook, again=_webhook_again),
        page(site, PATH + "/users", GET=_back, POST=_create_user, again=_user_again),
        page(site, PATH + "/users/{id}/keys", GET=_back, POST=_add_key, again=_key_again),
        page(site, PATH + "/users/{id}/revoke", GET=_back, POST=_revoke_user),
        page(site, PATH + "/keys/{id}/rotate", GET=_back, POST=_rotate_key),
        page(site, PATH + "/keys/{id}/revoke", GET=_back, POST=_revoke_key),
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
    key_form: KeyForm | None = None,
    status: int = 200,
) -> Response:
    site = visit.site
    values = values or first_form(visit)
    users = await site.reports.api_users(visit.account_id)
    active = [_with_live_keys(user, site.desk.clock.now()) for user in users if not user.revoked_at]
    shown, more = _part(visit, active, new_key, key_form)
    found = await site.reports.webhooks(visit.account_id, limit=WEBHOOKS_SHOWN)
    webhooks = [standing_view(row) for row in found.rows]
    shown_user = new_key.api_user.name if new_key else active[0].name if active else "API_USER"
    return visit.render(
        "api_settings.html",
        status,
        **form_context(visit, values),
        api_users=shown,
        more_users=more,
        count=len(active),
        revoked=[user for user in users if user.revoked_at][-USERS_SHOWN:],
        webhooks=webhooks,
        webhook_count=len(await site.reports.matching_webhooks(visit.account_id)),
        has_more=found.next is not None,
        new_key=new_key,
        overlapping=_overlapping(new_key),
        shown_user=shown_user,
        shown_key=new_key.key if new_key else "API_KEY",
        key_form=key_form or KeyForm(),
        new_user=key_form if key_form is not None and not key_form.user_id else KeyForm(),
        blank_key=KeyForm(),
        scopes=[scope.value for scope in KeyScope],
        overlaps=OVERLAPS_H,
        carried=lambda key: merging.carried(_ending(key.expires_at)),
    )


def _with_live_keys(user: ApiUserView, now: datetime) -> ApiUserView:
    """Return an api user with those keys that have not ended, the newest first."""
    keys = (key for key in reversed(user.keys) if not key.expires_at or key.expires_at > now)
    return replace(user, keys=tuple(keys))


def _ending(expires_at: datetime | None) -> dict[str, str]:
    """Return what a form that replaces a key is made from."""
    return {"ends": rfc3339(expires_at) if expires_at else ""}


def _part(
    visit: Visit,
    users: list[ApiUserView],
    new_key: NewKey | None,
    key_form: KeyForm | None,
) -> tuple[list[ApiUserView], int]:
    """Return some api users, the one that was just worked on among them, and the id after which
    more are listed (0: there are none)."""
    after = whole(visit.query("users_after")) or 0
    worked_on = new_key.api_user.id if new_key else key_form.user_id if key_form else 0
    begin = worked_on - 1 if worked_on > 0 else after
    rest = [user for user in users if user.id > begin]
    more = rest[USERS_SHOWN - 1].id if len(rest) > USERS_SHOWN else 0
    return rest[:USERS_SHOWN], more


def _overlapping(new_key: NewKey | None) -> datetime | None:
    """Return until when a key works on that the new one replaces."""
    old = new_key.replaced if new_key is not None else None
    return old.expires_at if new_key and old and old.is_live(new_key.made.created_at) else None


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
    return visit.redirect(f"{PATH}#webhook-{made.id}", created(visit))


async def _webhook_again(visit: Visit) -> Response:
    return await _page(visit, values=webhook_form.typed(visit.form))


async def _user_again(visit: Visit) -> Response:
    return await _page(visit, key_form=_typed_key(visit, 0, {}))


async def _key_again(visit: Visit) -> Response:
    return await _page(visit, key_form=_typed_key(visit, visit.id, {}))


async def _create_user(visit: Visit) -> Response:
    desk, name = visit.site.desk, visit.form.text("name")
    try:
        made = await desk.create_api_user(visit.account.name, name, terms=_terms(visit))
    except (BadInput, Conflict) as error:
        return await _wrong(visit, 0, error)
    return await _page(visit, new_key=made)


async def _add_key(visit: Visit) -> Response:
    name = await _name(visit)
    try:
        made = await visit.site.desk.add_api_key(
            name, terms=_terms(visit), account_id=visit.account_id
        )
    except (BadInput, Conflict) as error:
        return await _wrong(visit, visit.id, error)
    return await _page(visit, new_key=made)


async def _rotate_key(visit: Visit) -> Response:
    hours = visit.form.text("overlap_h", "0")
    number = whole(hours)
    overlap_s = -1.0 if number is None else number * 3600.0
    user = await visit.site.desk.find_key_owner(visit.id, visit.account_id)
    ends = next(key.expires_at for key in user.keys if key.id == visit.id)
    if merging.is_moved(visit.form, _ending(ends)):
        typed = KeyForm(user_id=user.id, problems={"name": visit.say("merge.moved")})
        return await _page(visit, key_form=typed, status=409)
    made = await visit.site.desk.rotate_api_user(
        user.name, key_id=visit.id, overlap_s=overlap_s, account_id=visit.account_id
    )
    return await _page(visit, new_key=made)


async def _revoke_key(visit: Visit) -> Response:
    await visit.site.desk.revoke_api_key(visit.id, account_id=visit.account_id)
    return visit.redirect(f"{PATH}#users-head", "key_revoked")


async def _revoke_user(visit: Visit) -> Response:
    await visit.site.desk.revoke_api_user(await _name(visit), account_id=visit.account_id)
    return visit.redirect(f"{PATH}#users-head", "user_revoked")


def _terms(visit: Visit) -> KeyTerms:
    """Return what the form says of a new key."""
    scope = check_scope(visit.form.text("scope", KeyScope.EVERYTHING.value))
    ends = visit.form.text("expires_at")
    if not ends:
        return KeyTerms(scope)
    return KeyTerms(scope, check_moment(visit.format.read_moment(ends, "expires_at"), "expires_at"))


async def _wrong(visit: Visit, user_id: int, error: BadInput | Conflict) -> Response:
    """Return the page with what was typed, and what is wrong beside its field."""
    member = error.member if isinstance(error, BadInput) else ""
    place = member if member in ("scope", "expires_at") else "name"
    key_form = _typed_key(visit, user_id, {place: explain(visit.say, error)})
    return await _page(visit, key_form=key_form, status=error.status)


def _typed_key(visit: Visit, user_id: int, problems: dict[str, str]) -> KeyForm:
    form = visit.form
    return KeyForm(
        user_id, form.text("name"), form.text("scope"), form.text("expires_at"), problems
    )


async def _name(visit: Visit) -> str:
    """Return the name of the api user in the path; raise NotFound unless it is the account's."""
    for user in await visit.site.reports.api_users(visit.account_id):
        if user.id == visit.id:
            return user.name
    raise NotFound(f"no api user {visit.id}")
