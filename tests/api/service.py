"""A whole service in one process: memory engine, real guard and dialects, scripted receivers."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
from cryptography.fernet import Fernet

from postbell import api
from postbell.desk import Desk
from postbell.dialects import DIALECTS, sendpulse_api
from postbell.dialects.engagelab.routes import routes
from postbell.directory import Directory
from postbell.index.indexer import Indexer
from postbell.ingest.ingest import Ingest
from postbell.ports import Engine, Request
from postbell.records import Account, Outcome
from postbell.reports import Reports
from postbell.sealing import Sealer
from postbell.serving.server import address_of, bind, serving
from postbell.settings.values import Address
from postbell.storage.memory import MemoryEngine
from postbell.verp import Tracer
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from tests.fakes import KEY, FakeClock

TRACER = Tracer([b"k" * 32])
SEALER = Sealer([Fernet.generate_key().decode()], "a test")
ALICE = ("alice", KEY)
BOB = ("bob", KEY)
URL = "https://hooks.example.com/in"


def basic(user: str, key: str = KEY) -> str:
    """Return the value of an Authorization header."""
    return "Basic " + b64encode(f"{user}:{key}".encode()).decode()


class ScriptedReceivers:
    """Answers every request as a test says, 200 unless told otherwise; keeps what it got."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Outcome] = lambda _: Outcome(status=200)
        self.got: list[Request] = []

    async def send(self, request: Request) -> Outcome:
        self.got.append(request)
        return self.answer(request)

    async def close(self) -> None:
        """Nothing to close."""


class Service:
    """Two accounts, `acme` with the api users alice and anna, `beta` with bob."""

    def __init__(self, clock: FakeClock, engine: Any) -> None:
        self.clock = clock
        self.engine = engine
        self.directory = Directory(engine.registry)
        self.receivers = ScriptedReceivers()
        self.ingest = Ingest(engine, clock, self.directory)
        self.indexer = Indexer(engine, clock)
        self.reports = Reports(engine, DIALECTS, self.directory, clock)
        self.desk: Desk
        self.app: Any
        self.client: httpx.AsyncClient
        self.accounts: dict[str, Account] = {}

    async def open(self, desk: dict[str, Any], app: dict[str, Any], face: dict[str, Any]) -> None:
        guard = Guard((), Resolver(_nowhere, clock=self.clock))
        self.desk = Desk(
            self.engine,
            DIALECTS,
            guard,
            self.clock,
            self.directory,
            sender=self.receivers,
            **desk,
        )
        dialect_routes = [
            *routes(self.desk, self.reports, **face),
            *sendpulse_api.routes(self.desk, self.reports, SEALER),
        ]
        self.app = api.build(
            self.desk,
            self.reports,
            self.ingest,
            app.pop("engine", self.engine),
            dialect_routes=dialect_routes,
            tracer=TRACER,
            **app,
        )
        for account, users in (("acme", ("alice", "anna")), ("beta", ("bob",))):
            self.accounts[account] = await self.desk.create_account(account)
            for user in users:
                await self.desk.create_api_user(account, user, KEY)
        await self.ingest.start()

    @property
    def acme(self) -> int:
        return self.accounts["acme"].id

    async def call(
        self, method: str, path: str, *, user: str | None = "alice", **options: Any
    ) -> httpx.Response:
        """Make a request as *user*, without credentials for None."""
        headers = dict(options.pop("headers", {}))
        if user is not None and "authorization" not in headers:
            is_bearer = path.startswith("/v2/")
            headers["authorization"] = (
                f"Bearer {await self.token(user)}" if is_bearer else basic(user)
            )
        return await self.client.request(method, path, headers=headers, **options)

    async def token(self, user: str = "alice") -> str:
        """Return a bearer token of SendPulse's API."""
        pair = {"client_id": user, "client_secret": KEY}
        response = await self.client.post(
            "/oauth/access_token", json={"grant_type": "client_credentials", **pair}
        )
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def webhook(self, user: str = "alice", **members: Any) -> dict[str, Any]:
        """Create a webhook through the native API."""
        response = await self.call(
            "POST", "/api/v1/webhooks", user=user, json={"url": URL, **members}
        )
        assert response.status_code == 201, response.text
        view: dict[str, Any] = response.json()
        return view

    async def index(self) -> None:
        """Let the search index read all that there is."""
        await self.indexer.catch_up()

    async def events(self, *types: str, user: str = "alice") -> None:
        """Ingest one event of each type."""
        body = [{"type": each, "recipient": "ada@example.net"} for each in types]
        response = await self.call("POST", "/api/v1/events", user=user, json=body)
        assert response.json()["accepted"] == len(types), response.text


@asynccontextmanager
async def running(
    clock: FakeClock | None = None,
    *,
    engine: Engine | None = None,
    desk: dict[str, Any] | None = None,
    app: dict[str, Any] | None = None,
    face: dict[str, Any] | None = None,
) -> AsyncIterator[Service]:
    """Give a service whose ingest runs; requests reach the application without a socket.

    Its storage is in memory where no *engine* is given.
    """
    clock = clock or FakeClock()
    service = Service(clock, engine or MemoryEngine(clock))
    await service.open(desk or {}, app or {}, face or {})
    async with asyncio.TaskGroup() as tasks:
        committing = tasks.create_task(service.ingest.run())
        transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://postbell") as client:
            service.client = client
            yield service
        committing.cancel()


@asynccontextmanager
async def listening(service: Service) -> AsyncIterator[str]:
    """Serve it with the real server on a free port of loopback; gives the base URL."""
    with closing(bind(Address("127.0.0.1", 0))) as sock:
        sock.listen()
        async with serving(service.app, sock, shutdown_s=1):
            yield f"http://{address_of(sock)}"


def _nowhere(name: str) -> list[str]:
    raise OSError(f"{name} does not resolve")
