"""One page's path: who may see it, that its forms are its own, and how errors look.

What every answer carries against tricks of other sites stands here, too.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from postbell.desk.acting import acts
from postbell.desk.owners import ABSOLUTE_DAYS, SignedIn
from postbell.directory import Known
from postbell.errors import NotFound, Overloaded, PostbellError, ServiceError, UsageError
from postbell.holding import claim
from postbell.records import Account
from postbell.serving.arriving import misdirected
from postbell.signals import tell
from postbell.text.numerals import whole
from postbell.warrants import SessionWarrant, under
from postbell.web import cookies as jar
from postbell.web import forms, keeping
from postbell.web.cookies import Cookies
from postbell.web.forms import Form
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.visit import Visit, with_query

Handler = Callable[[Visit], Awaitable[Response]]

SESSION_S = int(timedelta(days=ABSOLUTE_DAYS).total_seconds())
SECURITY_HEADERS = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
TEXT = "text/plain; charset=utf-8"
HSTS = "max-age=31536000"
SET_UP_PATH = "/settings/account/second-factor"


class PageRoute:
    """Serves one path; *handlers* are by method.

    *is_open* pages need nobody signed in; *leads_in* ones are what somebody who must set up a
    second factor first may see, and nothing else is.  *again* shows a form as typed that came
    after its session had ended; without it the page itself is shown, and says that nothing was
    done.
    """

    def __init__(
        self,
        site: Site,
        handlers: Mapping[str, Handler],
        *,
        is_open: bool = False,
        operator: bool = False,
        leads_in: bool = False,
        again: Handler | None = None,
    ) -> None:
        self._site = site
        self._handlers = handlers
        self._is_open = is_open
        self._operator = operator
        self._leads_in = leads_in
        self._again = again or self._not_done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self.answer(request)
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Return the page, with what every answer carries."""
        cookies = self._cookies(request)
        return self._dressed(await self._answer(request, cookies), cookies)

    async def refuse(self, request: Request, error: PostbellError) -> Response:
        """Return the page that says what is wrong, without a look at who asks."""
        cookies = self._cookies(request)
        visit = Visit(self._site, request, cookies, secret=jar.new_guest())
        return self._dressed(error_page(visit, error), cookies)

    def _cookies(self, request: Request) -> Cookies:
        is_secure = request.url.scheme == "https" or self._site.public_url.startswith("https:")
        return Cookies(request, is_secure=is_secure)

    def _dressed(self, response: Response, cookies: Cookies) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("cache-control", "no-store")
        if cookies.is_secure:
            response.headers["strict-transport-security"] = HSTS
        return response

    async def _answer(self, request: Request, cookies: Cookies) -> Response:
        """Read everything that was sent, then find out who sent it, then act in one go.

        Who is nobody is turned away before he can upload a form; that look counts for nothing
        after it.
        """
        guest = cookies.get(jar.GUEST)
        fresh = "" if guest else jar.new_guest()
        visit = Visit(self._site, request, cookies, secret=guest or fresh)
        form = Form(())
        try:
            self._check_host(request)
            response = None
            if request.method == "POST":
                visit = await self._visit(request, cookies, guest or fresh, form)
                response = self._turned_away(visit)
                is_late = self._had_ended(visit) and response is not None
                if response is None or is_late:
                    sent_as = request.headers.get("content-type", "")
                    form = await forms.read(request.receive, sent_as)
                if is_late and keeping.is_of_ended_session(visit, form):
                    response = keeping.ask(visit, form)
            if response is None:
                visit = await self._visit(request, cookies, guest or fresh, form)
                response = self._turned_away(visit)
                if response is None:
                    with acts(visit.actor):
                        response = await self._act(visit)
        except forms.BrowserGone:
            return Response(status_code=400)
        except PostbellError as error:
            response = error_page(visit, error)
        if visit.secret == fresh:
            cookies.put(response, jar.GUEST, fresh, max_age_s=None)
        return response

    async def _visit(self, request: Request, cookies: Cookies, guest: str, form: Form) -> Visit:
        """Return the visit of whoever is signed in now."""
        token = cookies.get(jar.SESSION)
        signed_in = None
        if self._site.sign_in:
            place = Visit(self._site, request, cookies, secret=guest).place
            signed_in = await self._site.desk.signed_in(token, place)
        must_set_up = await self._must_set_up(signed_in)
        visit = Visit(
            self._site,
            request,
            cookies,
            secret=guest if signed_in is None else token,
            signed_in=signed_in,
            account=None if must_set_up else await self._account(cookies, signed_in),
            must_set_up=must_set_up,
            form=form,
        )
        if visit.has_account:
            claim(visit.account_id)
            tell(account=visit.account.name)
        return visit

    def _turned_away(self, visit: Visit) -> Response | None:
        """Return the answer to who may not come here, None for who may."""
        method = "GET" if visit.request.method == "HEAD" else visit.request.method
        if method not in self._handlers:
            return Response("", 405, {"allow": ", ".join(self._handlers)})
        if self._site.sign_in and visit.signed_in is None and not self._is_open:
            query = visit.request.url.query
            back = visit.path + (f"?{query}" if query else "") if method == "GET" else ""
            return visit.redirect(with_query("/login", {"next": "" if back == "/" else back}))
        if visit.must_set_up and not (self._leads_in or self._is_open):
            return visit.redirect(SET_UP_PATH)
        if self._operator and not visit.is_operator:
            raise NotFound("no such page")
        return None

    def _had_ended(self, visit: Visit) -> bool:
        """Return whether the browser had a session, and sends a form that this page takes."""
        is_lost = visit.signed_in is None and bool(visit.cookies.get(jar.SESSION))
        return is_lost and not self._is_open and "POST" in self._handlers

    async def _act(self, visit: Visit) -> Response:
        """Do what the whole request asks for, under the right of who was signed in when all of
        it had been read; what is written is written while it holds, or not at all."""
        method = "GET" if visit.request.method == "HEAD" else visit.request.method
        if method == "POST":
            if not jar.is_form_token(visit.form.raw("csrf"), visit.secret):
                return error_page(visit, _Stale("the form is too old, or came from another site"))
            if not (self._is_open or self._operator) and visit.is_of_another_account:
                return error_page(visit, _Stale("the form is of another account"))
        warrant = None
        if visit.signed_in is not None and not self._is_open:
            session, account = visit.signed_in.session, visit.signed_in.account
            warrant = SessionWarrant(session.digest, account.id, self._operator)
        with under(warrant):
            if method == "GET" and not self._is_open and not self._operator:
                await visit.note_look()
            if method == "POST" and visit.form.has(keeping.AGAIN):
                return await self._again(visit)
            return await self._handlers[method](visit)

    async def _not_done(self, visit: Visit) -> Response:
        """Send the browser to the page that has the button, which says that nothing was done."""
        shown = await self._handlers["GET"](visit) if "GET" in self._handlers else None
        place = shown.headers.get("location", visit.path) if shown is not None else "/"
        return visit.redirect(place, "nothing")

    async def _must_set_up(self, signed_in: SignedIn | None) -> bool:
        """Return whether the visitor must have a second factor and has none."""
        if signed_in is None or not self._site.demands_second_factor(signed_in.owner):
            return False
        return not await self._site.desk.has_second_factor(signed_in.owner.id)

    def _check_host(self, request: Request) -> None:
        """Raise Misdirected where a foreign name leads here and only ours are answered to."""
        hosts = self._site.guarded_hosts
        if hosts is not None and (name := hosts.foreign(request.scope["headers"])):
            raise misdirected(name)

    async def _account(self, cookies: Cookies, signed_in: SignedIn | None) -> Account | None:
        """Return the account to look at; without sign-in the chosen one, else the first."""
        if signed_in is not None:
            return signed_in.account
        if self._site.sign_in:
            return None
        directory, chosen = self._site.desk.directory, whole(cookies.get(jar.ACCOUNT)) or 0
        account = await directory.find(lambda known: known.accounts.get(chosen)) if chosen else None
        return account or await directory.find(_first)


