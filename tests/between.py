"""A TCP proxy that stands between a client and a server, and harms what goes through it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

CHUNK = 1 << 16


class Between:
    """Passes bytes on between whoever connects to *port* and a server on the loopback.

    Each harm holds for what is open and for what is opened, until `heal`; what was lost of a
    connection meanwhile stays lost, so that one that was silenced never says anything again.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.slow_s = 0.0
        """Each chunk waits so long, on its way to the server and back."""
        self.before: Callable[[int], Awaitable[None]] = _nothing
        """Done before a connection is passed on, with how many there were until then."""
        self._count = 0
        self.came = 0
        """How many connections were opened to it."""
        self._is_deaf = self._is_mute = self._is_refused = False
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter | None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Between"]:
        """Take connections inside the block, on a free port; its end cuts those that are left."""
        listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            self.cut()

    def cut(self) -> int:
        """Reset every connection; return how many there were."""
        pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                if end is not None:
                    end.transport.abort()
        return len(pairs)

    def refuse(self) -> None:
        """Reset every connection, and each new one at once."""
        self._is_refused = True
        self.cut()

    def silence(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Take what is sent, and pass nothing on in these directions: the other end seems to be
        there and never answers, as one does whose machine or cable is gone."""
        self._is_deaf, self._is_mute = to_server, to_client

    def heal(self) -> None:
        """Pass on what comes from now on; connections of which something was lost are of no use
        any more and stay silent, as they do where the other end's machine is another one now."""
        self.before: Callable[[int], Awaitable[None]] = _nothing
        """Done before a connection is passed on, with how many there were until then."""
        self._count = 0
        self._is_deaf = self._is_mute = self._is_refused = False
        self.slow_s = 0.0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        if self._is_refused:
            writer.transport.abort()
            return
        back: asyncio.StreamWriter | None = None
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter | None] = (writer, None)
        self._pairs.add(pair)
        self._count += 1
        try:
            await self.before(self._count - 1)
            with contextlib.suppress(OSError):
                back_reader, back = await asyncio.open_connection("127.0.0.1", self.server_port)
                if pair not in self._pairs:  # cut meanwhile
                    return
                self._pairs.discard(pair)
                pair = (writer, back)
                self._pairs.add(pair)
                ways = (self._pass(reader, back, True), self._pass(back_reader, writer, False))
                async with asyncio.TaskGroup() as tasks:
                    for way in ways:
                        tasks.create_task(way)
        finally:
            self._pairs.discard(pair)
            for end in (writer, back):
                if end is not None:
                    end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_to_server: bool
    ) -> None:
        """Pass on until either end is over; what ends one way ends the other."""
        is_lost = False
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self.slow_s:
                    await asyncio.sleep(self.slow_s)
                is_lost = is_lost or (self._is_deaf if is_to_server else self._is_mute)
                if not is_lost:
                    writer.write(chunk)
                    await writer.drain()
        writer.transport.abort()


async def _nothing(number: int) -> None:
    """Let the connection pass."""
