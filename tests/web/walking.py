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

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.cli.running import COMMAND, Postbell, line_with

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
)
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")
EXAMINED = ("desktop-light", "phone-dark")
LIMIT_MS = 15_000
LIMIT_S = 240


class Receiver:
    """Answers 200 until a test breaks it; keeps the events that it took."""

    def __init__(self) -> None:
        self.status = 200
        self.events: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status == 200:
                    receiver.events += json.loads(body)
                answer = b'{"error": "maintenance"}' if receiver.status != 200 else b"{}"
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
def serving(postbell: Postbell) -> Iterator[str]:
    """Run the real service on a free port; gives its base URL."""
    command = [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--shutdown-s", "1"]
    with subprocess.Popen(
        command, env=postbell.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
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
    """Pictures of pages at every size and in both colour schemes, and what axe says of them."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self.folder = Path(os.environ.get("POSTBELL_PICTURES") or folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.problems: list[str] = []

    def take(self, base_url: str, paths: dict[str, str], cookies: list[Any]) -> None:
        """Open each path by name in every variant, as who has *cookies*; note what is wrong."""
        for size, (width, height) in SIZES.items():
            for scheme in SCHEMES:
                context = self._browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                context.add_cookies(cookies)
                self._take(context, base_url, paths, f"{size}-{scheme}", width)
                context.close()

    def _take(
        self, context: BrowserContext, base_url: str, paths: dict[str, str], kind: str, width: int
    ) -> None:
        page = context.new_page()
        watch(page, self.problems)
        for name, path in paths.items():
            page.goto(base_url + path)
            page.screenshot(path=self.folder / f"{name}-{kind}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                self.problems.append(f"{name}-{kind} is {wide} pixels wide")
            if kind not in EXAMINED:
                continue
            for found in Axe().run(page).response["violations"]:
                if found["impact"] in ("serious", "critical"):
                    where = found["nodes"][0]["html"][:120]
                    self.problems.append(f"{name}-{kind}: {found['id']}: {where}")


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
