"""HTTP coming in: a bound socket and a quiet uvicorn on it, started and ended by its owner.

uvicorn accepts, and ends in order; each connection is `listening`'s."""

import asyncio
import contextlib
import functools
import logging
import math
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from postbell.errors import ServiceError
from postbell.serving.listening import Connection, Door, Securing, Served
from postbell.serving.listening.refusals import STOPPING
from postbell.serving.tls import Certificate
from postbell.settings.limits import PeerLimits
from postbell.settings.values import Address
from postbell.signals import log

BACKLOG = 4096
ACCEPTS = 8
"""Connections accepted in one turn of the loop at most: libuv accepts one for each listening file,
so the socket is listened to as so many.  Where turns take 5 ms one would be 200 a second, and a
stranger who connects more often keeps everybody waiting."""
UNSENT_BYTES = 128 << 10
"""What the kernel takes of answers that their readers do not, of each connection; it would be
megabytes."""


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
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
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
    app: Any,
    sock: socket.socket,
    *,
    shutdown_s: float,
    door: Door | None = None,
    certificate: Certificate | None = None,
) -> AsyncIterator[None]:
    """Serve the ASGI *app* on *sock* inside the block; the end of the block stops accepting,
    waits up to *shutdown_s* for requests being answered, and closes the socket.  *door* limits
    and counts; with a *certificate* it speaks TLS.

    Where the server itself ends early, the block is cancelled and ServiceError raised.
    """
    door = door or Door(PeerLimits())
    async with asyncio.TaskGroup() as group:
        tls = None if certificate is None else lambda: certificate.context
        served = Served(app, door, group, tls)
        ended = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=functools.partial(_connection, served, ended),  # type: ignore[arg-type]  # makes one
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=math.ceil(shutdown_s),
        )
        server = _Server(config)
        _quieten()
        watching = group.create_task(door.watch(), name="http-limits")
        group.create_task(_run(server, sock, watching, ended), name="http")
        await server.is_up.wait()
        try:
            yield
        except BaseException:
            _drop_all(server, ended)  # at once: the group takes no tasks from here on
            raise
        finally:
            server.should_exit = True


class _Connection(Connection):
    """A connection of a server that may have *ended*: then nothing can answer it any more."""

    def __init__(self, served: Served, server: ServerState, ended: asyncio.Event) -> None:
        super().__init__(served, server)
        self._ended = ended

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._ended.is_set():
            transport.abort()

    def break_off(self) -> None:
        """Say so to who waits for an answer that has not begun, and end."""
        if self._exchange is not None and not self._exchange.started:
            self.refuse(STOPPING)
        else:
            self.transport.abort()


def _connection(
    served: Served, ended: asyncio.Event, server_state: ServerState, **_uvicorns: Any
) -> asyncio.BaseProtocol:
    """Make the protocol of a connection, as uvicorn asks for it."""
    connection = _Connection(served, server_state, ended)
    if served.tls is None:
        return connection
    return Securing(connection, served, served.tls())


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.servers = []
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    server: uvicorn.Server,
    sock: socket.socket,
    watching: "asyncio.Task[None]",
    ended: asyncio.Event,
) -> None:
    try:
        await server.serve(sockets=[sock, *(sock.dup() for _ in range(ACCEPTS - 1))])
        if not server.should_exit:
            raise ServiceError("the HTTP server ended by itself")
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)  # requests that are cancelled with us say so to their clients
        _drop_all(server, ended)  # their time to finish is over


def _drop_all(server: uvicorn.Server, ended: asyncio.Event) -> None:
    """End every connection, those that come in just now as well."""
    ended.set()
    for listener in server.servers:
        listener.close()
    for connection in list(server.server_state.connections):
        if isinstance(connection, _Connection):
            connection.break_off()


class _ToSignals(logging.Handler):
    """Passes what uvicorn has to say on to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        log("http_trouble", message=record.getMessage(), exc_info=record.exc_info)


def _quieten() -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.handlers = [_ToSignals(logging.WARNING)]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
