"""Receivers that are out of order, each at an address of its own: one process for all of them.

Prints one JSON object of URLs: `hangs` takes requests and never answers, `refuses` has a port
that nobody listens on, `fails` answers 500.
"""

import asyncio
import json
import socket

import uvloop

from bench import server

FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


async def run() -> None:
    _, hangs = await server.listen(lambda connection, body: None, "127.0.0.2")
    _, fails = await server.listen(lambda connection, body: connection.answer(FAILED), "127.0.0.3")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.4", 0))
        urls = {
            "hangs": f"http://127.0.0.2:{hangs}/",
            "fails": f"http://127.0.0.3:{fails}/",
            "refuses": f"http://127.0.0.4:{unheard.getsockname()[1]}/",
        }
        print(json.dumps(urls), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run())
