"""Log and journal on PostgreSQL are made of parts, which retention drops whole."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from postbell.blocks import NewBlock, Position
from postbell.clock import to_us
from postbell.errors import Conflict
from postbell.ports import Engine
from postbell.records import LaneChange, Webhook
from postbell.sealing import Sealer, load_or_create
from postbell.storage import postgres
from postbell.storage.postgres import PostgresEngine
from postbell.storage.sql.riding import Ride, riding
from tests.contract.making import Shop, block, span
from tests.delivery.rig import running
from tests.empty import made_postgres
from tests.fakes import FakeClock
from tests.postgres import server

DAY_S = 86_400
FIRST = 1024
"""So many ids the first part of a database has room for."""


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


@pytest.fixture
def url() -> Iterator[str]:
    """Give a database whose log has no part but its first."""
    name = server().database(made_postgres())
    yield server().url(name)
    server().drop(name)


@pytest.fixture
async def engine(url: str, sealer: Sealer, clock: FakeClock) -> AsyncIterator[PostgresEngine]:
    engine = await postgres.open(url, sealer, clock)
    yield engine
    await engine.close()


@pytest.fixture
async def shop(engine: PostgresEngine, clock: FakeClock) -> Shop:
    return await Shop.open(engine, clock)


def asked(url: str, statement: str) -> list[list[str]]:
    """Return the rows of a statement, as texts."""
    rows = server().psql(statement, url.rpartition("/")[2])
    return [row.split("|") for row in rows.splitlines()]


def parts(url: str, of: str = "blocks") -> list[tuple[int, int]]:
    """Return what each part has room for, and that there is a table of each and no other."""
    found = asked(url, f"SELECT first, beyond FROM parts WHERE of = '{of}' ORDER BY first")
    tables = asked(
        url,
        f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{of}'::regclass",
    )
    assert sorted(name for (name,) in tables) == sorted(f"{of}_{first}" for first, _ in found)
    return [(int(first), int(beyond)) for first, beyond in found]


@asynccontextmanager
async def somebody_reading(url: str, table: str) -> AsyncIterator[None]:
    """Hold a transaction open that has read *table*, as `pg_dump` does for hours."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.fetch(f"SELECT 1 FROM {table} LIMIT 1")
        yield
    await connection.close()


async def fill(shop: Shop, blocks: int) -> list[int]:
    """Append so many blocks, many in each commit, and return their ids."""
    made: list[NewBlock] = [block() for _ in range(blocks)]
    at_once = [made[at : at + 700] for at in range(0, blocks, 700)]
    return [header.id for each in at_once for header in await shop.append(*each)]


async def settle(shop: Shop, webhook: Webhook, blocks: list[int]) -> None:
    """Write a row of the journal about each of these blocks."""
    changes = [
        LaneChange(
            webhook_id=webhook.id,
            epoch=1,
            entries=(shop.entry(webhook, str(number), range=span(each, each + 1)),),
        )
        for number, each in enumerate(blocks)
    ]
    await asyncio.gather(*(shop.engine.ledger.record([each]) for each in changes))


async def given_back(engine: Engine) -> int:
    """Give back all that can be, and return in how many steps."""
    steps = 0
    while await engine.shrink():
        steps += 1
    return steps


async def test_a_part_is_made_before_it_is_needed_and_holds_about_a_day(
    shop: Shop, url: str
) -> None:
    ids = await fill(shop, 2 * FIRST + 1)
    at_us = to_us(shop.clock.now())
    for highest, day in ((18 * FIRST + 1, 2), (26 * FIRST + 1, 365)):
        asked(url, f"SELECT make_room('blocks', 1, {highest}, {at_us + day * DAY_S * 10**6})")

    assert ids == list(range(1, 2 * FIRST + 2))
    assert [header.id for header in await shop.engine.log.tail(0, 5000)] == ids
    assert parts(url) == [
        (1, FIRST + 1),
        (FIRST + 1, 2 * FIRST + 1),
        (2 * FIRST + 1, 18 * FIRST + 1),  # the one before was filled at once
        (18 * FIRST + 1, 26 * FIRST + 1),  # the one before was filled in two days
        (26 * FIRST + 1, 27 * FIRST + 1),  # in a year
    ]


async def test_a_part_of_an_append_that_was_undone_is_made_again(shop: Shop, url: str) -> None:
    await fill(shop, FIRST - 1)

    async def fail(_db: object, _made: object) -> None:
        raise Conflict("not today")

    riding.set(Ride(fail))
    with pytest.raises(Conflict):
        await fill(shop, 5)
    before = parts(url)

    assert await fill(shop, 5) == list(range(FIRST, FIRST + 5))
    assert (len(before), len(parts(url))) == (1, 2)


async def test_what_is_too_old_is_seen_no_more_and_its_part_goes_whole(
    shop: Shop, url: str
) -> None:
    await fill(shop, 2 * FIRST)
    engine = shop.engine

    dropped = await engine.drop_blocks(FIRST + 501, counted=())
    seen = [header.id for header in await engine.log.tail(0, 3000)]
    of_account = [header.id for header in await engine.log.headers(1, 1, 3000)]
    left = asked(url, "SELECT count(*) FROM ONLY blocks_1")
    steps = await given_back(engine)

    assert dropped == (FIRST + 500, FIRST + 501)
    assert seen == of_account == list(range(FIRST + 501, 2 * FIRST + 1))
    assert await engine.log.load([1, FIRST + 500]) == []
    assert [each.header.id for each in await engine.log.load([FIRST + 501])] == [FIRST + 501]
    assert [each.block for each in await engine.log.ids(0, 1)] == [FIRST + 501]
    assert await engine.log.check(FIRST + 499, 1) == (FIRST + 501, 1, ())
    assert (left, steps) == ([[str(FIRST)]], 1)
    assert [first for first, _ in parts(url)] == [FIRST + 1]


