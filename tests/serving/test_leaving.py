"""What is left of connections that ended, and how long a last one holds up the end."""

import asyncio
import contextlib
import gc
import signal
import ssl
import weakref
from pathlib import Path
from typing import Any

import pytest
import uvloop

from postbell.serving.listening import Door
from postbell.serving.server import bind, serving
from postbell.serving.tls import Certificate
from postbell.settings.limits import PeerLimits
from postbell.settings.values import Address
from tests.cli.running import LIMIT_S
from tests.serving.raw import served
from tests.wire.certificates import Authority

LOOKS = 500
EACH_S = 0.01


async def _hello(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def _is_let_go(certificate: Certificate | None, client: ssl.SSLContext | None) -> bool:
    """Say whether a connection is gone for good when its peer is, without a collection."""
    sock = bind(Address("127.0.0.1", 0))
    door = Door(PeerLimits())
    async with serving(_hello, sock, shutdown_s=1, door=door, certificate=certificate):
        host, port = sock.getsockname()[:2]
        reader, writer = await asyncio.open_connection(
            host, port, ssl=client, server_hostname="localhost" if client else None
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"hello")
        (guest,) = map(weakref.ref, door.inside)
        writer.close()
        for _ in range(LOOKS):
            if guest() is None:
                return True
            await asyncio.sleep(EACH_S)
        return False


@pytest.mark.parametrize("is_secured", [False, True], ids=["clear", "tls"])
def test_a_connection_that_ended_is_no_garbage(tmp_path: Path, *, is_secured: bool) -> None:
    certificate = client = None
    if is_secured:
        authority = Authority(tmp_path)
        authority.context("localhost")
        both = str(tmp_path / "localhost.pem")
        certificate = Certificate(both, both)
        client = ssl.create_default_context(cafile=str(authority.file))
    gc.collect()
    gc.disable()
    try:
        assert uvloop.run(_is_let_go(certificate, client))
    finally:
        gc.enable()


DEAF = 50


def test_clients_that_take_no_answer_do_not_hold_up_the_end(tmp_path: Path) -> None:
    flags = ("--http-write-s", "3000", "--shutdown-s", "600")
    writing = 'postbell_http_connections{listener="main",state="writing"}'
    with served(tmp_path, *flags) as service, contextlib.ExitStack() as stack:
        for _ in range(DEAF):
            client = stack.enter_context(service.connect(buffer_bytes=4096))
            client.send(b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 19)
        while service.metric(writing) < DEAF:
            pass

        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(LIMIT_S) == 0
