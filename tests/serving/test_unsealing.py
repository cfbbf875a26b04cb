"""TLS step by step, without a socket: handshakes take turns, and unsealing has its limits."""

import asyncio
import contextlib
import itertools
import random
import ssl
import time
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from uvicorn.server import ServerState

from postbell.serving.listening import Connection, Door, Securing
from postbell.serving.listening import Served as Common
from postbell.serving.listening.pace import GRACE_S
from postbell.serving.listening.states import State
from postbell.serving.listening.turns import AT_ONCE
from postbell.settings.limits import PeerLimits
from tests.cli.running import LIMIT_S
from tests.serving.raw import GET
from tests.serving.reference import Wire
from tests.wire.certificates import Authority

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("unsealing"))


def a_hello() -> bytes:
    """Return what a client of TLS says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


class Arrived:
    """A connection over TLS that has come in; `hello` is what its peer says first."""

    def __init__(self, served: Common, context: ssl.SSLContext, host: str) -> None:
        self.wire = Wire(host)
        self.connection = Connection(served, ServerState())
        self._securing = Securing(self.connection, served, context)
        self._securing.connection_made(self.wire)

    def hear(self, data: bytes, cost_s: float = 0.0) -> None:
        """Take what the peer sent, as far as it is read; reading it takes so much CPU time."""
        assert self.wire.is_reading_on
        self._securing.get_buffer(-1)[: len(data)] = data
        until_s = time.thread_time() + cost_s
        while time.thread_time() < until_s:
            pass
        self._securing.buffer_updated(len(data))

    async def hear_all(self, data: bytes) -> None:
        """Take what the peer sent, as soon as it is read."""
        while data:
            while not self.wire.is_reading_on:
                await asyncio.sleep(0)
            size = len(self._securing.get_buffer(-1))
            self.hear(data[:size])
            data = data[size:]

    def shake_hands(self, authority: Authority) -> "Peer":
        """Return who is at the other end, the handshake done."""
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=str(authority.file))
        peer = Peer(context.wrap_bio(came, goes, server_hostname="localhost"), goes)
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        self.hear(goes.read())
        came.write(self.wire.written)
        peer.tls.do_handshake()
        return peer


class Peer(NamedTuple):
    """The other end of a connection; `goes` holds what it sealed."""

    tls: ssl.SSLObject
    goes: ssl.MemoryBIO

    def sealed(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.goes.read()


async def nobody(*_asgi: Any) -> None:
    """The application of connections that ask for nothing."""


async def test_handshakes_of_another_network_have_their_turn_among_hundreds(
    authority: Authority,
) -> None:
    door = Door(PeerLimits())
    context = authority.context("localhost")
    async with asyncio.TaskGroup() as tasks:
        common = Common(nobody, door, tasks, lambda: context)
        crowd = [Arrived(common, context, "192.0.2.1") for _ in range(200)]
        other = Arrived(common, context, "198.51.100.9")
        for _ in range(3):
            await asyncio.sleep(0)  # whoever was let in long ago has said nothing yet
        for each in (*crowd, other):
            each.hear(a_hello())
        while not other.wire.written:
            await asyncio.sleep(0)
        answered = sum(bool(each.wire.written) for each in crowd)
        for each in (*crowd, other):
            each.connection.abort()
            each.connection.connection_lost(None)

    assert answered <= 2 * AT_ONCE
    assert not door.inside


async def test_a_connection_that_ends_before_its_handshake_began_never_has_a_turn(
    authority: Authority,
) -> None:
    door = Door(PeerLimits())
    context = authority.context("localhost")
    async with asyncio.TaskGroup() as tasks:
        common = Common(nobody, door, tasks, lambda: context)
        arrived = [Arrived(common, context, "192.0.2.1") for _ in range(3 * AT_ONCE)]
        for each in arrived:
            each.hear(a_hello())
        for each in arrived:
            each.connection.abort()
        written = [each.wire.written for each in arrived]
        for _ in range(3 * AT_ONCE):
            await asyncio.sleep(0)

        assert [each.wire.written for each in arrived] == written


async def test_what_a_client_sends_after_a_refusal_is_thrown_away_and_not_refused_again(
    authority: Authority,
) -> None:
    door = Door(PeerLimits())
    context = authority.context("localhost")
    async with asyncio.TaskGroup() as tasks:
        served = Arrived(Common(nobody, door, tasks, lambda: context), context, "192.0.2.1")
        served.hear(served.shake_hands(authority).sealed(b"no request\r\n\r\n"))
        assert door.refused == {"malformed_request": 1}

        served.hear(b"x", cost_s=2 * GRACE_S)

        assert served.connection.state is State.DRAINING
        served.connection.abort()
    assert door.refused == {"malformed_request": 1}


async def take_all(_scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the whole body before it answers."""
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_connection_goes_on_after_bodies_that_came_behind_their_heads(
    authority: Authority,
) -> None:
    door = Door(PeerLimits())
    context = authority.context("localhost")
    async with asyncio.TaskGroup() as tasks:
        served = Arrived(Common(take_all, door, tasks, lambda: context), context, "192.0.2.1")
        peer = served.shake_hands(authority)
        for _ in range(3):
            for part in (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n", b"ab", b"cd"):
                served.hear(peer.sealed(part))
                for _ in range(5):
                    await asyncio.sleep(0)

            assert served.connection.state is State.IDLE
        assert served.wire.is_reading_on
        served.connection.abort()


def a_request(chance: random.Random) -> bytes:
    body = b"x" * chance.choice((0, 1, 50, 3000, 17_000, 80_000))
    if chance.random() < 0.5:
        return b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + chunk + b"0\r\n\r\n"


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """Return *data* in up to six pieces."""
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.randrange(6)))
    return [data[at:to] for at, to in itertools.pairwise((0, *cuts, len(data))) if to > at]


@pytest.mark.parametrize("seed", range(20))
async def test_every_request_is_answered_however_it_is_cut_into_records_and_reads(
    authority: Authority, seed: int
) -> None:
    chance = random.Random(seed)
    door = Door(PeerLimits())
    context = authority.context("localhost", key=KEY)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(LIMIT_S):
        served = Arrived(Common(take_all, door, tasks, lambda: context), context, "192.0.2.1")
        peer = served.shake_hands(authority)
        for _ in range(10):
            records = [peer.sealed(piece) for piece in cut(a_request(chance), chance)]
            for piece in cut(b"".join(records), chance):
                await served.hear_all(piece)
            while served.connection.state is not State.IDLE:
                await asyncio.sleep(0)
        served.connection.abort()


async def test_small_records_that_come_one_at_a_time_are_taken(authority: Authority) -> None:
    door = Door(PeerLimits())
    context = authority.context("localhost")
    async with asyncio.TaskGroup() as tasks:
        served = Arrived(Common(nobody, door, tasks, lambda: context), context, "192.0.2.1")
        peer = served.shake_hands(authority)
        served.hear(peer.sealed(GET.removesuffix(b"\r\n") + b"x: "))
        for _ in range(3000):
            served.hear(peer.sealed(b"x"))

        assert served.connection.state is State.HEAD
        served.connection.abort()
    assert not door.refused
