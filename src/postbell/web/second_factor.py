"""A second factor: set up with an authenticator's first code, its recovery codes, turned off."""

import segno
from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from postbell.desk import codes
from postbell.desk.owners import SignedIn
from postbell.desk.second_factor import SETUP_MINUTES
from postbell.errors import BadInput, NotFound
from postbell.ports import SecondFactor
from postbell.web.page import SET_UP_PATH as PATH
from postbell.web.page import page
from postbell.web.problems import beside
from postbell.web.site import Site
from postbell.web.visit import Visit

ISSUER = "Postbell"
QUIET_ZONE = 4
"""Modules of white around the picture (ISO/IEC 18004 section 6.3.8)."""


def routes(site: Site) -> list[Route]:
    """Return the routes of the second factor; who must set one up reaches the first three."""
    return [
        page(site, PATH, leads_in=True, GET=_show),
        page(site, PATH + "/begin", leads_in=True, GET=_back, POST=_begin),
        page(site, PATH + "/confirm", leads_in=True, GET=_back, POST=_confirm),
        page(site, PATH + "/recovery", GET=_back, POST=_renew),
        page(site, PATH + "/off", GET=_back, POST=_turn_off),
    ]


async def _show(visit: Visit) -> Response:
    return await _page(visit)


async def _back(visit: Visit) -> Response:
    return visit.redirect(PATH)


async def _page(
    visit: Visit,
    status: int = 200,
    *,
    errors: dict[str, str] | None = None,
    act: str = "",
    awaited: SecondFactor | None = None,
    shown: list[str] | None = None,
) -> Response:
    """Return the page; *awaited* is being set up, *shown* are recovery codes just made, *errors*
    belong to the form *act*."""
    owner = _signed_in(visit).owner
    factor = await visit.site.desk.second_factor(owner.id)
    picture, address = Markup(), ""
    if awaited is not None:
        issuer = f"{ISSUER} {visit.site.region}".strip()
        address = codes.address_of(awaited.secret, owner.email, issuer)
        picture = qr(address)
    return visit.render(
        "second_factor.html",
        status,
        errors=errors or {},
        act=act,
        factor=factor,
        shown=shown,
        picture=picture,
        address=address,
        secret=codes.grouped(awaited.secret, " ") if awaited is not None else "",
        digits=codes.DIGITS,
        minutes=SETUP_MINUTES,
        must=visit.site.demands_second_factor(owner),
    )


async def _begin(visit: Visit) -> Response:
    signed_in = _signed_in(visit)
    await visit.site.throttle.admit("password", visit.address, signed_in.owner.email)
    try:
        awaited = await visit.site.desk.begin_second_factor(signed_in, visit.form.raw("present"))
    except BadInput as error:
        return await _page(visit, 422, errors=beside(visit.say, error), act="begin")
    return await _page(visit, awaited=awaited)


async def _confirm(visit: Visit) -> Response:
    signed_in, desk, throttle = _signed_in(visit), visit.site.desk, visit.site.throttle
    email = signed_in.owner.email
    await throttle.admit("code", visit.address, email)
    try:
        shown = await desk.confirm_second_factor(signed_in, visit.form.text("code"))
    except BadInput as error:
        awaited = await desk.awaited_second_factor(signed_in)
        return await _page(
            visit, 422, errors=beside(visit.say, error), act="confirm", awaited=awaited
        )
    await throttle.forgive("code", visit.address, email)
    return await _page(visit, shown=shown)


async def _renew(visit: Visit) -> Response:
    signed_in, form = await _tried(visit), visit.form
    try:
        shown = await visit.site.desk.renew_recovery_codes(
            signed_in, form.raw("renew_present"), form.text("renew_code")
        )
    except BadInput as error:
        return await _page(visit, 422, errors=beside(visit.say, error), act="renew")
    await visit.site.throttle.forgive("code", visit.address, signed_in.owner.email)
    return await _page(visit, shown=shown)


async def _turn_off(visit: Visit) -> Response:
    signed_in, form = await _tried(visit), visit.form
    try:
        await visit.site.desk.turn_off_second_factor(
            signed_in, form.raw("off_present"), form.text("off_code")
        )
    except BadInput as error:
        return await _page(visit, 422, errors=beside(visit.say, error), act="off")
    await visit.site.throttle.forgive("code", visit.address, signed_in.owner.email)
    return visit.redirect(PATH, "second_factor_off")


async def _tried(visit: Visit) -> SignedIn:
    """Count a password and a code that are tried, and return by whom."""
    signed_in = _signed_in(visit)
    for purpose in ("password", "code"):
        await visit.site.throttle.admit(purpose, visit.address, signed_in.owner.email)
    return signed_in


def qr(address: str) -> Markup:
    """Return a picture for an authenticator's camera: an SVG without styles or scripts, black on
    white in either colour scheme."""
    made = segno.make_qr(address, error="m")
    return Markup(  # made of numbers only  # noqa: S704
        made.svg_inline(
            border=QUIET_ZONE,
            omitsize=True,
            svgclass="qr",
            lineclass=None,
            dark="#000",
            light="#fff",
        )
    )


def _signed_in(visit: Visit) -> SignedIn:
    if visit.signed_in is None:
        raise NotFound(
            "nobody is signed in: sign-in is switched off here", reason="nobody_signed_in"
        )
    return visit.signed_in
