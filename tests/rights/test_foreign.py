"""A page of another site changes nothing, though the browser adds the visitor's credentials.

Every write of every face is tried as such a page would: by a form without a body, by a form, by a
`fetch` with the content type of one, by an older browser that says only its Origin.
"""

import shutil
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from tests.rights import writes
from tests.rights.world import ADA, OPAL, Visitor, World, opened
from tests.rights.writes import FORM, JSON, Write
from tests.web.walking import chromium

FOREIGN: Mapping[str, Mapping[str, str]] = {
    "cross_site": {"sec-fetch-site": "cross-site", "content-type": FORM},
    "same_site": {"sec-fetch-site": "same-site", "content-type": FORM},
    "unheard_of": {"sec-fetch-site": "neighbour-site", "content-type": FORM},
    "typed_json": {"sec-fetch-site": "cross-site", "content-type": JSON},
    "older_browser": {"origin": "https://evil.example", "content-type": FORM},
    "no_origin": {"origin": "null", "content-type": FORM},
}
UNSAFE_TYPES = (
    "text/plain",
    "text/plain;charset=UTF-8",
    "multipart/form-data; boundary=x",
    FORM,
    "",
)
ALL = (*writes.OF_KEYS, *writes.PAGES, *writes.OPERATOR_PAGES)
TAKES_FORMS = ("/v2/", "/oauth/")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("foreign") / "data") as world:
        yield world


@pytest.fixture(scope="module")
def visitors(world: World) -> tuple[Visitor, Visitor]:
    ada, opal = world.visitor(ADA), world.visitor(OPAL)
    world.form(writes.PAGES[0], ada)
    return ada, opal


class Asker:
    """Sends a write as who may do it, with headers of another page's."""

    def __init__(self, world: World, visitors: tuple[Visitor, Visitor]) -> None:
        self._world = world
        self._ada, self._opal = visitors

    def __call__(
        self, write: Write, headers: Mapping[str, str], body: bytes | None = None
    ) -> httpx.Response:
        path, filled_body = self._world.form(write, self._ada)
        sent = filled_body if body is None else body
        if write in (*writes.PAGES, *writes.OPERATOR_PAGES):
            visitor = self._opal if write in writes.OPERATOR_PAGES else self._ada
            sent = b"csrf=" + visitor.token().encode() + b"&" + sent
            return visitor.client.request(write.method, path, content=sent, headers=dict(headers))
        own = {k.lower(): v for k, v in self._world.headers(write).items()}
        own.pop("content-type")
        return httpx.request(
            write.method, self._world.base_url + path, content=sent, headers=own | dict(headers)
        )


@pytest.fixture
def ask(world: World, visitors: tuple[Visitor, Visitor]) -> Asker:
    return Asker(world, visitors)


@pytest.mark.parametrize("kind", FOREIGN)
def test_no_write_is_done_for_a_page_of_another_site(world: World, ask: Asker, kind: str) -> None:
    before = world.everything()

    answers = {write.title: ask(write, FOREIGN[kind]).status_code for write in ALL}
    empty = {write.title: ask(write, FOREIGN[kind], b"").status_code for write in ALL}

    assert set(answers.values()) == {403}, answers
    assert set(empty.values()) == {403}, empty
    assert world.everything() == before


@pytest.mark.parametrize("path", ["/healthz", "/logout", "/oauth/access_token", "/api/v1/events"])
@pytest.mark.parametrize(
    "origin", ["http://[", "http://[::1", "http://[x]", "http://]", "//[", "http://a:99999999", "x"]
)
def test_an_origin_that_is_none_is_a_foreign_one(world: World, origin: str, path: str) -> None:
    answer = httpx.post(world.base_url + path, headers={"origin": origin})

    assert answer.status_code == 403


@pytest.mark.parametrize("media", UNSAFE_TYPES)
def test_no_api_takes_what_a_form_can_send(world: World, ask: Asker, media: str) -> None:
    before = world.everything()
    rows = [
        write
        for write in writes.OF_KEYS
        if write.method != "DELETE"
        and not (write.path.startswith(TAKES_FORMS) and media in (FORM, ""))
    ]

    headers = {"content-type": media} if media else {}
    answers = {write.title: ask(write, headers).status_code for write in rows}

    assert set(answers.values()) == {415}, answers
    assert world.everything() == before


