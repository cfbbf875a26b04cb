"""Receivers that do wrong: each ends as an outcome with one of our words."""

import asyncio
import socket
import time
from contextlib import closing

import pytest

from postbell.errors import UNANSWERED
from postbell.wire.answers import CURL_ERRORS
from postbell.wire.sender import CurlSender
from tests.wire.conftest import MakeSender, Names, Serve, post
from tests.wire.receiver import OK, Line, Receiver, answering, hang


def free_port() -> int:
    """Return a port on which nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


async def test_a_refused_connection_is_connect(sender: CurlSender) -> None:
    outcome = await sender.send(post(f"http://127.0.0.1:{free_port()}/"))

    assert (outcome.status, outcome.error) == (None, "connect")
    assert outcome.detail


async def test_a_name_without_an_address_is_dns(sender: CurlSender) -> None:
    outcome = await sender.send(post("http://gone.example/"))

    assert (outcome.status, outcome.error) == (None, "dns")
    assert "gone.example" in outcome.detail


async def test_a_hanging_receiver_is_a_timeout_and_not_before_the_timeout(
    serve: Serve, sender: CurlSender
) -> None:
    receiver = await serve(hang)
    began = time.monotonic()

    outcome = await sender.send(post(receiver.url(), timeout_s=0.3))

    assert (outcome.status, outcome.error) == (None, "timeout")
    assert time.monotonic() - began >= 0.29


async def test_a_dripping_answer_ends_at_the_timeout(serve: Serve, sender: CurlSender) -> None:
    async def drip(receiver: Receiver, line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await line.say(b".")
            await asyncio.sleep(0.02)

    receiver = await serve(drip)

    outcome = await sender.send(post(receiver.url(), timeout_s=0.3))

    assert (outcome.status, outcome.error) == (200, "")
    assert "damaged" in outcome.detail
    assert 290 <= outcome.phases_ms[4] < 1000


@pytest.fixture
def full_backlog() -> socket.socket:
    """Listen without taking, with the queue of new connections full: connecting hangs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    return listener


async def test_a_host_that_does_not_take_connections_is_connect_at_the_connect_timeout(
    make_sender: MakeSender, full_backlog: socket.socket
) -> None:
    sender = make_sender(connect_timeout_s=0.3)
    where = full_backlog.getsockname()
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(where)

    outcome = await sender.send(post(f"http://127.0.0.1:{where[1]}/", timeout_s=5))

    assert (outcome.status, outcome.error) == (None, "connect")
    assert 290 <= outcome.phases_ms[4] < 1500
    for opened in (*fillers, full_backlog):
        opened.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "reset"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
        (b"hello", "protocol"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n", "protocol"),
        (b"HTTP/9.9 200 OK\r\n\r\n", "protocol"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "reset"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "protocol"),
    ],
)
async def test_a_cut_or_broken_answer_is_no_answer(
    serve: Serve, sender: CurlSender, answer: bytes, error: str
) -> None:
    async def break_off(receiver: Receiver, line: Line) -> None:
        await line.request()
        await line.say(answer)

    receiver = await serve(break_off)

    outcome = await sender.send(post(receiver.url()))

    assert (None, error) == (outcome.status, outcome.error)


LENGTH, CHUNKS = b"Content-Length: ", b"Transfer-Encoding: chunked"


@pytest.mark.parametrize("ends", ["close", "reset", "stay"])
@pytest.mark.parametrize(
    "rest",
    [
        LENGTH + b"10\r\n\r\nhalf",
        LENGTH + b"3\r\n\r\nok",
        LENGTH + b"1\r\n" + LENGTH + b"2\r\n\r\nok",
        LENGTH + b"-5\r\n\r\n",
        LENGTH + b"two\r\n\r\n",
        CHUNKS + b"\r\n\r\n5\r\nab",
        CHUNKS + b"\r\n\r\n2\r\nok\r\n",
        CHUNKS + b"\r\n\r\nzz\r\n",
        CHUNKS + b"\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        b"Content-Encoding: gzip\r\n" + LENGTH + b"9\r\n\r\nok",
        b"X: 1\r\n\r\nok",
    ],
)
@pytest.mark.parametrize("status", [200, 503])
async def test_the_head_of_an_answer_decides_whatever_becomes_of_its_body(
    serve: Serve, sender: CurlSender, status: int, rest: bytes, ends: str
) -> None:
    async def damage(receiver: Receiver, line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 %d Said\r\n%b" % (status, rest))
        if ends == "reset":
            line.reset()
        elif ends == "stay":
            await asyncio.Event().wait()

    receiver = await serve(damage)

    outcome = await sender.send(post(receiver.url(), timeout_s=0.3))
    again = await sender.send(post(receiver.url(), timeout_s=0.3))

    assert [(each.status, each.error) for each in (outcome, again)] == [(status, "")] * 2
    assert receiver.connections == 2


async def test_what_damaged_a_body_is_noted(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))

    outcome = await sender.send(post(receiver.url(), timeout_s=0.3))

    assert "damaged" in outcome.detail
    assert outcome.body == b"half"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 90) for n in range(700)),
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2_000_000,
        b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\n" * 5000,
    ],
    ids=["many lines", "a long line", "an endless line", "endless interim answers"],
)
async def test_a_head_over_64_kib_is_too_large(
    serve: Serve, sender: CurlSender, head: bytes
) -> None:
    receiver = await serve(answering(head + b"\r\n\r\n"))

    outcome = await sender.send(post(receiver.url()))

    assert (outcome.status, outcome.error) == (None, "too_large")


