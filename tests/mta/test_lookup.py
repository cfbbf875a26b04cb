"""The listener that a mail server asks, over real connections."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from typing import Any

import pytest

from postbell.errors import BadInput
from postbell.mta import answering, lookup
from postbell.settings.members import Settings
from postbell.suppressing.held import SuppressedAddresses
from tests.api.service import Service, running
from tests.mta.test_protocols import ESCAPED, POLICY, REFUSED
from tests.sources.mail.test_listener import Gone

YES, NO = b"200 " + ESCAPED.replace(b"hard_bounce", b"manual") + b"\n", b"500 not%20suppressed\n"
LIMIT_S = 60.0


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Ada is suppressed for acme, bob for its api user anna, carol for beta."""
    async with running() as service:
        beta = service.accounts["beta"].id
        for account_id, address, user in (
            (service.acme, "ada@example.net", "all"),
            (service.acme, "bob@example.net", "anna"),
            (beta, "carol@example.net", "all"),
        ):
            form = {"address": address, "api_user": user}
            await service.desk.add_suppression(account_id, form)
        yield service


@asynccontextmanager
async def listening(service: Service, **members: Any) -> AsyncIterator["Place"]:
    """Give where a lookup for acme listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    settings = Settings(
        **{"mta_lookup": f"127.0.0.1:{port}", "mta_lookup_account": "acme", **members}
    )
    place = Place(port)

    async def answer(is_up: asyncio.Event) -> None:
        known = service.engine.suppressions, service.directory, service.clock
        async with answering(settings, *known):
            is_up.set()
            await place.stop.wait()

    is_up = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer(is_up))
        await is_up.wait()
        try:
            yield place
        finally:
            place.stop.set()
            await place.leave()


class Place:
    """A port, and the connections that a test opened to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[Client] = []
        self.stop = asyncio.Event()

    async def client(self) -> "Client":
        """Open a connection, once the lists were read."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                with suppress(ConnectionRefusedError):
                    opened = await asyncio.open_connection("127.0.0.1", self._port)
                    break
                await asyncio.sleep(0.01)
        client = Client(*opened)
        self._clients.append(client)
        return client

    async def leave(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()
            with suppress(ConnectionError):
                await client.writer.wait_closed()


class Client:
    """A connection of a mail server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes, end: bytes = b"\n") -> bytes:
        self.writer.write(request)
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.readuntil(end)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(LIMIT_S):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


async def test_one_port_speaks_both_protocols(service: Service) -> None:
    async with listening(service) as place:
        client = await place.client()
        table = await client.ask(b"get Ada@Example.NET\n")
        miss = await client.ask(b"get eve@example.net\n")
        policy = await client.ask(POLICY % (b"RCPT", b"ada@example.net", b""), b"\n\n")

    assert (table, miss) == (YES, NO)
    assert policy == b"action=" + REFUSED.replace(b"hard_bounce", b"manual") + b"\n\n"


@pytest.mark.parametrize(("login", "refused"), [
    (b"", "ada"), (b"alice", "ada"), (b"anna", "ada bob"), (b"bob", "carol"), (b"nobody", "ada"),
])  # fmt: skip
async def test_a_login_that_is_an_api_user_asks_for_its_own_mail(
    service: Service, login: bytes, refused: str
) -> None:
    async with listening(service) as place:
        client = await place.client()
        found = [
            name
            for name in ("ada", "bob", "carol")
            if b"550"
            in await client.ask(POLICY % (b"RCPT", f"{name}@example.net".encode(), login), b"\n\n")
        ]

    assert found == refused.split()


async def test_without_an_account_only_logins_ask(service: Service) -> None:
    async with listening(service, mta_lookup_account="") as place:
        client = await place.client()
        table = await client.ask(b"get ada@example.net\n")
        policy = await client.ask(POLICY % (b"RCPT", b"ada@example.net", b"alice"), b"\n\n")

    assert table == NO
    assert b"550" in policy


async def test_what_changes_is_answered_soon(service: Service) -> None:
    async with listening(service) as place:
        client = await place.client()
        before = await client.ask(b"get eve@example.net\n")
        await service.desk.add_suppression(service.acme, {"address": "eve@example.net"})
        async with asyncio.timeout(LIMIT_S):
            while await client.ask(b"get eve@example.net\n") == NO:
                await asyncio.sleep(0.01)
        await service.desk.remove_suppression(service.acme, "eve@example.net")
        async with asyncio.timeout(LIMIT_S):
            while await client.ask(b"get eve@example.net\n") == YES:
                await asyncio.sleep(0.01)

    assert before == NO


