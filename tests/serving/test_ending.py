"""A service that breaks off says so to whoever waits for an answer."""

import asyncio
from contextlib import closing
from typing import Any

from postbell.serving.server import address_of, bind, serving
from postbell.settings.values import Address


class Broken(Exception):
    """What ends the service."""


async def test_a_request_that_is_worked_on_gets_503_where_the_service_breaks_off() -> None:
    begun = asyncio.Event()

    async def work_for_ever(_scope: Any, _receive: Any, _send: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    with closing(bind(Address("127.0.0.1", 0))) as sock:
        sock.listen()
        address = address_of(sock)
        try:
            async with serving(work_for_ever, sock, shutdown_s=1):
                reader, writer = await asyncio.open_connection(address.host, address.port)
                writer.write(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
                await begun.wait()
                raise Broken
        except* Broken:
            pass
        answer = await reader.read()
        writer.close()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 1\r\n" in head
    assert b'"code":"stopping"' in body
