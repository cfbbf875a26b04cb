"""What the walk through the pages needs: a receiver to break, a Chromium, pictures."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.cli.running import Postbell, line_with
from tests.forked import start

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
)
EMAIL, OPERATOR, PASSWORD = "ada@example.com", "opal@example.com", "correct horse battery"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
FOLDER = os.environ.get("POSTBELL_PICTURES", "")
"""Where pictures go; the browser makes the folder.  Without one none are taken."""
VARIANTS = (
    ("desktop", "light", "en"),
    ("phone", "dark", "en"),
    ("phone", "light", "ru"),
    ("phone", "dark", "fr"),
    *((("desktop", "dark", "en"), ("phone", "light", "en")) if FOLDER else ()),
)
"""Each size, scheme and language; every size in both schemes only for pictures."""
EXAMINED = ("desktop-light", "phone-dark")
MAX_HTML_BYTES = 50_000
MAX_SHIFT = 0.01
SHIFT = """() => new Promise((done) => {
    let sum = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) sum += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 50);
})"""
LIMIT_MS = 15_000
LIMIT_S = 480

expect.set_options(timeout=LIMIT_MS)


class Receiver:
    """Answers 200 until a test breaks it; keeps the events that it took."""

    def __init__(self) -> None:
        self.status = 200
        self.said = "maintenance"
        self.events: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status == 200:
                    receiver.events += json.loads(body)
                error = json.dumps({"error": receiver.said}).encode()
                answer = error if receiver.status != 200 else b"{}"
                self.send_response(receiver.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks/postbell"

    def __enter__(self) -> "Receiver":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give the Chromium of this machine, headless, without network of its own."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "no chromium; install the Debian package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serving(postbell: Postbell, listen: str = "127.0.0.1:0") -> Iterator[str]:
    """Run the real service on a free port; gives its base URL."""
    words = ("serve", "--listen", listen, "--shutdown-s", "1")
    with start(words, postbell.environ, stderr=subprocess.DEVNULL) as process:
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        try:
            yield line_with(process, r"ready: (http://\S+)")
            process.terminate()
            process.wait(LIMIT_MS / 1000)
        finally:
            watchdog.cancel()
            process.kill()


class Album:
    """Looks at pages at every size and in both colour schemes, with what axe says of them, and
    pictures where FOLDER names a place."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.problems: list[str] = []
        self.looks = 0

    def take(self, base_url: str, paths: dict[str, str], cookies: list[Any]) -> None:
        """Open each path by name in every variant, as who has *cookies*; note what is wrong."""
        for size, scheme, language in VARIANTS:
            width, height = SIZES[size]
            context = self._browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                locale=language,
            )
            context.add_cookies(cookies)
            kind = f"{size}-{scheme}" if language == "en" else f"{size}-{scheme}-{language}"
            self._take(context, base_url, paths, kind, width)
            context.close()

    def show(self, page: Page, name: str) -> None:
        """Take what *page* shows now, an answer to a form say, in every size and scheme."""
        for kind, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                page.set_viewport_size({"width": width, "height": height})
                page.emulate_media(
                    color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce"
                )
                self._look(page, f"{name}-{kind}-{scheme}", width, f"{kind}-{scheme}" in EXAMINED)
        page.set_viewport_size({"width": SIZES["desktop"][0], "height": SIZES["desktop"][1]})
        page.emulate_media(color_scheme="null", reduced_motion="null")

    def _look(self, page: Page, name: str, width: int, is_examined: bool) -> None:
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            self.problems.append(f"{name} is {wide} pixels wide")
        self._picture(page, name)
        if is_examined:
            self._examine(page, name)

    def _examine(self, page: Page, name: str) -> None:
        for found in violations(page):
            if found["impact"] in ("serious", "critical"):
                where = found["nodes"][0]["html"][:120]
                self.problems.append(f"{name}: {found['id']}: {where}")

    def _take(
        self, context: BrowserContext, base_url: str, paths: dict[str, str], kind: str, width: int
    ) -> None:
        page = context.new_page()
        watch(page, self.problems)
        for name, path in paths.items():
            answer = page.goto(base_url + path)
            assert answer is not None
            self._measure(page, f"{name}-{kind}", width, len(answer.body()))
            self._picture(page, f"{name}-{kind}")
            if kind in EXAMINED:
                self._examine(page, f"{name}-{kind}")

    def _picture(self, page: Page, name: str) -> None:
        """Count a look; keep its picture where somebody will see it."""
        self.looks += 1
        if FOLDER:
            page.screenshot(path=Path(FOLDER, f"{name}.png"), full_page=True)

    def _measure(self, page: Page, name: str, width: int, size_bytes: int) -> None:
        """Note a page that is wider than the screen, too long to load, or moves as it loads."""
        wide, shift = page.evaluate("document.documentElement.scrollWidth"), page.evaluate(SHIFT)
        if wide > width:
            self.problems.append(f"{name} is {wide} pixels wide")
        if size_bytes > MAX_HTML_BYTES:
            self.problems.append(f"{name} has {size_bytes} bytes")
        if shift > MAX_SHIFT:
            self.problems.append(f"{name} moves by {shift} while it loads")


def violations(page: Page) -> list[dict[str, Any]]:
    """Return what axe says is wrong with a page; what is right it need not tell."""
    options = {"resultTypes": ["violations"], "selectors": False}
    found: list[dict[str, Any]] = Axe().run(page, options=options).response["violations"]
    return found


def watch(page: Page, problems: list[str]) -> None:
    """Note everything that the browser complains about, and every request to another host."""
    page.set_default_timeout(LIMIT_MS)
    page.on(
        "console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda r: None if "//127.0.0.1:" in r.url else problems.append(f"asks {r.url}"),
    )


def sign_in(page: Page, base_url: str, email: str = EMAIL) -> None:
    page.goto(f"{base_url}/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def until(page: Page, text: str, path: str) -> None:
    """Open *path* until it says *text*."""
    for _ in range(100):
        page.goto(path)
        if text in page.inner_text("main"):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{path} never said {text!r}: {page.inner_text('main')[:600]}")


def send(base_url: str, key: str, *types: str) -> None:
    """Send events as the api user that the walk creates."""
    body = [
        {"type": each, "recipient": f"user{number}@example.net", "message": {"id": f"m-{number}"}}
        for number, each in enumerate(types)
    ]
    answer = httpx.post(f"{base_url}/api/v1/events", auth=("shop", key), json=body)
    assert answer.status_code == 202, answer.text


def create_webhook(page: Page, url: str) -> Any:
    page.get_by_label("URL", exact=True).fill(url)
    page.get_by_role("button", name="Create webhook").click()
    return page.locator(".errors")


def wait_for(page: Page, holds: Any) -> None:
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come true within 10 s")


def cookies_of(cookies: list[Any]) -> list[Any]:
    """Return cookies as another browser takes them."""
    return [{k: c[k] for k in ("name", "value", "domain", "path")} for c in cookies]
