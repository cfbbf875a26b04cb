"""A copy to another engine: everything, once, wherever it is cut off, and of nothing else."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postbell.audit import audit
from postbell.dialects import DIALECTS
from postbell.errors import Conflict, StorageError
from postbell.ports import Database, Engine
from postbell.ports.tables import OpenTables, TablesUse
from postbell.sealing import load_or_create
from postbell.storage import copying
from postbell.storage.copying import GROWING, PASSING, Copied, CopyProgress, copy
from postbell.storage.engines import named
from tests.contract.making import Shop, block
from tests.contract.test_journal import settle
from tests.delivery.rig import Rig, event
from tests.empty import empty_postgres
from tests.fakes import FakeClock

ENGINES = ("postgresql", "sqlite")


@pytest.fixture
def folder(story: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(story, tmp_path / "source"))


@pytest.fixture
def postgres() -> Iterator[Database]:
    with empty_postgres() as url:
        yield named(url, Path())
        with contextlib.suppress(Conflict):
            asyncio.run(named(url, Path()).reopen())


@pytest.fixture
def back(tmp_path: Path) -> Database:
    return at(tmp_path / "back")


def at(folder: Path) -> Database:
    """Return the database of SQLite in *folder*."""
    return named("sqlite:///postbell.db", folder)


async def copied(source: Database, target: Database, *, finish: bool = True) -> Copied:
    use = TablesUse.HOLD if finish else TablesUse.READ
    async with target.tables(TablesUse.FILL) as filled, source.tables(use) as read:
        return await copy(read, filled, finish=finish, told=lambda _: None)


async def contents(database: Database) -> dict[str, Any]:
    """Return every row of the database, but for what says who holds what and what is a copy."""
    async with database.tables(TablesUse.READ) as tables:
        found: dict[str, Any] = {}
        for name, shape in (await tables.shapes()).items():
            if name not in {"meta", *PASSING}:
                found[name] = await every(tables, shape)
        for lane in found["lanes"]:
            del lane["owner"], lane["lease_until"]
        notes = await tables.notes()
        found["meta"] = {name: n for name, n in notes.items() if not name.startswith("copy_")}
        counters = await tables.counters()
        found["counters"] = {name: counters[name] for name in sorted(counters)}
        return found


async def every(tables: OpenTables, shape: Any) -> list[Any]:
    rows: list[Any] = []
    after = None
    columns = [name for name, _ in shape.columns]
    while page := await tables.after(shape, after, None):
        after = tuple(page[-1][columns.index(name)] for name in shape.key)
        rows += [dict(zip(columns, row, strict=True)) for row in page]
    return rows


@contextlib.asynccontextmanager
async def opened(database: Database, key: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    engine = await database.open(load_or_create(key), clock, worker=True)
    try:
        yield engine
    finally:
        await engine.close()


async def test_both_engines_have_the_same_tables_columns_and_counters(
    folder: Path, postgres: Database
) -> None:
    async with (
        at(folder).tables(TablesUse.READ) as here,
        postgres.tables(TablesUse.READ) as there,
    ):
        shapes, others = await here.shapes(), await there.shapes()

        assert set(shapes) == set(others)
        for name, shape in shapes.items():
            assert set(shape.columns) == set(others[name].columns), name
            assert shape.parents == others[name].parents, name
        assert set(await here.counters()) == set(await there.counters())
        assert set(GROWING) < set(shapes)


async def test_there_and_back_every_row_is_what_it_was(
    folder: Path, postgres: Database, back: Database
) -> None:
    source = at(folder)

    first = await copied(source, postgres)
    before = await contents(source)
    second = await copied(postgres, back)

    assert await contents(postgres) == before
    assert await contents(back) == before
    named_ = {table.table for table in first.tables}
    assert named_ == before.keys() - {"meta", "counters"}
    assert [t.rows for t in first.tables] == [len(before[t.table]) for t in first.tables]
    assert first.is_finished and second.is_finished
    filled = {name for name, rows in before.items() if rows}
    assert filled > {"blocks", "journal", "journal_webhooks", "batches", "lanes", "revisions"}


async def test_the_copy_goes_on_with_the_same_ids_and_bytes(
    folder: Path, tmp_path: Path, postgres: Database
) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "goes-on"))
    await copied(at(folder), postgres)

    sent = [await delivered(database, other) for database in (at(other), postgres)]

    assert sent[0] == sent[1]
    assert len(sent[0]) > 5


async def delivered(database: Database, folder: Path) -> list[tuple[str, Any, Any]]:
    """Deliver what waits, and six events more, months later; return what arrived."""
    clock = FakeClock()
    clock.advance(40 * 86_400)
    async with opened(database, folder / "secret.key", clock) as engine:
        rig = Rig(engine, clock)
        [rig.account] = await engine.registry.accounts()
        rig.user = (await engine.registry.api_users())[0]
        await rig.directory.refresh()
        await rig.ingest.start()
        async with asyncio.TaskGroup() as tasks:
            rig.worker.tasks = tasks
            committing = tasks.create_task(rig.ingest.run())
            await rig.send(*(event(1000 + number) for number in range(6)))
            await rig.turn()
            committing.cancel()
        found = await audit(engine, DIALECTS)
        assert not found.problems
    return sorted(
        (url, dict(request.headers).get("webhook-id"), request.body)
        for url, requests in rig.sender.got.items()
        for request in requests
    )


class Cut(Exception):
    """A copy ends here."""


@pytest.mark.parametrize("into", ENGINES)
async def test_it_goes_on_wherever_it_was_cut_off(
    folder: Path, postgres: Database, back: Database, into: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await both(folder, postgres, back, into)
    before = await contents(source)
    monkeypatch.setattr("postbell.storage.sql.tables.CHUNK_BYTES", 3000)
    for table, is_last in (
        ("blocks", False),
        ("journal_webhooks", False),
        ("trail", True),
        ("batches", True),
        ("lanes", True),
    ):

        def told(at: CopyProgress, table: str = table) -> None:
            if at.table == table:
                raise Cut

        use = TablesUse.HOLD if is_last else TablesUse.READ
        with pytest.raises(Cut):
            async with target.tables(TablesUse.FILL) as filled, source.tables(use) as read:
                await copy(read, filled, finish=is_last, told=told)
        with pytest.raises(StorageError, match="not finished"):
            await target.open(load_or_create(folder / "secret.key"), FakeClock())
        async with opened(source, folder / "secret.key", FakeClock()) as engine:
            await engine.ready()

    await copied(source, target)

    # What opening it wrote.
    before["meta"] = (await contents(source))["meta"]
    assert await contents(target) == before


async def both(
    folder: Path, postgres: Database, back: Database, into: str
) -> tuple[Database, Database]:
    """Return a database with the story, and an empty one of the engine *into*."""
    if into == "postgresql":
        return at(folder), postgres
    await copied(at(folder), postgres)
    return postgres, back


async def test_the_source_serves_meanwhile_and_drops_what_is_old(
    folder: Path, tmp_path: Path, postgres: Database
) -> None:
    source = at(tmp_path / "serving")
    clock = FakeClock()
    async with opened(source, folder / "secret.key", clock) as engine:
        shop = await Shop.open(engine, clock)
        webhook = await shop.webhook()
        await shop.append(*(block(50) for _ in range(20)), keys=[shop.key("k1")])
        await shop.claim()
        for number in range(6):
            await settle(shop, shop.entry(webhook, f"b{number}"))
            clock.advance(3600)

        await copied(source, postgres, finish=False)
        await shop.append(*(block(30, mark="n") for _ in range(5)), keys=[shop.key("k2")])
        assert await engine.journal.drop(clock.now() - timedelta(hours=3, minutes=30)) == 3
        await settle(shop, shop.entry(webhook, "b9"))
        await engine.drop_blocks(9, counted=[webhook.id])
        again = await copied(source, postgres, finish=False)

        written = {table.table: table.written for table in again.tables}
        assert written["blocks"] == 5
        assert written["journal"] == 1
        await shop.append(block(30, mark="o"))
        await engine.drop_blocks(11, counted=[webhook.id])
        with pytest.raises(Conflict, match="worker of"):
            await copied(source, postgres)
    last = await copied(source, postgres)

    assert {table.table: table.written for table in last.tables}["blocks"] == 1
    assert await contents(postgres) == await contents(source)


async def test_a_journal_row_that_went_from_the_middle_is_gone_in_the_copy(
    folder: Path, postgres: Database
) -> None:
    source = at(folder)
    await copied(source, postgres, finish=False)
    async with source.tables(TablesUse.HOLD) as tables:
        journal = (await tables.shapes())["journal"]
        keys = await tables.keys(journal, None, None, 100)
        await tables.drop(journal, keys[2:4])

    await copied(source, postgres)

    assert await contents(postgres) == await contents(source)


async def test_a_source_that_was_set_back_is_refused(
    tmp_path: Path, folder: Path, postgres: Database
) -> None:
    source, key, clock = at(tmp_path / "set-back"), folder / "secret.key", FakeClock()
    async with opened(source, key, clock) as engine:
        shop = await Shop.open(engine, clock)
        await shop.append(block())
        await engine.backup(tmp_path / "backup.db")
        await shop.append(block(mark="a"))
        async with source.tables(TablesUse.READ) as tables:
            await tables.identity()
        await engine.backup(tmp_path / "later.db")
    await copied(source, postgres, finish=False)

    # The same database by its number, and another log behind what both have.
    source.restore(tmp_path / "later.db", load_or_create(key))
    async with source.tables(TablesUse.HOLD) as tables:
        blocks = (await tables.shapes())["blocks"]
        [row] = await tables.between(blocks, (1,), (2,), 1)
        at_body = [name for name, _ in blocks.columns].index("body")
        changed = (*row[:at_body], b"other", *row[at_body + 1 :])
        await tables.replace(blocks, (1,), (2,), [changed])

    with pytest.raises(Conflict, match="set back"):
        await copied(source, postgres)


@pytest.mark.parametrize("into", ENGINES)
async def test_a_target_that_holds_anything_else_is_refused(
    folder: Path, tmp_path: Path, postgres: Database, into: str
) -> None:
    target = postgres if into == "postgresql" else at(tmp_path / "other")
    async with opened(target, folder / "secret.key", FakeClock()) as engine:
        await engine.registry.add_account("other", FakeClock().now())
    before = await contents(target)

    with pytest.raises(Conflict, match="not empty"):
        await copied(at(folder), target, finish=False)

    assert await contents(target) == before


async def test_what_was_copied_is_served_no_more_unless_it_is_reopened(
    folder: Path, tmp_path: Path, postgres: Database, back: Database
) -> None:
    source, key = at(folder), load_or_create(folder / "secret.key")
    await copied(source, postgres)

    with pytest.raises(StorageError, match="was copied to another one"):
        await source.open(key, FakeClock())
    with pytest.raises(Conflict, match="not what is served"):
        await copied(source, back, finish=False)
    with pytest.raises(Conflict, match="finished copy"):
        await copied(source, postgres)
    await copied(postgres, back)
    with pytest.raises(StorageError, match="was copied to another one"):
        await postgres.open(key, FakeClock())
    await postgres.reopen()
    await source.reopen()

    for each in (source, postgres):
        async with opened(each, folder / "secret.key", FakeClock()) as engine:
            await engine.ready()


async def test_of_several_hosts_the_one_that_a_copy_closed_is_told_and_opened_again(
    folder: Path, postgres: Database, back: Database
) -> None:
    key = load_or_create(folder / "secret.key")
    async with opened(postgres, folder / "secret.key", FakeClock()) as engine:
        await engine.ready()
    await copied(postgres, back)
    several = named(postgres.place.replace("@", "@127.0.0.1:1,"), folder)

    with pytest.raises(StorageError, match="was copied to another one"):
        await several.open(key, FakeClock())
    await several.reopen()

    async with opened(several, folder / "secret.key", FakeClock()) as engine:
        await engine.ready()


async def test_a_server_whose_workers_hold_lanes_is_not_taken_from_them(
    folder: Path, tmp_path: Path, postgres: Database, back: Database
) -> None:
    clock = FakeClock(datetime.now(UTC))
    async with opened(postgres, folder / "secret.key", clock) as engine:
        shop = await Shop.open(engine, clock)
        await shop.webhook()
        await shop.append(block())
        await shop.claim("w7")

        with pytest.raises(Conflict, match="worker w7 holds 1 webhooks"):
            await copied(postgres, back)

        await shop.append(block())
        await engine.ledger.release("w7")
        await copied(postgres, back)
        with pytest.raises(StorageError, match="takes no writes"):
            await shop.append(block())

    async with opened(back, folder / "secret.key", clock) as engine:
        assert await engine.log.head() == 2


@pytest.mark.parametrize("into", ENGINES)
async def test_a_copy_that_is_killed_is_finished_later(
    folder: Path, tmp_path: Path, postgres: Database, back: Database, into: str
) -> None:
    source, target = await both(folder, postgres, back, into)
    before = await contents(source)

    for table in ("lanes",):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, table, *map(url_of, (source, target))],
            capture_output=True,
            text=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    await copied(source, target)

    assert await contents(target) == before


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from postbell.ports.tables import TablesUse
from postbell.storage.copying import copy
from postbell.storage.engines import named

async def main(table, source, target):
    def told(at):
        if at.table == table:
            os.kill(os.getpid(), signal.SIGKILL)
    read, filled = named(source, Path()), named(target, Path())
    async with filled.tables(TablesUse.FILL) as into, read.tables(TablesUse.HOLD) as tables:
        await copy(tables, into, finish=True, told=told)

asyncio.run(main(*sys.argv[1:]))
"""


def url_of(database: Database) -> str:
    place = database.place
    return place if place.startswith("postgresql:") else f"sqlite:///{place}"


def test_every_table_is_copied_or_said_to_be_of_running_processes_only() -> None:
    assert set(copying.PASSING) == {"leases", "processes"}
