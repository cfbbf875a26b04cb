"""HTTP coming in: a bound socket and a quiet uvicorn on it, started and ended by its owner."""

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from postbell.errors import ServiceError
from postbell.setting_values import Address
from postbell.signals import log
from postbell.tls import Certificate

BACKLOG = 4096
MAX_CONNECTIONS = 10_000
KEEP_ALIVE_S = 75
MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 20.0


def bind(address: Address, flag: str = "--listen") -> socket.socket:
    """Return a socket bound to *address*; raise ServiceError saying why it cannot be, and with
    which *flag* another address is chosen."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ServiceError(
            f"cannot listen on {address}: {reason}; choose another address with {flag}"
        ) from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> Address:
    """Return where *sock* really is bound, the port that the machine chose included."""
    host, port = sock.getsockname()[:2]
    return Address(host, port)


@contextlib.asynccontextmanager
async def serving(
    app: Any, sock: socket.socket, *, shutdown_s: float, certificate: Certificate | None = None
) -> AsyncIterator[None]:
    """Serve the ASGI *app* on *sock* inside the block; the end of the block stops accepting,
    waits up to *shutdown_s* for requests being answered, and closes the socket.  With a
    *certificate* it speaks TLS.

    Where the server itself ends early, the block is cancelled and ServiceError raised.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(shutdown_s),
    )
    if certificate is not None:
        config.load()
        config.ssl = certificate.context
    server = _Server(config)
    _quieten()
    async with asyncio.TaskGroup() as group:
        group.create_task(_run(server, sock), name="http")
        await server.is_up.wait()
        try:
            yield
        finally:
            server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(HttpToolsProtocol):
    """uvicorn's, with limits on a request's head: its bytes and the time that it takes.

    A connection that begins no request ends after HEAD_TIMEOUT_S, too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._refuse)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._refuse)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def _end_head(self) -> None:
        self._is_in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        """Answer 400 to a head that is too long or too slow, and close."""
        self._end_head()
        if not self.transport.is_closing():
            self.send_400_response("The head of the request is too long or too slow.")


async def _run(server: uvicorn.Server, sock: socket.socket) -> None:
    await server.serve(sockets=[sock])
    if not server.should_exit:
        raise ServiceError("the HTTP server ended by itself")


class _ToSignals(logging.Handler):
    """Passes what uvicorn has to say on to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        log("http_trouble", message=record.getMessage(), exc_info=record.exc_info)


def _quieten() -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.handlers = [_ToSignals(logging.WARNING)]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