def _first(known: Known) -> Account | None:
    return known.accounts[min(known.accounts)] if known.accounts else None


class _Stale(UsageError):
    code = "stale_form"
    status = 403


def page(
    site: Site,
    path: str,
    *,
    is_open: bool = False,
    operator: bool = False,
    leads_in: bool = False,
    again: Handler | None = None,
    **handlers: Handler,
) -> Route:
    """Return the route of a page with a handler for each method (GET, POST)."""
    served = PageRoute(
        site, handlers, is_open=is_open, operator=operator, leads_in=leads_in, again=again
    )
    return Route(path, served)


def lost_page(site: Site) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers a browser under a path that there is not, in the visitor's language."""

    async def nothing(_visit: Visit) -> Response:
        raise NotFound("no such page")

    return PageRoute(site, {"GET": nothing}, is_open=True).answer


def refused_page(site: Site) -> Callable[[Request, PostbellError], Awaitable[Response]]:
    """Return what answers a form that is refused before any page sees it."""
    return PageRoute(site, {}, is_open=True).refuse


def error_page(visit: Visit, error: PostbellError) -> Response:
    """Return the page that says what went wrong and what to do.

    Where too much comes at once, strangers get its sentence only: a page costs as much as all the
    rest of their request.
    """
    tell(code=error.code)
    if isinstance(error, Overloaded) and visit.signed_in is None:
        wait = {"retry-after": str(error.retry_after_s)}
        return Response(explain(visit.say, error), error.status, wait, media_type=TEXT)
    key = f"problem.{error.code}"
    title = visit.say(key) if visit.say.has(key) else visit.say("problem.other")
    response = visit.render(
        "error.html",
        error.status,
        title=title,
        shown_status=error.status,
        text=explain(visit.say, error),
        is_ours=isinstance(error, ServiceError),
        came_from=visit.came_from if visit.request.method == "POST" else "",
    )
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        response.headers["retry-after"] = str(retry_after_s)
    return response
