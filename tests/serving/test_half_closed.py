"""A client that shuts down its side has said all it will say, and still reads its answer."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from postbell.serving.arriving import end_with_client
from postbell.serving.server import address_of, bind, serving
from postbell.settings.values import Address
from postbell.signals import heard
from tests.serving.raw import Served, served

PIECES = [b"one\n", b"two\n", b"three\n"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("half-closed"), "--sign-in", "false") as found:
        yield found


def test_a_poll_is_answered_early_with_what_there_is(service: Served) -> None:
    with service.connect() as client:
        client.send(
            b"GET /api/v1/feed?after=now&wait=30 HTTP/1.1\r\nhost: a\r\nauthorization: %b\r\n\r\n"
            % service.authorization
        )
        client.sock.shutdown(socket.SHUT_WR)
        answer = client.answer()
        rest = client.rest()

    assert (answer.status, json.loads(answer.body)["events"], rest) == (200, [], b"")
    assert "request_broken" not in service.log.read_text()


def test_a_page_that_watched_ends_without_a_trouble(service: Served) -> None:
    with service.connect() as client:
        client.send(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        begun = client.rest_after(b"retry: ")
        client.sock.shutdown(socket.SHUT_WR)
        client.rest()

    assert b" 200 OK\r\n" in begun
    assert "request_broken" not in service.log.read_text()


async def test_an_answer_in_pieces_comes_to_its_end() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in PIECES:
            await asyncio.sleep(0)
            yield piece

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(pieces())(scope, receive, send)

    async with asked(app) as answer:
        head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in PIECES) + b"0\r\n\r\n"


async def test_who_ends_with_the_client_need_not_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        end_with_client(scope)
        while (await receive())["type"] != "http.disconnect":
            pass

    async with asked(app) as answer:
        assert answer == b""


async def test_what_breaks_is_told_in_a_problem_document_and_logged() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    for app, error in ((silent, "no whole answer"), (broken, "ZeroDivisionError")):
        told: list[str] = []
        with heard("request_broken", lambda fields, told=told: told.append(fields["error"])):  # type: ignore[misc]
            async with asked(app) as answer:
                head, _, body = answer.partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 500 ")
        assert b"content-type: application/problem+json" in head
        assert json.loads(body)["code"] == "internal"
        assert [error in each for each in told] == [True]


@asynccontextmanager
async def asked(app: Any) -> AsyncIterator[bytes]:
    """Give all that a client reads from *app* that shuts down its side behind its request."""
    with bind(Address("127.0.0.1", 0)) as sock:
        async with serving(app, sock, shutdown_s=1):
            reader, writer = await asyncio.open_connection(*address_of(sock))
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            yield answer
