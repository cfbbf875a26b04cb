"""One request of a person: who it is, in which language, and the answers that a page gives."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from postbell.desk.acting import acting_as
from postbell.desk.devices import device_of, place_of
from postbell.desk.owners import SignedIn
from postbell.errors import NotFound, Overloaded, StorageError
from postbell.records import Account, Owner
from postbell.signals import log
from postbell.text.numerals import whole
from postbell.trail import Actor, ActorKind
from postbell.web import cookies as jar
from postbell.web import words
from postbell.web.cookies import Cookies
from postbell.web.formats import Format
from postbell.web.forms import Form
from postbell.web.site import Site

FACE = "pages"
HTML = "text/html; charset=utf-8"
PART_HEADER = "x-postbell-part"
"""Comes with what a page that stays open fetches for its parts."""

FOREIGN_ENDS = ("//", "/\\")


class Visit:
    """A request with everything a page asks about it.

    *account* is the one it looks at; None on pages that need nobody signed in, and for who
    must set up a second factor first (*must_set_up*).  *secret* is the cookie that its forms are
    bound to.  The form was read before it was asked who is signed in.
    """

    def __init__(
        self,
        site: Site,
        request: Request,
        cookies: Cookies,
        *,
        secret: str,
        signed_in: SignedIn | None = None,
        account: Account | None = None,
        must_set_up: bool = False,
        form: Form | None = None,
    ) -> None:
        self.site = site
        self.request = request
        self.cookies = cookies
        self.secret = secret
        self.signed_in = signed_in
        self._account = account
        self.must_set_up = must_set_up
        self.form = Form(()) if form is None else form
        owner = self.owner
        language = owner.language if owner is not None else ""
        self.say = words.of(words.choose(language, request.headers.get("accept-language", "")))
        zone_name = (owner.time_zone if owner is not None else "") or cookies.zone()
        self.format = Format(self.say, zone_name, site.desk.clock.now())

    @property
    def owner(self) -> Owner | None:
        """Return who is signed in; None for a guest and where sign-in is off."""
        return self.signed_in.owner if self.signed_in is not None else None

    @property
    def is_operator(self) -> bool:
        """Return whether all accounts are open to this visitor."""
        if not self.site.sign_in:
            return True
        return self.owner is not None and self.owner.is_operator

    @property
    def form_token(self) -> str:
        """Return what every form of the visitor carries."""
        return jar.form_token(self.secret)

    @property
    def is_of_another_account(self) -> bool:
        """Return whether the form was made while this browser looked at another account."""
        made_for = self.form.text("at")
        return bool(made_for) and made_for != str(self._account.id if self._account else "")

    @property
    def has_account(self) -> bool:
        return self._account is not None

    @property
    def account(self) -> Account:
        if self._account is None:
            raise NotFound(
                "no account yet; create one with 'postbell accounts create NAME'",
                reason="no_account",
            )
        return self._account

    @property
    def account_id(self) -> int:
        return self.account.id

    @property
    def api_user(self) -> str:
        """Return the name of an api user of the account, for commands to try; "" without any."""
        users = self.site.desk.directory.known.api_users_of(self.account_id)
        return users[0].name if users else ""

    @property
    def path(self) -> str:
        return self.request.url.path

    @property
    def came_from(self) -> str:
        """Return the path of the page that a form was sent from; "" where the browser does not
        say, or names another site."""
        with suppress(ValueError):
            parts = urlsplit(self.request.headers.get("referer", ""))
            if parts.netloc in (self.request.url.netloc, urlsplit(self.base_url).netloc):
                return local_path(parts._replace(scheme="", netloc="", fragment="").geturl())
        return ""

    @property
    def base_url(self) -> str:
        """Return the base URL of this data centre, without a slash at its end."""
        return (self.site.public_url or str(self.request.base_url)).rstrip("/")

    @property
    def address(self) -> str:
        """Return the client's address as the server knows it."""
        return self.request.client.host if self.request.client else ""

    @property
    def actor(self) -> Actor:
        """Return who makes the changes of this request."""
        if self.owner is not None:
            return replace(acting_as(self.owner), address=self.address, face=FACE)
        kind = ActorKind.OPERATOR if self.is_operator else ActorKind.GUEST
        return Actor(kind, address=self.address, face=FACE)

    async def note_look(self) -> None:
        """Keep in the trail where an operator looks into the account; where that cannot be
        written the page is shown all the same, and the next one tries again."""
        if not self.is_operator or not self.has_account:
            return
        session = self.signed_in.session.digest.hex() if self.signed_in is not None else ""
        try:
            await self.site.desk.note_look(self.account_id, session or self.address)
        except (StorageError, Overloaded) as error:
            log("write_failed", error=error.message, what="trail")

    @property
    def device(self) -> str:
        """Return the browser and its system, in words of ours."""
        return device_of(self.request.headers.get("user-agent", ""))

    @property
    def place(self) -> str:
        """Return the client's address as a session shows it."""
        return place_of(self.address)

    @property
    def id(self) -> int:
        """Return the number in the path; raise NotFound for what cannot be one."""
        text = self.name
        number = whole(text)
        if number is None:
            raise NotFound(f"no such page: {text[:40]!r}")
        return number

    @property
    def name(self) -> str:
        """Return the variable part of the path."""
        return str(self.request.path_params["id"])

    def query(self, name: str, default: str = "") -> str:
        """Return one value of the address's query, at most 1000 characters."""
        return self.request.query_params.get(name, default)[:1000].replace("\0", "")

    def render(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return a page; templates get `t`, `f`, `visit`, `site` and *context*."""
        response = Response(self.text(template, **context), status, media_type=HTML)
        if self._done_message():
            self.cookies.drop(response, jar.DONE)
        return response

    def text(self, template: str, **context: Any) -> str:
        """Return a page's text, or a part of one for live updates."""
        common = {
            "t": self.say,
            "f": self.format,
            "visit": self,
            "site": self.site,
            "done": self._done_message(),
        }
        return self.site.pages.render(template, common | context)

    def redirect(self, path: str, done: str = "", *, secret: str = "") -> Response:
        """Send the browser on after a form; *done* names what happened, which the page at *path*
        says once, and no address can make it say.  *secret* is the cookie of who then comes,
        where that is not the present one."""
        response = RedirectResponse(path, 303)
        if done:
            told_at = path.partition("#")[0].partition("?")[0]
            value = jar.done_value(done, told_at, secret or self.secret)
            self.cookies.put(response, jar.DONE, value, max_age_s=jar.DONE_S)
        return response

    def sign_out(self) -> Response:
        """Send the browser to where one signs in, as a guest who has just signed out."""
        guest = jar.new_guest()
        response = self.redirect("/login", "signed_out", secret=guest)
        self.cookies.put(response, jar.GUEST, guest, max_age_s=None)
        self.cookies.drop(response, jar.SESSION)
        response.headers["clear-site-data"] = '"cache"'
        return response

    def _done_message(self) -> str:
        """Return the message of what was just done; what a script fetches for a page that
        is open leaves it for the page that was sent for."""
        if self.request.method != "GET" or PART_HEADER in self.request.headers:
            return ""
        key = jar.done_key(self.cookies.get(jar.DONE), self.path, self.secret)
        return self.say(f"done.{key}") if key else ""


def local_path(path: str) -> str:
    """Return *path* if it leads to a page here, else "/"."""
    is_ours = path.startswith("/") and not path.startswith(FOREIGN_ENDS) and path.isprintable()
    return path if is_ours and "\\" not in path else "/"


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """Return an address with those members of *query* that say something."""
    pairs = [(name, value) for name, value in query.items() if value not in ("", None)]
    return f"{path}?{urlencode(pairs)}" if pairs else path
