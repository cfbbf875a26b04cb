"""No value of a header, a query, a path or a form makes the real service answer 500."""

import base64
import contextlib
import http.client
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.app.test_routes import served as routes_of
from tests.app.test_routes import wired
from tests.serving.raw import Served, served

ROUNDS = 1_500
VALUES = (
    "\u00b2", "\u00bd", "\u0663", "\u2460", "9" * 400, "9" * 19, "18446744073709551616", "-1", "0",
    "1", "+1", "1_0", "0x1", "1e999", "1e308", "1.5.", "nan", "inf", "-inf", "\0", "\x80\xff",
    "\ud800", "\u202e", "\U0001f98a" * 40, "%", "%s", "%ZZ", "{}", "[", "(", "\\", "'", '"', ";",
    ",", "=", "../../../etc/passwd", "/", "//", "all", "none", "*", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2026-02-30", "24:00", "Europe/../Europe/Paris", "Europe",
    "en;q=\u00b2", "en;q=1e999", "en;q=nan", "q=-1", "gzip;q=\u0663", "bytes=0-\u00b2", '"x', "W/",
    "Basic", "Basic !", "Basic gA==", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Bearer",
    "Bearer \u00e9", "for=\u00b2", 'for="[::1"', "[::1", "a:99999", "2xx", "1,1", "1..2",
    "x" * 5000,
)  # fmt: skip
HEADERS = (
    "accept", "accept-encoding", "accept-language", "authorization", "content-encoding",
    "content-type", "forwarded", "idempotency-key", "if-match", "if-modified-since",
    "if-none-match", "last-event-id", "origin", "prefer", "range", "referer", "sec-fetch-site",
    "traceparent", "tracestate", "user-agent", "x-forwarded-for", "x-forwarded-host",
    "x-forwarded-proto", "x-request-id",
)  # fmt: skip
ENDLESS = ("/live",)
COOKIES = ("session", "guest", "device", "half", "zone", "account", "language")
NAMES = {
    "account", "account_id", "after", "api_user", "atomic", "before", "cursor", "days", "dialect",
    "done", "event", "event_id", "finished", "from", "hours", "id", "kind", "lang", "limit", "next",
    "offset", "page", "q", "range", "recipient", "replay", "running", "since", "sort", "state",
    "status", "to", "token", "type", "types", "until", "url", "wait", "webhook", "webhook_id",
    "zone",
}  # fmt: skip
"""Of queries and forms; those in pages come on top."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    flags = ("--sign-in", "false", "--trusted-proxies", "127.0.0.0/8", "--http-idle-s", "60")
    with served(tmp_path_factory.mktemp("values"), *flags) as found:
        with found.connect() as client:
            for _ in range(3):
                client.send(found.post())
                assert client.answer().status == 202
            hook = b'{"url": "http://127.0.0.1:8089/in", "policy": {"max_wait_s": 0}}'
            client.send(found.post(path=b"/api/v1/webhooks", body=hook))
            assert client.answer().status == 201
        yield found


class Asking:
    """Asks one thing after the other over a kept connection, as a browser or with a key."""

    def __init__(self, service: Served) -> None:
        self.authorization = service.authorization.decode()
        self._line = http.client.HTTPConnection(service.host, service.port, timeout=30)
        status, text, headers = self("GET", "/webhooks/new", {})
        found = re.search(rb'name="csrf" value="(\w+)"', text)
        assert (status, found is not None) == (200, True)
        self.csrf = found[1].decode()  # type: ignore[index]  # asserted
        self.guest = headers["set-cookie"].partition(";")[0]
        self.names = set(NAMES)
        for path in ("/webhooks/new", "/", "/batches", "/events", "/settings/account/password"):
            self.names |= set(re.findall(r'name="(\w+)"', self("GET", path, {})[1].decode()))
        self.names -= {"csrf", "viewport"}

    def close(self) -> None:
        self._line.close()

    def __call__(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers; a head that http.client will not write is written."""
        line = self._line
        line.putrequest(method, path, skip_accept_encoding=True)
        if body is not None:
            line.putheader("content-length", str(len(body)))
        for name, value in headers.items():
            line.putheader(name, _raw(value))
        line.endheaders(body)
        answer = line.getresponse()
        text = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, text, found


@contextlib.contextmanager
def asking(service: Served) -> Iterator[Asking]:
    found = Asking(service)
    try:
        yield found
    finally:
        found.close()


