"""A right that ends while the work waits, long after it was checked, writes nothing either.

A new webhook's URL is called before it is stored: the receiver keeps that call open, the right is
ended elsewhere, the receiver answers as it should.
"""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.rights.world import ADA, World, opened

LIMIT_S = 30.0


class Hesitant:
    """A receiver that answers 200, when it is let."""

    def __init__(self) -> None:
        self.was_called = threading.Event()
        self.may_answer = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.was_called.set()
                receiver.may_answer.wait(LIMIT_S)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> "Hesitant":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path / "data") as world:
        yield world


def meanwhile(
    send: Callable[[], httpx.Response], receiver: Hesitant, end: Callable[[], object]
) -> httpx.Response:
    """Send a request, do *end* while the receiver is asked, and return the answer."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(send)
        try:
            assert receiver.was_called.wait(LIMIT_S), asked.result(LIMIT_S).text
            end()
        finally:
            receiver.may_answer.set()
        return asked.result(LIMIT_S)


def webhooks(world: World) -> list[str]:
    found = world.other.get("/api/v1/webhooks").json()["webhooks"]
    return [webhook["url"] for webhook in found]


def test_a_key_that_is_revoked_while_a_url_is_called_makes_no_webhook(world: World) -> None:
    before = webhooks(world)
    with Hesitant() as receiver:
        form = {"url": receiver.url, "dialect": "engagelab", "options": {"url_check": "get"}}
        user_id = world.known["of alice"]

        answer = meanwhile(
            lambda: world.api.post("/api/v1/webhooks", json=form),
            receiver,
            lambda: world.other.post(f"/api/v1/api-users/{user_id}/revoke", json={}),
        )

    assert answer.status_code == 401, answer.text
    assert webhooks(world) == before


def test_who_signs_out_while_a_url_is_called_makes_no_webhook(world: World) -> None:
    before = webhooks(world)
    ada = world.visitor(ADA)
    page = ada.client.get("/webhooks/new?dialect=engagelab").text
    token, words = ada.token(), re.findall(r'name="types" value="([^"]+)"', page)
    cookies = dict(ada.client.cookies)
    with Hesitant() as receiver:
        form = {
            "csrf": token,
            "url": receiver.url,
            "api_user": "all",
            "dialect": "engagelab",
            "types": words,
            "options.url_check": "get",
        }

        answer = meanwhile(
            lambda: ada.client.post("/webhooks/new", data=form),
            receiver,
            lambda: httpx.post(world.base_url + "/logout", data={"csrf": token}, cookies=cookies),
        )

    assert answer.status_code == 401, answer.text
    assert webhooks(world) == before


def test_whose_right_holds_makes_one_after_the_same_wait(world: World) -> None:
    with Hesitant() as receiver:
        form = {"url": receiver.url, "dialect": "engagelab", "options": {"url_check": "get"}}

        answer = meanwhile(
            lambda: world.api.post("/api/v1/webhooks", json=form), receiver, lambda: None
        )

    assert answer.status_code == 201
    assert receiver.url in webhooks(world)
