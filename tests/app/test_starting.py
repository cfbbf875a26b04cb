"""A process that starts while its database's server fails: whatever it meets, and when, it waits
and comes up, and what would stay as it is ends it at once."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from postbell.errors import StorageError
from postbell.sealing import load_or_create
from postbell.serving.listening import Door
from postbell.serving.server import address_of, bind
from postbell.settings.members import Settings
from postbell.settings.values import Address
from postbell.starting import OpenedStorage, opened
from tests.app.test_serving import EVENT, Served
from tests.between import Between
from tests.cli.running import Postbell, line_with
from tests.empty import empty_postgres, made_postgres
from tests.postgres import server

UP_S = 60.0
CONNECTIONS = 8
"""So many a start makes, at most."""
ENDED = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{}'"
ANOTHER = "ALTER DATABASE {0} RENAME TO {0}_was; ALTER DATABASE {0}_next RENAME TO {0}"


def settings(folder: Path, database: str, port: int) -> Settings:
    folder.mkdir(exist_ok=True)
    load_or_create(folder / "secret.key")  # a database that has its tables was made with one
    return Settings(
        data_dir=folder,
        database_url=f"postgresql://postbell@127.0.0.1:{port}/{database}",
        database_statement_timeout_s=1.0,
        listen=Address("127.0.0.1", 0),
    )


@contextlib.asynccontextmanager
async def starting(
    wanted: Settings,
) -> AsyncIterator["tuple[asyncio.Task[OpenedStorage | None], str]"]:
    """Start inside the block; give what comes of it, and where it answers meanwhile."""
    with contextlib.closing(bind(wanted.listen)) as sock:
        begun = opened(wanted, "api", sock, Door(wanted), None, asyncio.Event())
        task = asyncio.create_task(begun)
        try:
            yield task, f"http://{address_of(sock)}"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StorageError):
                if found := await task:
                    await found.engine.close()


async def comes_up(task: "asyncio.Task[OpenedStorage | None]") -> OpenedStorage:
    async with asyncio.timeout(UP_S):
        found = await asyncio.shield(task)
    assert found is not None and found.ingest is not None and found.ingest.is_ready
    return found


@pytest.mark.parametrize("table", ["accounts", "blocks", "heads"])
async def test_what_is_read_at_a_start_is_read_again_until_it_can_be(
    tmp_path: Path, table: str
) -> None:
    with empty_postgres() as url:
        holding = await asyncpg.connect(url)
        await holding.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        wanted = settings(tmp_path, url.rpartition("/")[2], server().port)

        async with starting(wanted) as (task, address), httpx.AsyncClient() as client:
            answer = None
            async with asyncio.timeout(UP_S):
                while answer is None or "cannot be read" not in answer.text:
                    assert not task.done()
                    with contextlib.suppress(httpx.TransportError):
                        answer = await client.get(address + "/readyz", timeout=1)
                    await asyncio.sleep(0.05)
            assert answer.status_code == 503
            await holding.close()

            await comes_up(task)


async def test_a_start_may_be_cut_at_any_of_its_connections(tmp_path: Path) -> None:
    async def cut(at: int) -> int:
        return await disturbed(tmp_path, name, at, lambda between: between.cut())

    with empty_postgres() as url:
        name = url.rpartition("/")[2]
        counts = await asyncio.gather(*map(cut, range(CONNECTIONS)))

    assert max(counts) <= CONNECTIONS, "a further one is not tried here"


@pytest.mark.parametrize("at", [1, 4, 6])
async def test_the_database_may_become_another_one_while_it_is_opened(
    tmp_path: Path, at: int
) -> None:
    name = server().database(made_postgres())
    server().psql(f"CREATE DATABASE {name}_next TEMPLATE {made_postgres()} STRATEGY FILE_COPY")

    def another(_between: Between) -> None:
        server().psql(ENDED.format(name))
        server().psql(ANOTHER.format(name))

    await disturbed(tmp_path, name, at, another)

    server().drop(name)
    server().drop(f"{name}_was")


async def disturbed(folder: Path, name: str, at: int, disturb: Callable[[Between], object]) -> int:
    """Start, and *disturb* once as a connection is made, that *at* a number; return how many are
    made by one who starts then."""
    between, numbers = Between(server().port), []

    async def before(number: int) -> None:
        numbers.append(number)
        if number == at:
            disturb(between)

    between.before = before
    async with between.listening(), starting(settings(folder, name, between.port)) as (task, _):
        found = await comes_up(task)
        assert await found.engine.log.head() == 0
        await found.engine.close()
    return len(numbers) - at - 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DROP TABLE accounts CASCADE", "accounts"),
        ("UPDATE meta SET value = 9999 WHERE name IN ('schema_version', 'schema_floor')", "newer"),
    ],
    ids=["no table", "newer schema"],
)
async def test_what_stays_as_it_is_ends_a_start_at_once(
    tmp_path: Path, change: str, told: str
) -> None:
    name = server().database(made_postgres())
    server().psql(change, name)

    async with starting(settings(tmp_path, name, server().port)) as (task, _):
        async with asyncio.timeout(UP_S):
            with pytest.raises(StorageError, match=told):
                await asyncio.shield(task)
    server().drop(name)


def test_a_stop_is_not_forgotten_when_the_database_becomes_another_one(tmp_path: Path) -> None:
    name = server().database(made_postgres())
    load_or_create(tmp_path / "secret.key")
    postbell = Postbell(
        tmp_path, POSTBELL_DATABASE_URL=server().url(name), POSTBELL_LISTEN="127.0.0.1:0"
    )
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    with (
        postbell.running("listen", "--port", "0", "--delay", "12", "--json") as listener,
        postbell.running("serve") as process,
    ):
        assert listener.stdout is not None and listener.stderr is not None
        hook = listener.stderr.readline().split()[-1]
        served = Served(process, line_with(process, r"^postbell is ready: (\S+)$"))
        postbell("webhooks", "create", "acme", hook, "--policy", "max_wait_s=0")
        served.call("/api/v1/events", EVENT, key)
        listener.stdout.readline()

        process.send_signal(signal.SIGTERM)  # it waits for the answer
        process.send_signal(signal.SIGSTOP)
        server().drop(name)
        server().psql(f"CREATE DATABASE {name} TEMPLATE {made_postgres()} STRATEGY FILE_COPY")
        process.send_signal(signal.SIGCONT)

        assert process.wait(UP_S) == 0
    server().drop(name)