def test_each_face_says_it_in_its_own_way(world: World, ask: Asker) -> None:
    foreign = FOREIGN["cross_site"]

    native = ask(writes.NATIVE[1], foreign)
    engagelab = ask(writes.ENGAGELAB[0], foreign)
    sendpulse = ask(writes.SENDPULSE[0], foreign)
    page = ask(writes.PAGES[0], foreign)

    assert native.headers["content-type"] == "application/problem+json"
    assert native.json()["code"] == "forbidden"
    assert engagelab.json()["code"] == 30403
    assert sendpulse.json()["error_code"] == 403
    assert "another site" in page.text and page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": "{own}"}, {}],
)
def test_ones_own_pages_and_programs_may(world: World, ask: Asker, headers: dict[str, str]) -> None:
    told = {name: value.replace("{own}", world.base_url) for name, value in headers.items()}
    prefer = next(write for write in writes.PAGES if write.path == "/settings/account")

    page = ask(prefer, told | {"content-type": FORM})
    native = ask(writes.NATIVE[1], told | {"content-type": JSON})
    sendpulse = ask(writes.SENDPULSE[0], told | {"content-type": JSON})

    assert (page.status_code, native.status_code, sendpulse.status_code) == (303, 201, 200)


PAGE = """<!doctype html><meta charset=utf-8><title>cats</title>
<form id=empty method=post action="{base}/api/v1/webhooks/{webhook}/pause"></form>
<form id=text method=post enctype="text/plain" action="{base}/api/v1/webhooks/{webhook}/secrets">
<input name='{{"overlap_s": 0, "x' value='": 1}}'></form>
<script>
async function tryAll(credentials) {{
  const send = (path, body, type) => fetch("{base}" + path, {{
    method: "POST", mode: "no-cors", credentials, body,
    headers: type ? {{"content-type": type}} : {{}} }}).catch(() => null);
  await send("/api/v1/webhooks/{webhook}/pause", "");
  await send("/api/v1/webhooks/{webhook}/secrets", '{{"overlap_s": 0}}', "text/plain");
  await send("/api/v1/api-users/{user}/rotate", "{{}}", "text/plain");
  await send("/v1/webhooks/{engagelab}", '{{"event": [1]}}', "text/plain");
  await send("/webhooks/{webhook}/pause", "csrf=0", "application/x-www-form-urlencoded");
  navigator.sendBeacon("{base}/api/v1/webhooks/{webhook}/pause", new Blob(["{{}}"]));
  return "tried";
}}
</script>"""


@contextmanager
def foreign_site(page: str, host: str) -> Iterator[str]:
    """Serve a page on another address of loopback, which is another site."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.encode()
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _signed_in(page: Page, world: World) -> None:
    """Let the browser know ada's session and alice's key, as after a visit of both."""
    page.goto(world.base_url + "/login")
    page.fill("input[name=email]", ADA)
    page.fill("input[name=password]", writes.PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(world.base_url + "/")
    answer = page.goto(world.base_url + "/api/v1/webhooks")
    assert answer is not None and answer.status == 200, "the browser does not know the key"


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.0.1"])
def test_a_real_browser_changes_nothing_for_another_site(
    world: World, tmp_path: Path, host: str
) -> None:
    """127.0.0.2 is another site, 127.0.0.1 with another port another origin of the same site."""
    assert shutil.which("chromium") or shutil.which("chromium-browser")
    page_text = PAGE.format(base=world.base_url, **world.known)
    credentials: Any = {"username": "alice", "password": world.known["key"]}
    with foreign_site(page_text, host) as url, chromium() as browser:
        context = browser.new_context(http_credentials={**credentials, "origin": world.base_url})
        page = context.new_page()
        _signed_in(page, world)
        sent: list[tuple[str, int]] = []
        page.on("response", lambda answer: sent.append((answer.url, answer.status)))
        before = world.everything()

        page.goto(url)
        assert page.evaluate("tryAll('include')") == "tried"
        for form in ("empty", "text"):
            page.goto(url)
            with page.expect_navigation():
                page.evaluate(f"document.getElementById('{form}').submit()")
        after = world.everything()
        context.close()

    tried = [status for address, status in sent if address.startswith(world.base_url)]
    assert len(tried) >= 6
    assert set(tried) <= {403, 415}, sent
    assert after == before


def test_a_key_in_the_browser_would_have_done_it(world: World) -> None:
    """The same request, but from nowhere, is done: the browser's answer above is a refusal."""
    basic = b64encode(b"alice:" + world.known["key"].encode()).decode()

    done = httpx.post(
        f"{world.base_url}/api/v1/webhooks/{world.known['spare']}/pause",
        headers={"authorization": f"Basic {basic}"},
    )

    assert done.status_code == 200
