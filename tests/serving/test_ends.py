"""The server ends because another part of the process failed."""

import asyncio
import contextlib
from typing import Any

import pytest

from postbell.serving.server import address_of, bind, serving
from postbell.settings.values import Address

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def hang(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def test_who_comes_after_a_failure_is_not_begun(caplog: pytest.LogCaptureFixture) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    sock = bind(Address("127.0.0.1", 0))
    address = address_of(sock)

    with pytest.raises(ExceptionGroup):
        async with serving(hang, sock, shutdown_s=1):
            raise ValueError("another part")
    for _ in range(3):
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(GET)
            await reader.read()
            writer.close()

    assert told == []
