"""A receiver on loopback that answers exactly the bytes that a test wants."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Got(NamedTuple):
    """One request as it came in."""

    line: bytes
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name]
        assert len(found) <= 1, found
        return found[0] if found else None


class Line:
    """One connection of a receiver; *number* counts from 1."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def request(self) -> Got | None:
        """Read one request with its body; None when the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        line, *rest = head[:-4].split(b"\r\n")
        headers = [
            (name.decode("latin-1"), value.strip().decode("latin-1"))
            for name, _, value in (r.partition(b":") for r in rest)
        ]
        size = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
        return Got(line, headers, await self.reader.readexactly(size))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.writer.transport.abort()


Script = Callable[["Receiver", Line], Awaitable[None]]


class Receiver:
    """A server whose connections each run *script*; a connection ends when its script does."""

    def __init__(self, script: Script, port: int, scheme: str) -> None:
        self.script = script
        self.port = port
        self.scheme = scheme
        self.got: list[Got] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.finish = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self.script(self, Line(self.connections, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def note(self, got: Got) -> None:
        self.got.append(got)
        self.arrived.set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def start(
    stack: AsyncExitStack,
    script: Script,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Receiver:
    """Serve *script* on a free port until *stack* ends."""
    receiver = Receiver(script, 0, "https" if tls else "http")
    server = await asyncio.start_server(receiver.serve, host, port, ssl=tls, limit=1 << 22)
    receiver.port = server.sockets[0].getsockname()[1]

    async def stop() -> None:
        server.close()
        await receiver.close()
        await server.wait_closed()

    stack.push_async_callback(stop)
    return receiver


def answering(*answers: bytes) -> Script:
    """Answer every request with the next of *answers*, the last one for ever; keep alive."""
    left = list(answers)

    async def script(receiver: Receiver, line: Line) -> None:
        while (got := await line.request()) is not None:
            receiver.note(got)
            await line.say(left.pop(0) if len(left) > 1 else left[0])

    return script


async def hang(receiver: Receiver, line: Line) -> None:
    """Read the request and never answer."""
    got = await line.request()
    if got is not None:
        receiver.note(got)
    await line.reader.read()


async def hold(receiver: Receiver, line: Line) -> None:
    """Answer nothing until the test sets `finish`, then all."""
    while (got := await line.request()) is not None:
        receiver.note(got)
        await receiver.finish.wait()
        await line.say(OK)
