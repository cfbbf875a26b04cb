"""Account settings of a person: password, language, time zone, notices; and who else signs in."""

from starlette.responses import Response
from starlette.routing import Route

from postbell.desk.passwords import MIN_CHARS
from postbell.errors import BadInput, Conflict, NotFound
from postbell.records import Owner
from postbell.web import merging, words
from postbell.web.formats import zone, zone_names
from postbell.web.forms import Form
from postbell.web.merging import Fields, Merged
from postbell.web.page import page
from postbell.web.problems import Errors, beside, explain
from postbell.web.site import Site
from postbell.web.visit import Visit

PATH = "/settings/account"
PREFERENCES = ("language", "time_zone", "wants_notices")


def routes(site: Site) -> list[Route]:
    """Return the routes of account settings."""
    return [
        page(site, PATH, GET=_show, POST=_prefer, again=_prefer_again),
        page(site, PATH + "/password", GET=_back, POST=_change_password),
        page(site, PATH + "/users", GET=_back, POST=_add_user, again=_show),
        page(site, PATH + "/users/{id}/remove", GET=_back, POST=_remove_user),
    ]


async def _show(visit: Visit) -> Response:
    return await _page(visit)


async def _back(visit: Visit) -> Response:
    return visit.redirect(PATH)


async def _page(
    visit: Visit,
    status: int = 200,
    errors: Errors | None = None,
    *,
    chosen: tuple[Merged, Fields] | None = None,
) -> Response:
    """Return the page; *chosen* are preferences that were not stored, and what is."""
    desk, owner = visit.site.desk, visit.owner
    stored = _preferences(owner) if owner is not None else {}
    merged, stored = chosen or (merging.Merged(dict(stored), {}), stored)
    return visit.render(
        "account.html",
        status,
        errors=errors or {},
        chosen=merged.fields,
        base=merging.carried(stored),
        collides=bool(merged.collisions),
        factor=await desk.second_factor(owner.id) if owner is not None else None,
        sessions=len(await desk.sessions_of(owner.id)) if owner is not None else 0,
        with_factor=await desk.engine.second_factors.in_force(visit.account_id),
        owners=await desk.engine.owners.users(visit.account_id),
        languages=words.LANGUAGES,
        zones=zone_names(),
        min_chars=MIN_CHARS,
    )


async def _prefer(visit: Visit) -> Response:
    """Store the preferences, merged with what another tab stored since the form was rendered."""
    desk, form = visit.site.desk, visit.form
    base = merging.base_of(form)
    typed = _typed(form)
    for _ in range(merging.MAX_TRIES):
        owner = await desk.find_owner(_owner(visit).email)
        now = _preferences(owner)
        merged = merging.merge(base or now, now, typed)
        if merged.collisions:
            said = {name: _said(visit, name, text) for name, text in merged.collisions.items()}
            errors = {name: visit.say("merge.stored", stored=text) for name, text in said.items()}
            return await _page(visit, 409, errors, chosen=(merged, now))
        errors = _wrong_preferences(visit, merged.fields)
        if errors:
            return await _page(visit, 422, errors, chosen=(merged, now))
        try:
            await desk.prefer(
                owner,
                language=merged.fields["language"],
                time_zone=merged.fields["time_zone"],
                wants_notices=bool(merged.fields["wants_notices"]),
            )
        except Conflict:
            continue
        return visit.redirect(PATH, "saved")
    raise Conflict("the preferences kept changing while they were changed", reason="kept_moving")


async def _prefer_again(visit: Visit) -> Response:
    base = merging.base_of(visit.form) or _preferences(_owner(visit))
    return await _page(visit, chosen=(merging.Merged(_typed(visit.form), {}), base))


def _typed(form: Form) -> dict[str, str]:
    return {name: form.text(name) for name in PREFERENCES}


def _preferences(owner: Owner) -> Fields:
    wants_notices = "on" if owner.wants_notices else ""
    return dict(zip(PREFERENCES, (owner.language, owner.time_zone, wants_notices), strict=True))


def _wrong_preferences(visit: Visit, chosen: Fields) -> dict[str, str]:
    errors = {}
    if chosen["language"] and chosen["language"] not in words.LANGUAGES:
        errors["language"] = visit.say("account.unknown_language")
    if chosen["time_zone"] and zone(chosen["time_zone"]) is None:
        errors["time_zone"] = visit.say("account.unknown_zone")
    return errors


def _said(visit: Visit, name: str, stored: str) -> str:
    """Return a stored preference as the form says it."""
    if name == "wants_notices":
        return visit.say("act.yes" if stored else "act.no")
    return words.LANGUAGES.get(stored, stored) or visit.say("account.as_browser")


async def _change_password(visit: Visit) -> Response:
    owner, form = _owner(visit), visit.form
    await visit.site.throttle.admit("password", visit.address, owner.email)
    if visit.signed_in is None:
        raise NotFound("nobody is signed in", reason="nobody_signed_in")
    try:
        await visit.site.desk.change_password(
            visit.signed_in, form.raw("present"), form.raw("password")
        )
    except BadInput as error:
        return await _page(visit, 422, beside(visit.say, error))
    return visit.redirect(PATH, "password_changed")


async def _add_user(visit: Visit) -> Response:
    _owner(visit)
    form = visit.form
    try:
        await visit.site.desk.create_owner(
            visit.account_id, form.text("email"), form.raw("user_password")
        )
    except BadInput as error:
        member = "user_password" if error.member == "password" else error.member
        return await _page(visit, 422, {member: explain(visit.say, error)})
    except Conflict as error:
        return await _page(visit, 409, {"email": explain(visit.say, error)})
    return visit.redirect(PATH, "user_added")


async def _remove_user(visit: Visit) -> Response:
    owner = _owner(visit)
    if visit.id == owner.id:
        raise Conflict("you cannot remove yourself; another user can", reason="not_yourself")
    await visit.site.desk.remove_owner(visit.account_id, visit.id)
    return visit.redirect(PATH, "user_removed")


def _owner(visit: Visit) -> Owner:
    if visit.owner is None:
        raise NotFound(
            "nobody is signed in: sign-in is switched off here", reason="nobody_signed_in"
        )
    return visit.owner
