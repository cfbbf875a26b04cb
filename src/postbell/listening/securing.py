"""TLS before HTTP: the handshake is the first state of a connection, not the library's secret.

A loop that is given a certificate shakes hands before it tells anybody of a connection; so it is
given none, the door is asked first, and the socket goes to TLS then.
"""

import asyncio
import os
import socket
import ssl
from functools import partial
from typing import Any

from postbell.fences import note
from postbell.limits import Limits
from postbell.listening.connection import Connection

SPARE_S = 5.0
"""The door ends a handshake first, and counts it."""


class Securing(asyncio.Protocol):
    """The protocol of a connection until its socket goes to TLS."""

    def __init__(
        self,
        knocking: Connection,
        context: ssl.SSLContext,
        limits: Limits,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._knocking = knocking
        self._context = context
        self._limits = limits
        self._tasks = tasks
        self._is_handed_over = False

    def connection_made(self, transport: Any) -> None:
        if self._knocking.come_in(transport):
            sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            sock.setblocking(False)
            transport.abort()  # of this descriptor; nothing was read, and nothing is sent
            shaking = self._tasks.create_task(self._shake_hands(sock))
            shaking.add_done_callback(partial(self._ended, sock))
            self._knocking.shaking(shaking)

    def _ended(self, sock: socket.socket, shaking: "asyncio.Task[None]") -> None:
        """Free the place of a handshake that was cancelled, be it before its first step."""
        if shaking.cancelled():
            if not self._is_handed_over:
                sock.close()
            self._knocking.failed()

    async def _shake_hands(self, sock: socket.socket) -> None:
        try:
            await self._knocking.its_turn()
            self._is_handed_over = True
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._knocking,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.tls_handshake_s + SPARE_S,
                ssl_shutdown_timeout=self._limits.http_drain_s,
            )
        except (OSError, TimeoutError):
            self._knocking.failed()
        except Exception as error:
            note("door", error, item="a TLS handshake")
            self._knocking.failed()