def _raw(value: str) -> bytes:
    """Return a header's value, in Latin-1 where it can be, without what no server takes."""
    is_latin = all(ord(char) < 256 for char in value)
    raw = value.encode("latin-1") if is_latin else value.encode("utf-8", "replace")
    return re.sub(rb"[\x00-\x1f\x7f]", b"\x80", raw)


def a_request(
    chance: random.Random, ask: Asking, method: str, path: str
) -> tuple[str, dict[str, str], bytes | None]:
    """Return target, headers and body, each part odd now and then."""
    odd = chance.choice((0.05, 0.3))

    def value(usual: str) -> str:
        return chance.choice(VALUES) if chance.random() < odd else usual

    def pairs() -> list[tuple[str, str]]:
        names = chance.sample(sorted(ask.names), k=chance.randint(1, 12))
        return [(name, value(chance.choice(("1", "", "native", "now")))) for name in names]

    target = re.sub(r"\{\w+\}", lambda _: quote(value("1"), safe="", errors="replace"), path)
    if chance.random() < 0.6:
        target += "?" + urlencode(pairs(), errors="replace")
    headers = {name: chance.choice(VALUES) for name in HEADERS if chance.random() < odd}
    if "authorization" not in headers:
        headers["authorization"] = ask.authorization if chance.random() < 0.9 else ""
    headers.setdefault("x-forwarded-for", f"10.0.{chance.randrange(256)}.{chance.randrange(256)}")
    cookies = [f"postbell_{name}={value('1')}" for name in COOKIES if chance.random() < odd]
    headers["cookie"] = "; ".join([ask.guest, *cookies])
    if method in ("GET", "DELETE"):
        return target, headers, None
    if path.startswith(("/api/", "/v1/", "/v2/", "/oauth/")):
        headers.setdefault("content-type", "application/json")
        return target, headers, json.dumps(dict(pairs())).encode()
    headers.setdefault("content-type", "application/x-www-form-urlencoded")
    return target, headers, urlencode([("csrf", ask.csrf), *pairs()], errors="replace").encode()


async def test_no_value_anywhere_gives_a_500(service: Served, tmp_path: Path) -> None:
    known = sorted(routes_of(await wired(tmp_path / "data")))
    chance = random.Random(8)
    wrong = []

    with asking(service) as ask:
        for _ in range(ROUNDS):
            method, path = chance.choice(known)
            if method == "any method" or path in ENDLESS:
                continue
            target, headers, body = a_request(chance, ask, method, path)
            status, _, _ = ask(method, target, headers, body)
            if status >= 500 and status != 503:
                wrong.append((status, method, target, headers, body))

    assert wrong == []
    assert "Exception in ASGI application" not in service.log.read_text()


@pytest.mark.parametrize(
    ("method", "target", "headers", "form"),
    [
        ("GET", "/", {"accept-language": "en;q=\u00b2"}, {}),
        ("GET", "/webhooks?after=%C2%B2", {}, {}),
        ("GET", f"/webhooks?after={'9' * 400}", {}, {}),
        ("GET", f"/events?q=a%40b.example&after={'9' * 38}.1", {}, {}),
        ("GET", f"/batches?webhook={'9' * 19}", {}, {}),
        ("GET", f"/settings/api?users_after={'9' * 400}", {}, {}),
        ("POST", "/webhooks/1/settings", {}, {"policy.max_wait_s": "1e999", "url": "http://x/"}),
        ("POST", "/webhooks/1/settings", {}, {"policy.max_events": "1e999", "url": "http://x/"}),
        ("POST", "/webhooks/1/settings", {}, {"policy.retry_waits_s": "9" * 400 + "d"}),
        ("POST", "/webhooks/1/secrets", {}, {"overlap_h": "9" * 400}),
        ("POST", "/webhooks/1/secrets", {}, {"overlap_h": "\u0662"}),
        ("POST", "/webhooks/1/replay", {}, {"cancel": "\u00b2"}),
    ],
)
def test_a_value_that_once_gave_a_500_does_not(
    service: Served, method: str, target: str, headers: dict[str, str], form: dict[str, str]
) -> None:
    with asking(service) as ask:
        type_ = {"content-type": "application/x-www-form-urlencoded", "cookie": ask.guest}
        body = urlencode({"csrf": ask.csrf, **form}).encode() if form else None

        status, _, _ = ask(method, target, headers | type_, body)

    assert status < 500
