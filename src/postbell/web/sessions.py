"""The browsers that somebody is signed in with, and signing out of them from afar."""

from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import Route

from postbell.desk.owners import SignedIn
from postbell.errors import NotFound
from postbell.web.page import page
from postbell.web.site import Site
from postbell.web.visit import Visit

PATH = "/settings/account/sessions"


def routes(site: Site) -> list[Route]:
    """Return the routes of the sessions."""
    return [
        page(site, PATH, GET=_show),
        page(site, PATH + "/others/end", GET=_back, POST=_end_others),
        page(site, PATH + "/all/end", GET=_back, POST=_end_all),
        page(site, PATH + "/{id}/end", GET=_back, POST=_end),
    ]


async def _show(visit: Visit) -> Response:
    signed_in = _signed_in(visit)
    own = replace(signed_in.session, seen_at=visit.format.now, place=visit.place)
    others = [
        each
        for each in await visit.site.desk.sessions_of(signed_in.owner.id)
        if each.digest != own.digest
    ]
    return visit.render("sessions.html", sessions=[own, *others], own=own.id)


async def _back(visit: Visit) -> Response:
    return visit.redirect(PATH)


async def _end(visit: Visit) -> Response:
    signed_in = _signed_in(visit)
    ended = await visit.site.desk.end_session(signed_in, visit.name)
    return visit.sign_out() if ended.id == signed_in.session.id else _done(visit, "session_ended")


async def _end_others(visit: Visit) -> Response:
    await visit.site.desk.sign_out_others(_signed_in(visit))
    return _done(visit, "others_signed_out")


async def _end_all(visit: Visit) -> Response:
    await visit.site.desk.sign_out_everywhere(_signed_in(visit).owner)
    return visit.sign_out()


def _done(visit: Visit, key: str) -> Response:
    return visit.redirect(PATH, key)


def _signed_in(visit: Visit) -> SignedIn:
    if visit.signed_in is None:
        raise NotFound(
            "nobody is signed in: sign-in is switched off here", reason="nobody_signed_in"
        )
    return visit.signed_in
