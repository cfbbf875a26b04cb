"""A real service with something of everything, and requests that are held open before it."""

import asyncio
import re
import socket
import sqlite3
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from postbell.cli.office import opened as office
from postbell.clock import SystemClock
from postbell.ports import SourceState
from postbell.settings.members import Settings
from tests.cli.running import Postbell
from tests.reports.test_sources import quarantined
from tests.rights.writes import (
    EVENT,
    FORM,
    NEW_PASSWORD,
    PASSWORD,
    V2,
    Write,
    filled,
)
from tests.web.walking import serving

ADA, BOB, OPAL, PEARL = (
    "ada@example.com",
    "bob@example.com",
    "opal@example.com",
    "pearl@example.com",
)
ANNA = ("anna", "pb_annaQ0s7Zr2mVnW8yLcTe1uGfHjKdPaBi")
ALICE = ("alice", "pb_aliceQ0s7Zr2mVnW8yLcTe1uGfHjKdPaB")
LIMIT_S = 30.0
SUPPRESSED = ("gone@example.net", "left@example.net")
"""The first is for keys, the second for pages."""
VOLATILE = {"meta", "heads", "tries", "answers", "familiar", "sqlite_sequence", "sqlite_stat1",
            "processes", "leases"}  # fmt: skip
"""What a refused request may move (counts of tries, and caches), and what moves by itself."""
LOOKS = ("account.viewed", "owner.refused")
"""What the trail keeps of who changed nothing."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    location: str
    text: str


class Held:
    """A request whose head the service took, and whose body it waits for."""

    def __init__(
        self, base_url: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        where = urlsplit(base_url)
        self._sock = socket.create_connection((where.hostname or "", where.port or 0), LIMIT_S)
        self._method = method
        self._body = body
        lines = [f"{method} {path} HTTP/1.1", f"Host: {where.netloc}", "Expect: 100-continue"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        self._sock.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = self._sock.recv(65536)
            assert part, f"{method} {path}: closed before its body was asked for: {head!r}"
            head += part
        assert head.startswith(b"HTTP/1.1 100 "), f"{method} {path}: {head[:300]!r}"

    def close(self) -> None:
        """Leave."""
        self._sock.close()

    def finish(self) -> Answer:
        """Send the body and return the answer."""
        with self._sock:
            self._sock.sendall(self._body)
            response = HTTPResponse(self._sock, method=self._method)
            response.begin()
            text = response.read().decode("utf-8", "replace")
            return Answer(response.status, response.getheader("location") or "", text)


class Visitor:
    """Somebody who is signed in."""

    def __init__(self, base_url: str, email: str, password: str = PASSWORD) -> None:
        self.client = httpx.Client(base_url=base_url, timeout=LIMIT_S)
        self.email = email
        done = self.post("/login", "/login", email=email, password=password)
        assert (done.status_code, done.headers["location"]) == (303, "/"), done.text

    def close(self) -> None:
        """Leave; the session stays open."""
        self.client.close()

    def token(self, path: str = "/settings/account") -> str:
        """Return the token of a form of this page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.client.get(path).text)
        assert found, path
        return found[1]

    def post(self, page: str, path: str, **fields: str) -> httpx.Response:
        """Send a form that stands on *page*."""
        return self.client.post(path, data={"csrf": self.token(page), **fields})

    @property
    def cookies(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)