async def test_thousands_of_requests_at_once_are_answered_in_order(service: Service) -> None:
    names = [b"ada" if n % 3 == 0 else b"eve" for n in range(3000)]
    async with listening(service) as place:
        client = await place.client()
        for name in names:
            client.writer.write(b"get %s@example.net\n" % name)
        async with asyncio.timeout(LIMIT_S):
            answers = [await client.reader.readline() for _ in names]

    assert answers == [YES if name == b"ada" else NO for name in names]


async def test_who_reads_no_answers_is_read_no_further(service: Service) -> None:
    async with listening(service) as place:
        client = await place.client()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        other = await place.client()
        for _ in range(40):
            client.writer.write(b"get ada@example.net\n" * 10_000)
            await other.ask(b"get eve@example.net\n")

        assert client.writer.transport.get_write_buffer_size() > 1 << 20


@pytest.mark.parametrize("junk", [
    b"EHLO there\n\n", b"get " + b"a" * 40_000, b"\n", bytes(40_000),
])  # fmt: skip
async def test_what_is_no_question_ends_its_connection_only(service: Service, junk: bytes) -> None:
    async with listening(service) as place:
        client, other = await place.client(), await place.client()
        client.writer.write(junk)
        is_closed = await client.is_closed()
        answer = await other.ask(b"get ada@example.net\n")

    assert is_closed
    assert answer == YES


async def test_only_named_networks_may_ask(service: Service) -> None:
    networks = (ip_network("192.0.2.0/24"),)
    async with listening(service, mta_lookup_networks=networks) as place:
        client = await place.client()

        assert await client.is_closed()


async def test_connections_are_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MAX_CONNECTIONS", 2)
    async with listening(service) as place:
        first, second = await place.client(), await place.client()
        await first.ask(b"get a@b.example\n")
        await second.ask(b"get a@b.example\n")
        third = await place.client()
        is_closed = await third.is_closed()
        first.writer.close()
        await first.writer.wait_closed()
        answer = b""
        while not answer:
            fourth = await place.client()
            try:
                answer = await fourth.ask(b"get ada@example.net\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                await asyncio.sleep(0.01)

    assert is_closed
    assert answer == YES


async def test_a_connection_that_says_nothing_is_ended(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "IDLE_S", 0.05)
    async with listening(service) as place:
        client = await place.client()

        assert await client.is_closed()


async def test_the_end_closes_what_is_open(service: Service) -> None:
    async with listening(service) as place:
        client = await place.client()
        await client.ask(b"get a@b.example\n")
        place.stop.set()

        assert await client.is_closed()


async def test_an_account_that_there_is_not_is_said_at_the_start(service: Service) -> None:
    settings = Settings(mta_lookup="127.0.0.1:0", mta_lookup_account="nobody")
    known = service.engine.suppressions, service.directory, service.clock

    with pytest.raises(BadInput, match="no account 'nobody'"):
        async with answering(settings, *known):
            pass


async def test_answers_and_what_is_turned_away_are_counted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MAX_CONNECTIONS", 1)
    before = lookup.answered + lookup.refused
    async with listening(service) as place:
        client = await place.client()
        await client.ask(b"get ada@example.net\nget eve@example.net\n", NO)
        crowded = await place.client()
        assert await crowded.is_closed()
        client.writer.write(b"request=another\n\n")
        assert await client.is_closed()
    async with listening(service, mta_lookup_networks=(ip_network("10.0.0.0/8"),)) as place:
        assert await (await place.client()).is_closed()

    counted = lookup.answered + lookup.refused - before
    assert counted == dict.fromkeys((*lookup.ANSWERS, *lookup.REASONS), 1)


async def test_who_is_gone_before_he_asks_is_nobody_turned_away(service: Service) -> None:
    before = lookup.refused.copy()
    held = SuppressedAddresses(service.engine.suppressions, service.clock)
    gone, one = Gone(), lookup.LookupConnection(lookup.Lookup(held, service.directory, None, ()))

    one.connection_made(gone)
    one.connection_lost(None)

    assert gone.is_aborted and lookup.refused == before
