"""Whose request begins when many of one network could: turns are counted, not milliseconds."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest
from uvicorn.server import ServerState

from postbell.serving.listening import Connection, Door, Served
from postbell.serving.listening.turns import AT_ONCE, Turns
from postbell.settings.limits import PeerLimits
from postbell.text.networks import Networks
from tests.serving.raw import GET
from tests.serving.reference import Wire

OTHER = "198.51.100.9"
TROUBLED = "192.0.2.1"
PROXY = "203.0.113.5"


async def test_what_comes_while_nobody_waits_begins_at_once() -> None:
    turns = Turns(at_once=3)
    begun: list[int] = []

    for number in range(3):
        turns.take("a", number, lambda number=number: begun.append(number))

    assert begun == [0, 1, 2]


async def test_only_so_many_begin_in_one_turn_and_all_in_their_order() -> None:
    turns = Turns(at_once=3)
    begun: list[int] = []
    for number in range(8):
        turns.take("a", number, lambda number=number: begun.append(number))

    by_turn = [len(begun)]
    while len(begun) < 8:
        await asyncio.sleep(0)
        by_turn.append(len(begun))

    assert by_turn == [3, 6, 8]
    assert begun == list(range(8))
    await asyncio.sleep(0)
    turns.take("a", 9, lambda: begun.append(9))
    assert begun[-1] == 9, "nobody waits any more"


async def test_networks_take_turns() -> None:
    turns = Turns(at_once=2)
    begun: list[str] = []
    for number in range(6):
        turns.take("a", number, lambda: begun.append("a"))
    for number in range(2):
        turns.take("b", number, lambda: begun.append("b"))
    turns.take("c", 0, lambda: begun.append("c"))

    while len(begun) < 9:
        await asyncio.sleep(0)

    assert "".join(begun) == "aa" + "ab" + "ca" + "ba" + "a"


async def test_what_left_does_not_begin_and_nothing_is_kept_of_it() -> None:
    turns = Turns(at_once=1)
    begun: list[str] = []
    for who in ("first", "gone", "last"):
        turns.take("a", who, lambda who=who: begun.append(who))
    turns.take("b", "alone", lambda: begun.append("alone"))

    for network, who in (("a", "gone"), ("b", "alone"), ("a", "gone"), ("c", "never there")):
        turns.leave(network, who)
    for _ in range(4):
        await asyncio.sleep(0)

    assert begun == ["first", "last"]


async def test_one_that_cannot_begin_keeps_nobody_from_it() -> None:
    def fail() -> None:
        raise RuntimeError("on purpose")

    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about))
    turns = Turns(at_once=1)
    begun: list[str] = []
    turns.take("a", 1, lambda: begun.append("a"))
    turns.take("a", 2, fail)
    turns.take("b", 3, lambda: begun.append("b"))

    for _ in range(4):
        await asyncio.sleep(0)

    assert begun == ["a", "b"]
    assert [str(each["exception"]) for each in told] == ["on purpose"]


async def test_who_waits_for_a_turn_and_is_cancelled_leaves() -> None:
    turns = Turns(at_once=1)
    for number in range(2):
        turns.take("a", number, lambda: None)
    begun: list[int] = []
    waiting = asyncio.ensure_future(turns.come("a", "cancelled"))
    await asyncio.sleep(0)
    turns.take("a", 3, lambda: begun.append(3))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    for _ in range(3):
        await asyncio.sleep(0)

    assert begun == [3]


class Crowd:
    """Connections over wires, and whose requests began, in their order."""

    def __init__(self, tasks: asyncio.TaskGroup, trusted: Networks = ()) -> None:
        self.begun: list[str] = []
        self._served = Served(self._app, Door(PeerLimits(), trusted=trusted), tasks, None)
        self._server = ServerState()

    def connect(self, host: str) -> tuple[Connection, Wire]:
        connection, wire = Connection(self._served, self._server), Wire(host)
        connection.connection_made(wire)
        return connection, wire

    async def _app(self, scope: Any, _receive: Any, send: Any) -> None:
        self.begun.append(scope["client"][0])
        await asyncio.sleep(0)
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def deliver(connection: Connection, data: bytes) -> None:
    buffer = connection.get_buffer(-1)
    buffer[: len(data)] = data
    connection.buffer_updated(len(data))


async def test_two_hundred_pipelining_connections_of_one_network_let_another_begin() -> None:
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(tasks)
        kept, wire = crowd.connect(OTHER)
        flood = [crowd.connect(TROUBLED)[0] for _ in range(200)]
        for connection in flood:
            deliver(connection, GET * 99)
        before: list[int] = []
        for number in range(1, 21):
            begun = len(crowd.begun)
            deliver(kept, GET)
            while crowd.begun.count(OTHER) < number:
                await asyncio.sleep(0)
            before.append(crowd.begun.index(OTHER, begun) - begun)
            while wire.written.count(b"HTTP/1.1 200") < number:
                await asyncio.sleep(0)
        while len(crowd.begun) < 200 * 99 + 20:
            await asyncio.sleep(0)
        for _ in range(4):
            await asyncio.sleep(0)

    assert max(before) <= 2 * AT_ONCE


async def test_each_connection_of_a_trusted_proxy_has_turns_of_its_own() -> None:
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(tasks, trusted=(ip_network(PROXY),))
        flood = [crowd.connect(TROUBLED)[0] for _ in range(200)]
        proxied = [crowd.connect(PROXY)[0] for _ in range(20)]
        for connection in (*flood, *proxied):
            deliver(connection, GET)
        while len(crowd.begun) < 220:
            await asyncio.sleep(0)
        for _ in range(4):
            await asyncio.sleep(0)

    last = max(at for at, host in enumerate(crowd.begun) if host == PROXY)
    assert last <= AT_ONCE + 1 + 20, "those of one network and of the proxy do not alternate"


async def test_a_connection_lost_while_it_waits_is_never_answered() -> None:
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(tasks)
        flood = [crowd.connect(TROUBLED)[0] for _ in range(AT_ONCE * 3)]
        for connection in flood:
            deliver(connection, GET)
        for connection in flood[AT_ONCE:]:
            connection.connection_lost(None)
        for _ in range(10):
            await asyncio.sleep(0)

    assert len(crowd.begun) == AT_ONCE


async def test_where_a_turn_costs_much_fewer_begin_in_the_next_and_more_again_later() -> None:
    cost_s, spent_s = 0.01, 0.0

    def begin() -> None:
        nonlocal spent_s
        spent_s += cost_s
        begun.append(1)

    turns = Turns(at_once=16, cpu_s=lambda: spent_s)
    begun: list[int] = []
    for number in range(400):
        turns.take("a", number, begin)
    by_turn = [len(begun)]
    while len(begun) < 40:
        begun_before = len(begun)
        await asyncio.sleep(0)
        by_turn.append(len(begun) - begun_before)
    cost_s = 0.0
    while len(begun) < 400:
        begun_before = len(begun)
        await asyncio.sleep(0)
        by_turn.append(len(begun) - begun_before)

    assert by_turn[0] == 16
    assert by_turn[1:10] == [1] * 9
    assert max(by_turn[10:]) == 16
