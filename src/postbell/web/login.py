"""Signing in, in one step or two, and out; and a new password by e-mail."""

from datetime import timedelta

from starlette.background import BackgroundTask
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from postbell.desk.acting import acts
from postbell.desk.passwords import MIN_CHARS
from postbell.desk.throttle import FAMILIAR_DAYS
from postbell.errors import BadInput, PostbellError, TooMany, Unauthorized
from postbell.ports import HALF_LASTS, RESET_LASTS
from postbell.records import Owner
from postbell.signals import log
from postbell.web import cookies as jar
from postbell.web import keeping, words
from postbell.web.page import SESSION_S, page
from postbell.web.problems import explain
from postbell.web.site import SendMail, Site
from postbell.web.visit import Visit, local_path, with_query

HALF_S = int(HALF_LASTS.total_seconds())
RESET_HOURS = RESET_LASTS // timedelta(hours=1)

CODE_PATH = "/login/code"
RECOVERY = "recovery"
"""The value of `with` in the address of the page that takes recovery codes."""

DEVICE_S = int(FAMILIAR_DAYS * 86_400)


def routes(site: Site) -> list[Route]:
    """Return the routes of signing in and out."""
    return [
        page(site, "/login", is_open=True, GET=_ask, POST=_sign_in),
        page(site, CODE_PATH, is_open=True, GET=_ask_code, POST=_take_code),
        page(site, "/logout", is_open=True, POST=_sign_out),
        page(site, "/forgot", is_open=True, GET=_forgot, POST=_send_link),
        page(site, "/reset/{id}", is_open=True, GET=_choose, POST=_set_password),
    ]


async def _ask(visit: Visit) -> Response:
    if visit.signed_in is not None or not visit.site.sign_in:
        return visit.redirect(local_path(visit.query("next", "/")))
    return _login_page(visit, back=local_path(visit.query("next", "/")))


async def _sign_in(visit: Visit) -> Response:
    if not visit.site.sign_in:
        return visit.redirect("/")
    email, password = visit.form.text("email"), visit.form.raw("password")
    back = local_path(visit.form.text("next", "/"))
    if not email or not password:
        return _login_page(visit, 422, email=email, back=back, error=visit.say("login.missing"))
    throttle, device = visit.site.throttle, visit.cookies.get(jar.DEVICE)
    try:
        friend = await throttle.admit("sign-in", visit.address, email, device)
    except TooMany:
        await visit.site.desk.note_lock(email)
        raise
    try:
        begun = await visit.site.desk.sign_in(
            email,
            password,
            visit.say.language,
            device=visit.device,
            place=visit.place,
            friend=friend,
        )
    except Unauthorized:
        return _login_page(visit, 422, email=email, back=back, error=visit.say("login.wrong"))
    if begun.is_half:
        response: Response = RedirectResponse(_code_path(back), 303)
        if visit.form.raw(keeping.FIELD):
            response = _code_page(visit, begun.owner, back=back)
        visit.cookies.put(response, jar.HALF, begun.token, max_age_s=HALF_S)
        return response
    return await _let_in(visit, begun.token, begun.owner, back)


async def _let_in(visit: Visit, token: str, owner: Owner, back: str) -> Response:
    throttle, device = visit.site.throttle, visit.cookies.get(jar.DEVICE)
    await throttle.forgive("sign-in", visit.address, owner.email, device)
    device = await throttle.welcome(visit.address, owner.email, device)
    kept = visit.form.raw(keeping.FIELD)
    response: Response = RedirectResponse(back, 303)
    if kept:
        response = keeping.give_back(visit, token, back, kept)
    visit.cookies.put(response, jar.DEVICE, device, max_age_s=DEVICE_S)
    visit.cookies.put(response, jar.SESSION, token, max_age_s=SESSION_S)
    visit.cookies.drop(response, jar.GUEST)
    visit.cookies.drop(response, jar.HALF)
    return response


async def _ask_code(visit: Visit) -> Response:
    owner = await visit.site.desk.half_signed_in(visit.cookies.get(jar.HALF))
    back = local_path(visit.query("next", "/"))
    if owner is None or not visit.site.sign_in:
        return visit.redirect(with_query("/login", {"next": "" if back == "/" else back}))
    return _code_page(visit, owner, back=back)


