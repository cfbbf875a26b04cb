"""TLS between a socket and its connection: the handshake is the first state of a connection, not
a library's secret, and each step of it waits for its turn.

To the socket's transport this is a protocol, to the connection a transport.  What came and may not
be unsealed yet is one read, what is sealed and not sent one buffer of the transport.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from typing import Any

from postbell.serving.listening.connection import Connection, Served

RECORD_BYTES = 16 << 10


class Securing(asyncio.BufferedProtocol):
    """The protocol of a socket that speaks TLS, and the transport of *connection*."""

    def __init__(self, connection: Connection, served: Served, context: ssl.SSLContext) -> None:
        self._connection = connection
        self._door = served.door
        self._context = context
        self._socket: Any = None
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject
        self._has_begun = self._is_shaken = False
        self._is_reading = True
        self._is_unsealing = False
        self._is_deaf = False
        self._loop = asyncio.get_running_loop()
        self._to_seal: deque[memoryview] = deque()
        self._will_seal = False
        self._is_full = self._is_full_above = False
        self._has_said_bye = self._is_closing = False

    # ---- the socket's transport tells ---------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._socket = transport
        self._connection.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.turns.leave(self._connection.turns_as, self)
        self._to_seal.clear()
        self._connection.connection_lost(exc)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._connection.get_buffer(-1)

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_deaf:
            self._connection.buffer_updated(nbytes)
            return
        self._came.write(self._door.body_view[:nbytes])
        if self._is_shaken:
            self._unseal()
        else:
            self._socket.pause_reading()
            self._door.turns.take(self._connection.turns_as, self, self._shake_hands)

    def eof_received(self) -> bool:
        return self._is_shaken and self._connection.eof_received()

    def pause_writing(self) -> None:
        self._is_full = True
        if not self._is_full_above:
            self._is_full_above = True
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._is_full = False
        self._seal()
        if self._is_full_above and not self._is_full:
            self._is_full_above = False
            self._connection.resume_writing()

    # ---- the connection asks its transport ----------------------------------------------------

    def get_extra_info(self, name: str) -> Any:
        return self._socket.get_extra_info(name)

    def pause_reading(self) -> None:
        self._is_reading = False
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Read on, beginning with what came already: soon, since who asks is not done yet."""
        self._is_reading = True
        if not self._is_unsealing:
            self._loop.call_soon(self._read_on)

    def write(self, data: bytes) -> None:
        """Seal it: soon, since more may come that goes into the same record."""
        self._to_seal.append(memoryview(data))
        if len(data) > RECORD_BYTES:
            self._seal()
        elif not self._will_seal:
            self._will_seal = True
            self._loop.call_soon(self._seal)

    def get_write_buffer_size(self) -> int:
        return int(self._socket.get_write_buffer_size()) + sum(map(len, self._to_seal))

    def write_eof(self) -> None:
        """Say that the last answer was given; from here on what comes is not unsealed."""
        self._is_deaf = True
        self._seal()

    def close(self) -> None:
        self._is_closing = self._is_deaf = True
        if not self._socket.is_closing():
            self._socket.pause_reading()
        self._seal()

    def is_closing(self) -> bool:
        return self._is_closing or bool(self._socket.is_closing())

    def abort(self) -> None:
        self._is_closing = self._is_deaf = True
        self._door.turns.leave(self._connection.turns_as, self)
        self._socket.abort()

    # ---- details ------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        """Take a step of the handshake: it is this connection's turn."""
        if not self._has_begun:
            self._has_begun = True
            self._tls = self._context.wrap_bio(self._came, self._goes, server_side=True)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            self._socket.resume_reading()
        except (ssl.SSLError, ValueError):
            self._fail()
        else:
            self._flush()
            self._is_shaken = True
            self._connection.secured()
            self._read_on()

    def _read_on(self) -> None:
        if self._is_reading and not self.is_closing():
            self._socket.resume_reading()
            if not self._is_deaf:
                self._unseal()

    def _unseal(self) -> None:
        """Hand on what came, as far as the connection takes it."""
        connection = self._connection
        self._is_unsealing = True
        while self._is_reading and not self._is_deaf:
            view = connection.get_buffer(-1)
            size, is_dry, is_over = 0, False, False
            try:
                while size < len(view) and not is_over:
                    room = len(view) - size
                    count: Any = self._tls.read(room, view[size:])
                    is_over = not count
                    size += count
            except ssl.SSLWantReadError:
                is_dry = True
            except ssl.SSLError:
                self._fail()
                break
            connection.buffer_updated(size)
            if is_over and not self._is_deaf:
                self._is_reading = False
                self._socket.pause_reading()
                if not connection.eof_received():
                    self.close()
            if is_dry or is_over:
                break
        self._is_unsealing = False
        self._flush()
        if self._is_reading and not self.is_closing():
            self._socket.resume_reading()  # it paused, and went on, while this was unsealed

    def _seal(self) -> None:
        """Seal as much as the socket takes, then say good-bye where that was all."""
        self._will_seal = False
        waiting = self._to_seal
        while waiting and not self._is_full:
            data = waiting.popleft()
            while waiting and len(data) + len(waiting[0]) <= RECORD_BYTES:
                data = memoryview(b"".join((data, waiting.popleft())))
            try:
                count = self._tls.write(data[:RECORD_BYTES])
            except ssl.SSLError:
                self._fail()
                return
            if count < len(data):
                waiting.appendleft(data[count:])
            self._flush()
        if self._is_deaf and not waiting:
            self._say_bye()

    def _say_bye(self) -> None:
        if not self._has_said_bye:
            self._has_said_bye = True
            if self._is_shaken:
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                self._flush()
            if not self.is_closing():
                self._socket.write_eof()
        if self._is_closing:
            self._socket.close()

    def _flush(self) -> None:
        if self._goes.pending and not self._socket.is_closing():
            self._socket.write(self._goes.read())

    def _fail(self) -> None:
        """End what is no TLS, with the alert that says so."""
        self._to_seal.clear()
        self._flush()
        self._has_said_bye = True
        self.close()
