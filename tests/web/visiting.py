"""A person with a browser without scripts, in front of a service in this process."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx
from argon2 import PasswordHasher
from starlette.applications import Starlette

from postbell.desk.passwords import Passwords
from postbell.ports import Engine
from postbell.web import Site, routes
from postbell.web.pages import Pages
from tests.api.service import Service, running
from tests.fakes import FakeClock

ADA, BOB, OPAL = "ada@acme.example", "bob@beta.example", "opal@operator.example"
PASSWORD = "correct horse battery"
FAST = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
PAGES = Pages()


class Browser:
    """Follows redirects, keeps cookies, fills the token of the last page into forms."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page: httpx.Response

    async def get(self, path: str, **options: Any) -> str:
        """Open a page and return its text, entities resolved."""
        self.page = await self.client.get(path, follow_redirects=True, **options)
        return self.text

    @property
    def text(self) -> str:
        return unescape(self.page.text)

    @property
    def status(self) -> int:
        return self.page.status_code

    @property
    def path(self) -> str:
        return self.page.url.raw_path.decode()

    @property
    def token(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.page.text)
        assert found, "the page has no form"
        return found[1]

    async def send(self, path: str, **fields: Any) -> str:
        """Send a form of the page that is open, and return the text of what comes next."""
        fields = {name.replace("__", "."): value for name, value in fields.items()}
        self.page = await self.client.post(
            path, data={"csrf": self.token, **fields}, follow_redirects=True
        )
        return self.text

    async def sign_in(self, email: str = ADA, password: str = PASSWORD) -> str:
        await self.get("/login")
        return await self.send("/login", email=email, password=password)


Open = Callable[[], Awaitable[Browser]]


class House:
    """A service with pages: ada signs in to acme, bob to beta, opal is an operator of beta."""

    def __init__(self, service: Service, site: Site, app: Starlette, base_url: str) -> None:
        self.service = service
        self.site = site
        self.app = app
        self.base_url = base_url
        self.mails: list[tuple[str, str, str]] = []

    def browser(self, **options: Any) -> Browser:
        """Return a browser without cookies."""
        transport = httpx.ASGITransport(
            self.app, client=(options.pop("address", "198.51.100.7"), 40_000)
        )
        return Browser(httpx.AsyncClient(transport=transport, base_url=self.base_url, **options))

    async def visitor(self, email: str = ADA) -> Browser:
        """Return the browser of somebody who has signed in."""
        browser = self.browser()
        await browser.sign_in(email)
        assert browser.status == 200
        return browser


@asynccontextmanager
async def open_house(
    *,
    base_url: str = "http://postbell",
    can_mail: bool = False,
    engine: Engine | None = None,
    **site: Any,
) -> AsyncIterator[House]:
    """Give a house, with storage in memory where no *engine* is given; *site* are members of
    `Site`."""
    clock = FakeClock()
    async with running(clock, engine=engine, desk={"passwords": FAST}) as service:
        for account, email in (("acme", ADA), ("beta", BOB)):
            await service.desk.create_owner(service.accounts[account].id, email, PASSWORD)
        beta = service.accounts["beta"].id
        await service.desk.create_owner(beta, OPAL, PASSWORD, is_operator=True)
        mails: list[tuple[str, str, str]] = []

        async def send_mail(to: str, subject: str, text: str) -> None:
            mails.append((to, subject, text))

        made = Site(
            desk=service.desk,
            reports=service.reports,
            pages=PAGES,
            send_mail=send_mail if can_mail else None,
            **site,
        )
        house = House(service, made, Starlette(routes=routes(made)), base_url)
        house.mails = mails
        yield house