async def test_a_part_of_which_a_lane_needs_one_block_is_kept(shop: Shop, url: str) -> None:
    await fill(shop, 2 * FIRST)
    await shop.webhook(start=Position(FIRST, 0))

    dropped = await shop.engine.drop_blocks(2 * FIRST, counted=())

    assert dropped == (FIRST - 1, FIRST)
    assert await given_back(shop.engine) == 0
    assert len(parts(url)) == 2
    assert [each.header.id for each in await shop.engine.log.load([FIRST])] == [FIRST]


async def test_a_part_that_somebody_reads_is_dropped_later_and_holds_nobody_up(
    shop: Shop, url: str
) -> None:
    await fill(shop, 2 * FIRST - 1)
    engine = shop.engine
    await engine.drop_blocks(2 * FIRST, counted=())

    async with somebody_reading(url, "blocks"):
        begun = time.monotonic()
        is_more = await engine.shrink()
        took_s = time.monotonic() - begun
        await fill(shop, 1)
        assert not is_more
        assert len(parts(url)) == 2
        assert took_s < 5

    assert await given_back(engine) == 1
    assert len(parts(url)) == 1


async def test_what_is_too_old_for_a_day_is_deleted_though_its_part_stays(
    shop: Shop, url: str
) -> None:
    webhook = await shop.webhook()
    await fill(shop, 100)
    await shop.claim()
    await settle(shop, webhook, [1, 1, 1])
    shop.clock.advance(60)
    await shop.engine.drop_blocks(81, counted={webhook.id})
    await shop.engine.journal.drop(shop.clock.now())

    early = await given_back(shop.engine)
    shop.clock.advance(DAY_S - 1)
    early += await given_back(shop.engine)
    kept = asked(url, "SELECT count(*) FROM blocks")
    shop.clock.advance(2)
    late = await given_back(shop.engine)

    assert (early, kept) == (0, [["100"]])
    assert late > 0
    assert asked(url, "SELECT min(id), count(*) FROM blocks") == [["81", "20"]]
    for table in ("journal", "journal_webhooks"):
        assert asked(url, f"SELECT count(*) FROM {table}") == [["0"]]


async def test_a_row_of_the_journal_that_speaks_of_a_kept_block_keeps_its_part(
    shop: Shop, url: str
) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    await settle(shop, webhook, [7 if number == 5 else 1 for number in range(FIRST + 2)])
    shop.clock.advance(60)

    assert await shop.engine.journal.drop(shop.clock.now(), below=7) == FIRST + 1
    assert await given_back(shop.engine) == 0
    assert [each.id for each in await shop.engine.journal.scan(0, 10)] == [6]
    await settle(shop, webhook, [9])
    assert await shop.engine.journal.drop(shop.clock.now(), below=8) == 1
    assert await given_back(shop.engine) == 1
    assert [first for first, _ in parts(url, "journal")] == [FIRST + 1]
    assert asked(url, "SELECT min(journal_id), count(*) FROM journal_webhooks") == [
        [str(FIRST + 3), "1"]
    ]


SIZES = """SELECT c.relname, pg_total_relation_size(c.oid) / 1024 FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1"""


def sizes_kib(url: str) -> dict[str, int]:
    """Return what each table takes with its indexes, those of parts together."""
    found: dict[str, int] = {}
    for name, size in asked(url, SIZES):
        whole = name.rstrip("0123456789").rstrip("_")
        found[whole] = found.get(whole, 0) + int(size)
    return found


DEAD_BATCHES = """SELECT autovacuum_count > 0 AND n_dead_tup < 100 FROM pg_stat_user_tables
WHERE relname = 'batches'"""


@pytest.fixture
def vacuumed_often() -> Iterator[None]:
    """Let the server look every second, as it does every minute, for what it should vacuum."""
    for change in ("SET autovacuum_naptime = 1", "RESET autovacuum_naptime"):
        server().psql(f"ALTER SYSTEM {change}")
        server().psql("SELECT pg_reload_conf()")
        if change.startswith("SET"):
            yield


@pytest.mark.usefixtures("vacuumed_often")
async def test_a_week_with_daily_drops_leaves_no_bloat_and_no_vacuum_is_needed(
    engine: PostgresEngine, clock: FakeClock, url: str
) -> None:
    sizes = []
    async with running(engine, clock, retention_days=1) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 40})
        for _day in range(7):
            made = [block(4) for _ in range(600)]
            await engine.log.append(made, [], head=await engine.log.head(), now=clock.now())
            await rig.turn()
            clock.advance(DAY_S)
            await rig.turn()
            await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))
            sizes.append(sizes_kib(url))
        accounts = await rig.audit()

    assert accounts.holds
    assert min(first for first, _ in parts(url)) > 3 * FIRST
    assert int(asked(url, "SELECT count(*) FROM journal")[0][0]) < 3 * 60, "of 60 a day"
    assert asked(url, "SELECT sum(vacuum_count) FROM pg_stat_user_tables") == [["0"]]
    for name in ("blocks", "journal", "journal_webhooks"):
        assert sizes[-1][name] <= 2 * max(each[name] for each in sizes[:3])
    for name in ("heads", "meta", "lanes"):  # updated in place all the time
        assert sizes[-1][name] <= 2 * sizes[0][name]
    async with asyncio.timeout(60):  # until the server's own autovacuum had them
        while asked(url, DEAD_BATCHES) != [["t"]]:
            await asyncio.sleep(0.2)
