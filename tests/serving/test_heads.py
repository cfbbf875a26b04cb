"""What a peer can do to the HTTP server without ever finishing a request."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postbell.cli.receiver import Reaction, Received, receiving
from postbell.serving.server import address_of, bind
from postbell.settings.limits import PeerLimits
from postbell.settings.members import BY_NAME
from postbell.settings.values import Address


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    async def answer(_delivery: Received) -> Reaction:
        return Reaction(204)

    sock = bind(Address("127.0.0.1", 0))
    found = address_of(sock)
    async with receiving(sock, answer):
        yield found


async def exchange(address: Address, *requests: bytes) -> bytes:
    """Send the requests, each after the answer to the one before; return the last answer."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        async with asyncio.timeout(10):
            for request in requests[:-1]:
                writer.write(request)
                await reader.readuntil(b"\r\n\r\n")
            writer.write(requests[-1])
            return await reader.read()
    finally:
        writer.close()


def endless(begin: bytes) -> bytes:
    """Return *begin* of a head, made one byte longer than heads may be."""
    return begin.ljust(PeerLimits().http_head_bytes + 1, b"a")


@pytest.mark.parametrize(
    "head",
    [
        endless(b"GET / HTTP/1.1\r\nx: "),
        endless(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10_000),
        endless(b"GET /"),
    ],
    ids=["one header", "many headers", "path"],
)
async def test_a_head_without_end_is_refused(address: Address, head: bytes) -> None:
    answer = await exchange(address, head)

    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(("fields", "status"), [(101, b"204"), (102, b"400")])
async def test_a_query_of_many_fields_is_refused_before_it_is_taken_apart(
    address: Address, fields: int, status: bytes
) -> None:
    query = b"&".join([b"a=1"] * fields)
    head = b"GET /login?%b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % query

    assert (await exchange(address, head)).split()[1] == status


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (b"GET /", b" HTTP/1.1\r\nhost: a\r\n"),
        (b"GET /?", b" HTTP/1.1\r\nhost: a\r\n"),
        (b"x: ", b"\r\n"),
    ],
    ids=["path", "query", "header"],
)
async def test_a_line_may_be_as_long_as_the_settings_say(
    address: Address, begin: bytes, end: bytes
) -> None:
    line_bytes = 16_383
    assert f"{line_bytes:,}" in BY_NAME["http_head_bytes"].row.help
    first = b"" if begin.startswith(b"GET") else b"GET / HTTP/1.1\r\nhost: a\r\n"
    rest = end + b"connection: close\r\n\r\n"
    around = len(begin) + len(end.partition(b"\r")[0])

    taken, refused = [
        await exchange(address, first + begin + b"a" * (size - around) + rest)
        for size in (line_bytes, line_bytes + 1)
    ]

    assert taken.startswith(b"HTTP/1.1 204 ")
    assert refused.startswith(b"HTTP/1.1 431 ")


async def test_there_may_be_as_many_headers_as_the_settings_say(address: Address) -> None:
    assert " 100 headers" in BY_NAME["http_head_bytes"].row.help
    begin = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"

    taken, refused = [
        await exchange(address, begin + b"x: y\r\n" * (count - 2) + b"\r\n") for count in (100, 101)
    ]

    assert taken.startswith(b"HTTP/1.1 204 ")
    assert refused.startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_follows_a_request_is_limited_too(address: Address) -> None:
    answer = await exchange(address, GET, endless(b"GET / HTTP/1.1\r\nx: "))

    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_long_body_is_not_taken_for_a_head(address: Address) -> None:
    post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n" + b"b" * 500_000
    last = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"

    answer = await exchange(address, GET, post, post, last)

    assert answer.startswith(b"HTTP/1.1 204 ")


GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
