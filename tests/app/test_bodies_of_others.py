"""What the bodies of one customer, or of strangers, do to others: from outside, on the real
`postbell serve`."""

import asyncio
import base64
import contextlib
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import zstandard

from tests.crash.harness import AUTH, KEY_OPTION, Service
from tests.fakes import KEY

MIB = 1 << 20
LIMIT_S = 60
OTHER = {"Authorization": "Basic " + base64.b64encode(f"other:{KEY}".encode()).decode()}
EVENT = b'[{"type":"open","recipient":"ada@example.net"}]'
WRONG = {"Authorization": "Basic " + base64.b64encode(b"main:wrong").decode()}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path, POSTBELL_HTTP_CONNECTIONS_PER_NETWORK="1000")
    await service.set_up(
        ("accounts", "create", "beta"), ("api-users", "create", "beta", "other", *KEY_OPTION)
    )
    await service.start()
    try:
        for each in (AUTH, OTHER, WRONG):  # what is loaded when it is first needed
            await pass_through(service, each, 3)
        yield service
    finally:
        await service.kill()


class Peer:
    """A connection that sends what a test says, and collects what is answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.answer = b""
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                self.answer += chunk

    @property
    def status(self) -> int:
        found = re.match(rb"HTTP/1.1 (\d+) ", self.answer)
        return int(found[1]) if found else 0

    async def send(self, data: bytes) -> None:
        """Send as much as the other side takes; a closed connection is an answer, too."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def answered(self) -> int:
        async with asyncio.timeout(LIMIT_S):
            while not self.status and not self._reading.done():
                await asyncio.wait([self._reading], timeout=0.02)
        return self.status

    async def close(self) -> None:
        self._reading.cancel()
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def peers(
    service: Service, count: int, source: str = "127.0.0.1"
) -> AsyncIterator[list[Peer]]:
    found: list[Peer] = []
    try:
        for _ in range(count):
            pair = await asyncio.open_connection(
                "127.0.0.1", service.port, local_addr=(source, 0), limit=1 << 16
            )
            found.append(Peer(*pair))
        yield found
    finally:
        for peer in found:
            await peer.close()


def head(path: str, length: int, headers: dict[str, str], kind: str = "application/json") -> bytes:
    lines = {"host": "x", "content-type": kind, "content-length": str(length), **headers}
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{fields}\r\n".encode()


async def pass_through(service: Service, headers: dict[str, str], times: int = 20) -> set[int]:
    """Send small requests one after the other; return the statuses of the answers."""
    async with httpx.AsyncClient(timeout=LIMIT_S, trust_env=False) as client:
        kind = {"content-type": "application/json"}
        return {
            (
                await client.post(
                    f"{service.url}/api/v1/events", content=EVENT, headers=headers | kind
                )
            ).status_code
            for _ in range(times)
        }


def peak_mib(service: Service) -> float:
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.parametrize("count", [26, 200])
@pytest.mark.parametrize("headers", [AUTH, WRONG, {}], ids=["right key", "wrong key", "no key"])
async def test_announced_bodies_disturb_nobody(
    service: Service, count: int, headers: dict[str, str]
) -> None:
    before_mib = peak_mib(service)

    async with peers(service, count) as silent:
        for peer in silent:
            await peer.send(head("/api/v1/events", 10 * MIB, headers))
        others = await pass_through(service, OTHER)
        own = await pass_through(service, AUTH)

    assert (others, own) == ({202}, {202})
    assert peak_mib(service) - before_mib < 48


async def test_an_account_with_many_large_bodies_is_refused_itself_and_no_other(
    service: Service,
) -> None:
    before_mib = peak_mib(service)
    body = EVENT + b" " * (9 * MIB - len(EVENT))

    async with peers(service, 40) as large:
        for peer in large:
            await peer.send(head("/api/v1/events", len(body), AUTH))
        await asyncio.gather(*(peer.send(body[:-1]) for peer in large))
        others = await pass_through(service, OTHER)
        refused = [peer for peer in large if peer.status == 503]
        waiting = [peer for peer in large if peer.status == 0]
        for peer in waiting:
            await peer.send(body[-1:])
        done = {await peer.answered() for peer in waiting}

    assert others == {202}
    assert len(refused) >= 30
    assert all(re.search(rb"\r\nretry-after: [1-9]", peer.answer.lower()) for peer in refused)
    assert waiting
    assert done == {202}
    assert await pass_through(service, AUTH) == {202}
    assert peak_mib(service) - before_mib < 200  # of 360 MiB; a quarter is 64, and bodies move


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_bodies_that_become_large_are_counted_as_that(
    service: Service, encoding: str
) -> None:
    before_mib = peak_mib(service)
    pack = gzip.compress if encoding == "gzip" else zstandard.ZstdCompressor(level=19).compress
    bomb = pack(b" " * (300 * MIB))
    full = pack(EVENT + b" " * (10 * MIB - len(EVENT)))
    headers = AUTH | {"content-encoding": encoding}

    async with peers(service, 1) as alone:
        await alone[0].send(head("/api/v1/events", len(bomb), headers) + bomb)
        assert await alone[0].answered() == 413
    async with peers(service, 60) as bombers:
        for number, peer in enumerate(bombers):
            body = bomb if number % 2 else full
            await peer.send(head("/api/v1/events", len(body), headers) + body)
        others = await pass_through(service, OTHER)
        statuses = {await peer.answered() for peer in bombers}

    assert others == {202}
    assert statuses <= {202, 413, 503}
    assert peak_mib(service) - before_mib < 128


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/login", "application/x-www-form-urlencoded"),
        ("/oauth/access_token", "application/json"),
    ],
)
async def test_strangers_take_nothing_from_customers_nor_from_other_networks(
    service: Service, path: str, kind: str
) -> None:
    async with peers(service, 300) as strangers:
        for peer in strangers:
            await peer.send(head(path, 60_000, {}, kind) + b"a" * 59_000)
        others = await pass_through(service, OTHER)
        async with peers(service, 1, source="127.0.0.2") as elsewhere:
            await elsewhere[0].send(head(path, 3, {}, kind) + b"a=b")
            answer = await elsewhere[0].answered()
        refused = [peer for peer in strangers if peer.status == 503]

    assert others == {202}
    assert len(refused) >= 280
    assert answer in (200, 400, 401, 403)
