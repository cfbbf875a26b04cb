"""PostgreSQL, or the way to it, fails: what is answered meanwhile, and how soon all is well."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from postbell.clock import SystemClock
from postbell.errors import BadInput, StorageError, Unavailable
from postbell.sealing import Sealer, load_or_create
from postbell.storage import postgres
from postbell.storage.postgres import PostgresDatabase, PostgresEngine, connecting, hosts, waking
from postbell.storage.reach import Reach
from tests.between import Between
from tests.empty import empty_postgres
from tests.postgres import pooler, server
from tests.storage.test_postgres import append

SOON_S = 5.0
"""So soon after the server's return everything works again."""
REACH = Reach(connect_s=1.0, statement_s=30.0)


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def url() -> Iterator[str]:
    with empty_postgres() as url:
        yield url


@pytest.fixture
async def between() -> AsyncIterator[Between]:
    async with Between(server().port).listening() as between:
        yield between


def through(between: Between, url: str) -> str:
    return f"postgresql://postbell:hidden@127.0.0.1:{between.port}/{url.rpartition('/')[2]}"


@pytest.fixture
async def engine(
    url: str, between: Between, sealer: Sealer, clock: SystemClock
) -> AsyncIterator[PostgresEngine]:
    engine = await postgres.open(through(between, url), sealer, clock, reach=REACH)
    yield engine
    between.heal()
    async with asyncio.timeout(20):
        await engine.close()


async def works_soon(engine: PostgresEngine, clock: SystemClock) -> None:
    """Check that a block is appended, and read, within SOON_S; whatever hung until then is over."""
    async with asyncio.timeout(SOON_S):
        while True:
            with contextlib.suppress(StorageError):
                appended = await append(engine, clock, "again")
                if (await engine.log.tail(appended - 1, 1))[0].id == appended:
                    return
            await asyncio.sleep(0.05)


async def fails(engine: PostgresEngine, clock: SystemClock, within_s: float) -> Unavailable:
    """Check that a commit fails within a time, as what may be asked again; return how."""
    async with asyncio.timeout(within_s):
        with pytest.raises(Unavailable) as caught:
            await engine.ready()
    assert "hidden" not in str(caught.value)
    return caught.value


async def test_connections_that_are_cut_again_and_again_lose_nothing_and_repeat_nothing(
    engine: PostgresEngine, between: Between, clock: SystemClock
) -> None:
    acknowledged: list[int] = []
    is_over = asyncio.Event()

    async def write(mark: str) -> None:
        while not is_over.is_set():
            with contextlib.suppress(StorageError):
                acknowledged.append(await append(engine, clock, mark))
            await asyncio.sleep(0)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(write(str(number)))
        for _ in range(12):
            before = len(acknowledged)
            while len(acknowledged) == before:
                await asyncio.sleep(0.01)
            assert between.cut()
        is_over.set()

    await works_soon(engine, clock)
    found = [header.id for header in await engine.log.tail(0, 10_000)]
    assert found == list(range(1, len(found) + 1))
    assert len(acknowledged) == len(set(acknowledged)) > 0
    assert set(acknowledged) <= set(found)


@pytest.mark.parametrize("to_server", [True, False], ids=["both ways", "answers only"])
async def test_a_way_that_goes_silent_is_given_up_soon_after_the_server_answers_others(
    engine: PostgresEngine, between: Between, clock: SystemClock, to_server: bool
) -> None:
    await append(engine, clock, "a")
    between.silence(to_server=to_server)
    hanging = [
        asyncio.create_task(engine.ready()),
        asyncio.create_task(engine.log.head()),
        asyncio.create_task(engine.registry.add_account("acme", clock.now())),
    ]
    await asyncio.sleep(2.5)
    between.heal()

    await works_soon(engine, clock)

    async with asyncio.timeout(30):
        found = await asyncio.gather(*hanging, return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in found), found


async def test_who_waits_for_a_lock_for_long_is_not_taken_for_dead(
    engine: PostgresEngine, url: str, clock: SystemClock
) -> None:
    holding = await asyncpg.connect(url)
    await holding.execute("BEGIN; SELECT * FROM heads WHERE account_id = 0 FOR UPDATE")
    appending = asyncio.create_task(append(engine, clock, "a"))

    await asyncio.sleep(5)
    assert await holding.fetchval("SELECT true"), "a session of another name is nobody's to end"
    await holding.close()

    assert await appending == 1


@pytest.mark.parametrize("is_pooled", [False, True], ids=["direct", "pooled"])
async def test_who_is_frozen_between_preparing_a_statement_and_running_it_is_waited_for_a_moment(
    url: str, sealer: Sealer, clock: SystemClock, is_pooled: bool
) -> None:
    url = (pooler() if is_pooled else server()).url(url.rpartition("/")[2])
    frozen = await connecting.connect(await connecting.found(url))
    await frozen.execute("BEGIN; SELECT * FROM heads WHERE account_id = 0 FOR UPDATE")
    await frozen.prepare("SELECT count(*) FROM webhooks WHERE id > $1")
    engine = await postgres.open(url, sealer, clock, reach=REACH)

    try:
        async with asyncio.timeout(connecting.LOCK_S - 2):
            assert await append(engine, clock, "a") == 1
    finally:
        frozen.terminate()
        await engine.close()


async def test_who_is_frozen_while_much_is_sent_to_it_is_waited_for_a_moment(
    engine: PostgresEngine, url: str, clock: SystemClock
) -> None:
    frozen = await connecting.connect(await connecting.found(url))
    await frozen.execute("BEGIN; SELECT * FROM heads WHERE account_id = 0 FOR UPDATE")
    frozen._transport.pause_reading()
    much = "SELECT repeat('x', 10000) FROM generate_series(1, 5000)"
    asking = asyncio.create_task(frozen.execute(much))

    try:
        async with asyncio.timeout(connecting.LOCK_S - 1):
            assert await append(engine, clock, "a") == 1
    finally:
        frozen.terminate()
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await asking


