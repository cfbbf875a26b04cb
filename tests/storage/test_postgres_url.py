"""What the URL of a PostgreSQL database may say: TLS, several hosts, a password file."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.errors import BadInput, StorageError
from postbell.sealing import Sealer, load_or_create
from postbell.storage import postgres
from postbell.storage.engines import named
from postbell.storage.postgres.urls import without_password
from tests.empty import empty_postgres
from tests.postgres import server
from tests.wire.certificates import Authority

SSL_REQUEST_BYTES = 8


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


@pytest.fixture
def name() -> Iterator[str]:
    with empty_postgres() as url:
        yield url.rpartition("/")[2]


@contextlib.asynccontextmanager
async def speaking_tls(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Stand before the test's server as one that speaks TLS; give the port."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(SSL_REQUEST_BYTES)
        writer.write(b"S")
        with contextlib.suppress(OSError):
            await writer.start_tls(context)
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", server().port)
            await asyncio.gather(pipe(reader, back_writer), pipe(back_reader, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def test_the_server_s_certificate_is_verified_where_that_is_asked_for(
    name: str, sealer: Sealer, tmp_path: Path
) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    async with speaking_tls(ours.context("localhost")) as port:
        url = f"postgresql://postbell@localhost:{port}/{name}?sslmode=verify-full&sslrootcert="

        engine = await postgres.open(url + str(ours.file), sealer, SystemClock())
        await engine.ready()
        await engine.close()

        with pytest.raises(StorageError, match="certificate verify failed"):
            await postgres.open(url + str(other.file), sealer, SystemClock())


async def test_of_several_hosts_the_one_that_takes_writes_is_found(
    name: str, sealer: Sealer
) -> None:
    hosts = f"127.0.0.1:1,127.0.0.1:{server().port}"
    url = f"postgresql://postbell@{hosts}/{name}?target_session_attrs=read-write"

    engine = await postgres.open(url, sealer, SystemClock())
    await engine.ready()
    await engine.close()

    assert without_password(url) == url


async def test_a_password_file_that_is_not_there_is_none(
    name: str, sealer: Sealer, tmp_path: Path
) -> None:
    url = f"postgresql://postbell@127.0.0.1:{server().port}/{name}?passfile={tmp_path}/none"

    engine = await postgres.open(url, sealer, SystemClock())
    await engine.close()


@pytest.mark.parametrize(
    "url",
    ["postgresql://db.example", "postgresql:///", "postgresql://[x/y", "postgresql:"],
)
def test_a_url_without_a_database_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="a server and a database expected"):
        named(url, Path())