async def test_a_head_of_nearly_64_kib_is_taken(serve: Serve, sender: CurlSender) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 90) for n in range(600))
    receiver = await serve(answering(b"HTTP/1.1 204 Fine\r\n" + lines + b"\r\n"))

    outcome = await sender.send(post(receiver.url()))

    assert (outcome.status, len(outcome.headers) + outcome.headers_cut) == (204, 600)


async def test_an_early_413_with_a_close_is_seen(serve: Serve, sender: CurlSender) -> None:
    async def refuse(receiver: Receiver, line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        line.writer.write_eof()
        while await line.reader.read(1 << 16):
            pass

    receiver = await serve(refuse)

    outcome = await sender.send(post(receiver.url(), b"x" * 8_000_000))

    assert (outcome.status, outcome.error) == (413, "")


async def test_a_kept_connection_that_dies_before_the_answer_is_tried_once_more(
    serve: Serve, sender: CurlSender
) -> None:
    async def die_at_the_second(receiver: Receiver, line: Line) -> None:
        while (got := await line.request()) is not None:
            receiver.note(got)
            if line.number == 1 and len(receiver.got) == 2:
                return
            await line.say(OK)

    receiver = await serve(die_at_the_second)
    body = b"y" * 1_000_000
    await sender.send(post(receiver.url()))

    outcome = await sender.send(post(receiver.url(), body))

    assert (outcome.status, outcome.error) == (200, "")
    assert [body, body] == [got.body for got in receiver.got[1:]]
    assert receiver.connections == 2


async def test_a_kept_connection_that_resets_while_the_body_is_sent_is_tried_once_more(
    serve: Serve, sender: CurlSender
) -> None:
    async def reset_at_the_second(receiver: Receiver, line: Line) -> None:
        first = await line.request()
        assert first is not None
        receiver.note(first)
        await line.say(OK)
        if line.number == 1:
            await line.reader.readexactly(1000)
            line.reset()

    receiver = await serve(reset_at_the_second)
    await sender.send(post(receiver.url()))

    outcome = await sender.send(post(receiver.url(), b"y" * 4_000_000))

    assert (outcome.status, outcome.error) == (200, "")
    assert receiver.connections == 2


async def test_a_fresh_connection_that_dies_is_not_tried_again(
    serve: Serve, sender: CurlSender
) -> None:
    async def die(receiver: Receiver, line: Line) -> None:
        got = await line.request()
        assert got is not None
        receiver.note(got)

    receiver = await serve(die)

    outcome = await sender.send(post(receiver.url()))

    assert (outcome.status, outcome.error) == (None, "reset")
    assert len(receiver.got) == 1


async def test_a_kept_connection_that_was_closed_is_replaced(
    serve: Serve, sender: CurlSender
) -> None:
    async def one_each(receiver: Receiver, line: Line) -> None:
        got = await line.request()
        assert got is not None
        receiver.note(got)
        await line.say(OK)

    receiver = await serve(one_each)

    outcomes = [await sender.send(post(receiver.url())) for _ in range(5)]

    assert [outcome.status for outcome in outcomes] == [200] * 5
    assert 5 == len(receiver.got) == receiver.connections


async def test_all_kept_connections_dying_cost_one_attempt_each(
    serve: Serve, sender: CurlSender
) -> None:
    dying = asyncio.Event()

    async def live_then_die(receiver: Receiver, line: Line) -> None:
        is_old = not dying.is_set()
        while (got := await line.request()) is not None:
            receiver.note(got)
            if is_old and dying.is_set():
                return
            await asyncio.sleep(0)
            await line.say(OK)

    receiver = await serve(live_then_die)
    await asyncio.gather(*(sender.send(post(receiver.url())) for _ in range(4)))
    before = len(receiver.got)
    dying.set()

    outcome = await sender.send(post(receiver.url()))

    assert (outcome.status, outcome.error) == (200, "")
    assert len(receiver.got) - before == 2


def test_every_word_of_the_table_is_documented() -> None:
    words = set(CURL_ERRORS.values())

    assert words <= set(UNANSWERED)


async def test_a_name_that_resolves_to_nothing_reachable_is_connect(
    sender: CurlSender, names: Names
) -> None:
    names.set("dead.example", ["127.0.0.8", "127.0.0.9"])

    outcome = await sender.send(post(f"http://dead.example:{free_port()}/"))

    assert (outcome.status, outcome.error) == (None, "connect")


async def test_of_a_long_head_little_is_kept_and_all_is_read(
    serve: Serve, sender: CurlSender
) -> None:
    filler = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 1000) for number in range(60))
    answer = b"HTTP/1.1 503 Busy\r\n" + filler + b"Retry-After: 77\r\nContent-Length: 0\r\n\r\n"
    receiver = await serve(answering(answer))

    outcome = await sender.send(post(receiver.url()))

    assert (outcome.status, outcome.retry_after_s) == (503, 77.0)
    assert [name for name, _ in outcome.headers] == ["x-0", "x-1", "x-2", "x-3"]
    assert outcome.headers_cut == 58
