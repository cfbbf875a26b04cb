"""A primary is killed and its standby promoted: what was acknowledged is there, and who remembers
more than the standby has forgets it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.errors import TakenOver, Unavailable
from postbell.sealing import Sealer, load_or_create
from postbell.storage import postgres
from postbell.storage.postgres import PostgresEngine
from postbell.storage.reach import Reach
from tests.postgres import Server, both, pair_of, server
from tests.storage.test_postgres import append

HAS_IT_ALL = (
    "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_insert_lsn()"
)
REACH = Reach(connect_s=1.0, statement_s=1.0)


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """Give a primary and its standby."""
    with pair_of() as pair:
        yield pair


async def until_taken_over(engine: PostgresEngine) -> float:
    """Wait until an engine says that it is of another history; return for how many seconds."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        with pytest.raises(TakenOver):
            while True:
                await engine.bell.wait(0.1)
                with contextlib.suppress(Unavailable):
                    await engine.log.head()
    return time.monotonic() - began


async def test_what_an_asynchronous_standby_lacks_is_remembered_by_nobody(
    pair: tuple[Server, Server], sealer: Sealer, clock: SystemClock
) -> None:
    primary, standby = pair
    url = both(primary, standby, primary.database())
    engine = await postgres.open(url, sealer, clock, reach=REACH)
    await append(engine, clock, "both have it")
    while primary.psql(HAS_IT_ALL) != "1":
        await asyncio.sleep(0.05)
    standby.set("primary_conninfo", "")
    while primary.psql("SELECT count(*) FROM pg_stat_replication") != "0":
        await asyncio.sleep(0.05)
    assert await append(engine, clock, "lost") == 2

    primary.kill()
    await asyncio.to_thread(standby.promote)
    await until_taken_over(engine)

    for attempt in (engine.ready(), engine.log.head(), append(engine, clock, "c")):
        with pytest.raises(TakenOver):
            await attempt
    await engine.close()
    engine = await postgres.open(url, sealer, clock, reach=REACH)
    assert await engine.log.head() == 1
    assert await append(engine, clock, "in its place") == 2
    await engine.close()


async def test_what_no_standby_has_is_acknowledged_to_nobody_who_sends_it_again(
    pair: tuple[Server, Server], sealer: Sealer, clock: SystemClock
) -> None:
    primary, standby = pair
    database = primary.database()
    url = both(primary, standby, database)
    primary.set("synchronous_standby_names", "*")
    engine = await postgres.open(url, sealer, clock, reach=REACH)
    await append(engine, clock, "a")
    for attributes in ("", "?target_session_attrs=any", "?target_session_attrs=standby"):
        with pytest.raises(Unavailable, match="it is a standby"):
            await postgres.open(standby.url(database) + attributes, sealer, clock)
    standby.kill()

    with pytest.raises(Unavailable, match="synchronous standby"):
        await append(engine, clock, "b")
    assert await engine.log.head() == 1, "it waits; nobody cancelled that"
    primary.crash()
    primary.start()

    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Unavailable):
                head = await engine.log.head()
                break
    assert head == 2, "the primary has it by itself"
    with pytest.raises(Unavailable):
        await engine.log.settle()

    standby.start()
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Unavailable):
                await engine.log.settle()
                break
    assert standby.psql("SELECT count(*) FROM blocks", database) == "2"
    await engine.close()


async def test_who_may_not_ask_for_the_history_is_let_in(
    sealer: Sealer, clock: SystemClock
) -> None:
    primary = server()
    database = primary.database()
    primary.psql(
        "CREATE ROLE plain LOGIN; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public",
        database,
    )
    primary.psql(f"ALTER DATABASE {database} OWNER TO plain")
    url = primary.url(database).replace("postbell@", "plain@")

    engine = await postgres.open(url, sealer, clock)

    assert await append(engine, clock, "a") == 1
    await engine.close()