async def _take_code(visit: Visit) -> Response:
    """Finish what the right password began, with a one-time code or a recovery code."""
    desk, token = visit.site.desk, visit.cookies.get(jar.HALF)
    owner = await desk.half_signed_in(token)
    back = local_path(visit.form.text("next", "/"))
    if owner is None:
        return _gone(visit, back)
    await visit.site.throttle.admit("code", visit.address, owner.email)
    try:
        session, owner = await desk.finish_sign_in(
            token, visit.form.text("code"), device=visit.device, place=visit.place
        )
    except BadInput as error:
        return _code_page(visit, owner, 422, back=back, error=explain(visit.say, error))
    except Unauthorized:
        return _gone(visit, back)
    await visit.site.throttle.forgive("code", visit.address, owner.email)
    return await _let_in(visit, session, owner, back)


def _gone(visit: Visit, back: str) -> Response:
    response = _login_page(visit, 422, back=back, error=visit.say("wrong.half_gone"))
    visit.cookies.drop(response, jar.HALF)
    return response


def _code_page(
    visit: Visit, owner: Owner, status: int = 200, *, back: str, error: str = ""
) -> Response:
    is_recovery = visit.query("with") == RECOVERY
    return visit.render(
        "code.html",
        status,
        email=owner.email,
        back=back,
        error=error,
        is_recovery=is_recovery,
        action=_code_path("/", RECOVERY if is_recovery else ""),
        other=_code_path(back, "" if is_recovery else RECOVERY),
        kept=visit.form.raw(keeping.FIELD),
    )


def _code_path(back: str, way: str = "") -> str:
    return with_query(CODE_PATH, {"with": way, "next": "" if back == "/" else back})


def _login_page(
    visit: Visit, status: int = 200, *, email: str = "", back: str = "/", error: str = ""
) -> Response:
    kept = visit.form.raw(keeping.FIELD)
    return visit.render("login.html", status, email=email, back=back, error=error, kept=kept)


async def _sign_out(visit: Visit) -> Response:
    token = visit.cookies.get(jar.SESSION)
    if token:
        await visit.site.desk.sign_out(token)
    return visit.sign_out()


async def _forgot(visit: Visit) -> Response:
    return visit.render("forgot.html", sent=False, can_mail=visit.site.can_mail_links)


async def _send_link(visit: Visit) -> Response:
    """Answer alike for known and unknown addresses: who signs in here is nobody's business."""
    send_mail = visit.site.send_mail
    if send_mail is None or not visit.site.can_mail_links:
        return await _forgot(visit)
    email = visit.form.text("email")
    device = visit.cookies.get(jar.DEVICE)
    await visit.site.throttle.admit("reset", visit.address, email, device)
    response = visit.render("forgot.html", sent=True, can_mail=True)
    response.background = BackgroundTask(_mail, visit, send_mail, email)
    return response


async def _mail(visit: Visit, send_mail: SendMail, email: str) -> None:
    """Look for the address, note the link and send it, all after the answer: neither its time
    nor its words tell anything about an address."""
    try:
        with acts(visit.actor):
            begun = await visit.site.desk.begin_reset(email)
        if begun is None:
            return
        token, owner = begun
        say = words.of(owner.spoken or visit.say.language)
        link = f"{visit.base_url}/reset/{token}"
        text = say("reset.mail", link=link, hours=RESET_HOURS, host=visit.base_url)
        await send_mail(owner.email, say("reset.subject"), text)
    except PostbellError as error:
        log("reset_mail_failed", error=error.message)


async def _choose(visit: Visit) -> Response:
    return visit.render("reset.html", min_chars=MIN_CHARS, error="")


async def _set_password(visit: Visit) -> Response:
    throttle, device = visit.site.throttle, visit.cookies.get(jar.DEVICE)
    await throttle.admit("reset-use", visit.address, visit.name[:20])
    try:
        owner = await visit.site.desk.finish_reset(visit.name, visit.form.raw("password"))
    except BadInput as error:
        return visit.render("reset.html", 422, min_chars=MIN_CHARS, error=explain(visit.say, error))
    except Unauthorized:
        return visit.render("reset.html", 422, min_chars=MIN_CHARS, error=visit.say("reset.used"))
    device = await throttle.welcome(visit.address, owner.email, device)
    response = visit.redirect("/login", "password_set")
    visit.cookies.put(response, jar.DEVICE, device, max_age_s=DEVICE_S)
    return response