async def test_a_lock_that_others_hold_for_minutes_is_answered_in_seconds(
    engine: PostgresEngine, url: str, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "LOCK_S", 0.5)
    holding = await asyncpg.connect(url)
    await holding.execute("BEGIN; SELECT * FROM heads WHERE account_id = 0 FOR UPDATE")

    assert "others held what it needs for too long" in str(await fails(engine, clock, 3))

    await holding.close()
    await works_soon(engine, clock)


async def test_where_no_connection_can_be_had_all_that_waits_is_told_at_once(
    engine: PostgresEngine, between: Between, clock: SystemClock
) -> None:
    between.silence()
    between.cut()
    waiting = [engine.registry.add_account(f"a{number}", clock.now()) for number in range(1000)]

    async with asyncio.timeout(REACH.connect_s + 2):
        found = await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(each) for each in found} == {Unavailable}


async def test_reads_that_find_no_room_end_with_the_statements_that_take_it(
    url: str, between: Between, sealer: Sealer, clock: SystemClock
) -> None:
    reach = Reach(connect_s=0.5, statement_s=1.0)
    engine = await postgres.open(through(between, url), sealer, clock, reach=reach)
    await engine.log.head()
    between.silence()

    async with asyncio.timeout(10):
        reads = (engine.log.head() for _ in range(50))
        found = await asyncio.gather(*reads, return_exceptions=True)

    assert {type(each) for each in found} == {Unavailable}
    between.heal()
    await works_soon(engine, clock)
    await engine.close()


async def test_a_server_that_takes_writes_again_is_noticed_by_those_that_stayed_connected(
    engine: PostgresEngine, between: Between, url: str, clock: SystemClock
) -> None:
    name = url.rpartition("/")[2]
    server().psql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        between.cut()
        assert "takes no writes" in str(await fails(engine, clock, 5))
    finally:
        server().psql(f"ALTER DATABASE {name} RESET default_transaction_read_only", "postgres")

    await works_soon(engine, clock)


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        ("ALTER ROLE postbell NOLOGIN", "ALTER ROLE postbell LOGIN", "lets this user not in"),
        (
            "ALTER DATABASE {} RENAME TO elsewhere",
            "ALTER DATABASE elsewhere RENAME TO {}",
            "there is no such database",
        ),
    ],
    ids=["not let in", "no database"],
)
async def test_what_keeps_us_out_while_we_run_is_waited_out_and_ends_no_process(
    engine: PostgresEngine,
    between: Between,
    url: str,
    clock: SystemClock,
    change: str,
    undo: str,
    told: str,
) -> None:
    name = url.rpartition("/")[2]
    asking = await asyncpg.connect(server().url("postgres"))
    between.refuse()
    await asking.execute(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    await asking.execute(change.format(name))
    between.heal()
    try:
        assert told in str(await fails(engine, clock, 5))
        with pytest.raises(Unavailable):
            await engine.log.head()
    finally:
        await asking.execute(undo.format(name))
        await asking.close()

    await works_soon(engine, clock)


async def test_a_host_that_never_answers_keeps_nobody_from_the_next_one(
    url: str, between: Between, sealer: Sealer, clock: SystemClock
) -> None:
    between.silence()
    place = f"127.0.0.1:{between.port},127.0.0.1:{server().port}"
    both = f"postgresql://postbell@{place}/{url.rpartition('/')[2]}?target_session_attrs=read-write"

    engine = await postgres.open(both, sealer, clock, reach=Reach(connect_s=0.5))
    before = between.came
    await asyncio.gather(engine.ready(), engine.log.head())

    assert between.came == before > 0, "the host that answered is asked first"
    await engine.close()


def test_each_host_of_a_url_is_a_url() -> None:
    assert hosts.each_host("postgresql://a:b@x:1,[::1]:2/d?sslmode=prefer") == (
        "postgresql://a:b@x:1/d?sslmode=prefer",
        "postgresql://a:b@[::1]:2/d?sslmode=prefer",
    )
    assert hosts.each_host("postgresql:///d?host=x,y&port=1,2&target_session_attrs=any") == (
        "postgresql:///d?host=x&port=1",
        "postgresql:///d?host=y&port=2",
    )
    assert hosts.each_host("postgresql:///d?host=x,y&port=7") == (
        "postgresql:///d?host=x&port=7",
        "postgresql:///d?host=y&port=7",
    )
    assert hosts.each_host("postgresql:///d") == ("postgresql:///d",)


async def test_behind_a_pooler_the_bell_may_go_to_the_server_itself(
    url: str, sealer: Sealer, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "POLL_S", 60.0)
    monkeypatch.setattr(waking, "UNTOLD_POLL_S", 60.0)
    pooled, reach = pooler().url(url.rpartition("/")[2]), Reach(bell_url=url)
    one, other = [await postgres.open(pooled, sealer, clock, reach=reach) for _ in range(2)]
    waiting = asyncio.create_task(other.bell.wait(20))
    await asyncio.sleep(0.5)  # until it listens

    await append(one, clock, "a")

    assert await waiting
    await one.close()
    await other.close()


@pytest.mark.parametrize("bell", ["mysql://x/y", "yes"])
def test_a_bell_somewhere_else_is_refused(bell: str) -> None:
    with pytest.raises(BadInput, match="poll, or the server's URL"):
        PostgresDatabase.named("postgresql://x/y", Path(), Reach(bell_url=bell))