class World:
    """Account acme: ada and bob, the keys alice, anna and spare, webhooks of every face, a batch;
    the operators opal and pearl."""

    def __init__(self, postbell: Postbell, base_url: str, closed_port: int) -> None:
        self.postbell = postbell
        self.base_url = base_url
        self.api = httpx.Client(base_url=base_url, auth=ALICE, timeout=LIMIT_S)
        self.other = httpx.Client(base_url=base_url, auth=ANNA, timeout=LIMIT_S)
        self.known: dict[str, Any] = {"key": ALICE[1], "account": 1, "colleague": 1}
        self.known["dead"] = f"http://127.0.0.1:{closed_port}"
        self._open: list[Held | Visitor] = []
        self._fill()

    def _fill(self) -> None:
        self.known["suppressed"] = SUPPRESSED[0]
        ends_at = time.monotonic() + LIMIT_S
        while len(self._got("/api/v1/feed?types=suppressed", "events")) < len(SUPPRESSED):
            assert time.monotonic() < ends_at, "the suppressed addresses were not told"
            time.sleep(0.02)  # before there is a webhook that would hear of them
        users = self._got("/api/v1/api-users", "api_users")
        self.known |= {f"of {user['name']}": user["id"] for user in users}
        self.known["user"] = self.known["of spare"]
        self.known["other_user"] = self.known["of other"]
        self.known["user_key"] = next(u["keys"][0]["id"] for u in users if u["name"] == "spare")
        self.known["one_key"] = next(u["keys"][0]["id"] for u in users if u["name"] == "third")
        members = {
            "url": f"{self.known['dead']}/hook",
            "policy": {"retry_waits_s": [3600], "max_wait_s": 0},
        }
        for hook, kind, *names in (  # two of a type of its own: a third would be tried by a clock
            ("webhook", "delivered", "batch", "second"),
            ("webhook_2", "hard_bounce", "third", "fourth"),
            ("webhook_3", "soft_bounce", "fifth", "sixth"),
        ):
            self.known[hook] = self._made("/api/v1/webhooks", members | {"types": [kind]})["id"]
            batches: dict[str, str] = {}
            for name in names:
                event = EVENT | {"type": kind}
                named = {"recipient": f"{name}@example.net", "event_id": f"of-{name}"}
                self._made("/api/v1/events", [event, event | named])
                batches[name] = self._batch(self.known[hook], set(batches.values()))
            self.known |= batches
        more: Mapping[str, Any]
        for name, more in (
            ("spare", {}),
            ("other", {}),
            ("resting", {}),
            ("engagelab", {"dialect": "engagelab"}),
            ("sendpulse", {"dialect": "sendpulse-bulk", "types": ["open"]}),
        ):
            self.known[name] = self._made("/api/v1/webhooks", members | more)["id"]
        resting = self.known["resting"]
        self._made(f"/api/v1/webhooks/{resting}/pause", {})
        self.known["replay"] = self._made("/api/v1/replays", {"webhook_id": resting})["id"]
        asyncio.run(self._refuse())
        self._token = ""

    async def _refuse(self) -> None:
        """Leave a source that does not run, with three facts in quarantine."""
        self.known |= {"source": "mail", "fact": 3}
        settings = Settings(data_dir=Path(self.postbell.folder))
        async with office(settings) as opened:
            stopped = {"state": SourceState.STOPPED}
            raws = (b"one", b"two", b"three")
            await quarantined(opened.engine, SystemClock(), *raws, **stopped)

    def _batch(self, webhook_id: int, but: set[Any]) -> str:
        """Return a batch of a webhook that failed once and waits an hour for its next try."""
        ends_at = time.monotonic() + LIMIT_S
        while time.monotonic() < ends_at:
            found = self._got(f"/api/v1/batches?webhook_id={webhook_id}", "batches")
            for batch in found:
                if batch["attempts"] and batch["id"] not in but and batch["events"] == 2:
                    return str(batch["id"])
            time.sleep(0.02)
        raise AssertionError(f"no batch was tried within {LIMIT_S} s")

    def _got(self, path: str, name: str) -> list[dict[str, Any]]:
        response = self.api.get(path)
        assert response.status_code == 200, response.text
        rows: list[dict[str, Any]] = response.json()[name]
        return rows

    def _made(self, path: str, body: Any) -> dict[str, Any]:
        response = self.api.post(path, json=body)
        assert response.status_code in (200, 201, 202), response.text
        made: dict[str, Any] = response.json()
        return made

    def token(self) -> str:
        """Return a bearer token of alice's."""
        if not self._token:
            grant = {"grant_type": "client_credentials", "client_id": ALICE[0]}
            made = self._made("/oauth/access_token", grant | {"client_secret": ALICE[1]})
            self._token = made["access_token"]
        return self._token

    def headers(self, write: Write) -> dict[str, str]:
        """Return the headers of a request with alice's key."""
        basic = b64encode(":".join(ALICE).encode()).decode()
        is_bearer = write.path.startswith(V2)
        authorization = f"Bearer {self.token()}" if is_bearer else f"Basic {basic}"
        return {"Authorization": authorization, "Content-Type": write.type}

    def hold(self, write: Write) -> Held:
        """Hold a request with alice's key."""
        path, body = filled(write, self.known)
        return self.held(write.method, path, self.headers(write), body)

    def visitor(self, email: str, password: str = PASSWORD) -> Visitor:
        """Return somebody who signs in."""
        self._open.append(visitor := Visitor(self.base_url, email, password))
        return visitor

    def held(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Held:
        """Hold any request."""
        self._open.append(request := Held(self.base_url, method, path, headers, body))
        return request

    def close(self) -> None:
        """Let go of what is still open."""
        self.api.close()
        self.other.close()
        for each in self._open:
            each.close()

    def form(self, write: Write, visitor: Visitor) -> tuple[str, bytes]:
        """Return path and fields of a form, its names filled in."""
        if "session" not in self.known:
            self.known["session"] = self._session_of(visitor)
        return filled(write, self.known)

    def hold_form(self, write: Write, visitor: Visitor) -> Held:
        """Hold a form of somebody who is signed in."""
        path, fields = self.form(write, visitor)
        body = f"csrf={visitor.token()}&".encode() + fields
        headers = {"Cookie": visitor.cookies, "Content-Type": FORM}
        return self.held(write.method, path, headers, body)

    def _session_of(self, visitor: Visitor) -> str:
        """Return the id of a further session of a visitor, which can be ended from afar."""
        self.visitor(visitor.email)
        page = visitor.client.get("/settings/account/sessions").text
        ids = re.findall(r'action="/settings/account/sessions/([^/"]+)/end"', page)
        return next(each for each in ids if each != "all")

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of the database that a request could have written."""
        file = Path(self.postbell.folder) / "postbell.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            names = [
                name
                for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if name not in VOLATILE and not name.startswith("index_")
            ]
            return {name: _rows(db, name) for name in names}


def _rows(db: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    kept = [c for c in columns if c not in ("seen_at", "lease_until", "lease_owner", "used_at")]
    where = "" if table != "trail" else f" WHERE action NOT IN {LOOKS}"
    return sorted(db.execute(f"SELECT {', '.join(kept)} FROM {table}{where}").fetchall(), key=repr)


async def _founded(folder: Path) -> None:
    """Make the account with its people and keys, as commands would."""
    settings = Settings(data_dir=folder)
    async with office(settings, may_create=True) as found:
        desk = found.desk
        acme = await desk.create_account("acme")
        for email, is_operator in ((BOB, False), (ADA, False), (OPAL, True), (PEARL, True)):
            await desk.create_owner(acme.id, email, PASSWORD, is_operator=is_operator)
        for name, key in (ALICE, ANNA, ("spare", ANNA[1]), ("other", ANNA[1]), ("third", ANNA[1])):
            await desk.create_api_user("acme", name, key)
        for address in SUPPRESSED:
            await desk.add_suppression(acme.id, {"address": address})


@contextmanager
def opened(folder: Path) -> Iterator[World]:
    """Give a world of its own."""
    asyncio.run(_founded(folder))
    postbell = Postbell(folder)
    with serving(postbell) as base_url, closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        with closing(World(postbell, base_url, nobody.getsockname()[1])) as world:
            yield world


__all__ = [
    "ADA",
    "ALICE",
    "ANNA",
    "BOB",
    "NEW_PASSWORD",
    "OPAL",
    "Held",
    "Visitor",
    "World",
    "opened",
]
