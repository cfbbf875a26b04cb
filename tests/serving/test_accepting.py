"""How many connections come in with one turn of the loop."""

import asyncio
import contextlib
import socket
from typing import Any

import uvloop

from postbell.serving.listening import Door
from postbell.serving.server import bind, serving
from postbell.settings.limits import PeerLimits
from postbell.settings.values import Address

CROWD = 64


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody asks for anything")


async def _turns_until_all_are_in() -> int:
    sock = bind(Address("127.0.0.1", 0))
    door = Door(PeerLimits())
    async with serving(_app, sock, shutdown_s=1, door=door):
        with contextlib.ExitStack() as stack:
            for _ in range(CROWD):  # the kernel takes them, while the loop stands still
                stack.enter_context(socket.create_connection(sock.getsockname()[:2]))
            turns = 0
            while len(door.inside) < CROWD:
                await asyncio.sleep(0)
                turns += 1
                assert turns < 100 * CROWD
            return turns


def test_a_slow_turn_of_the_loop_lets_several_connections_in() -> None:
    turns = uvloop.run(_turns_until_all_are_in())

    assert turns < CROWD / 2
