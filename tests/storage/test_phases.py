"""Upgrading without stopping: the release before and the next one on one schema."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import postbell
from postbell.clock import SystemClock
from postbell.errors import Conflict, StorageError, UsageError
from postbell.ports import MigrationPhase
from postbell.sealing import load_or_create
from postbell.storage.postgres import PostgresDatabase, connecting, migrating
from postbell.storage.postgres import open as postgres_open
from postbell.storage.postgres.transaction import SQL, PostgresTransaction
from postbell.storage.sql.migrations import Migration, after, due
from postbell.storage.sqlite import SqliteDatabase
from tests.crash.harness import (
    KEY_OPTION,
    Running,
    Service,
    check_repeats,
    events,
    receiving,
    until,
)
from tests.empty import made_postgres
from tests.postgres import server

PRE = """
DO $$ DECLARE each text; BEGIN
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename IN (
        SELECT relname FROM pg_class WHERE NOT relispartition) LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN of_next bigint NOT NULL DEFAULT 7', each);
    END LOOP;
END $$;
CREATE TABLE next_things (id bigint PRIMARY KEY);
CREATE INDEX of_next_lanes ON lanes (of_next);
"""
"""What a next release may add while this one serves: a column to every table, tables, indices."""
POST = "DROP INDEX of_next_lanes; ALTER TABLE webhooks DROP COLUMN of_next;"
A, B, C, D = (
    Migration(1, "0001_pre_a", ""),
    Migration(2, "0002_pre_b", ""),
    Migration(3, "0003_post_c", ""),
    Migration(4, "0004_pre_d", ""),
)


@pytest.fixture
def url() -> Iterator[str]:
    """Give a database of its own: its tables are changed."""
    name = server().database(made_postgres())
    yield server().url(name)
    server().drop(name)


def test_what_is_done_before_is_done_up_to_the_first_that_must_wait() -> None:
    assert due([A, B, C], MigrationPhase.PRE, "x") == [A, B]
    assert due([C], MigrationPhase.POST, "x") == [C]
    assert due([B, C, D], MigrationPhase.ALL, "x") == [B, C, D]
    assert due([], MigrationPhase.PRE, "x") == due([], MigrationPhase.POST, "x") == []


def test_no_release_is_passed_over_without_stopping() -> None:
    with pytest.raises(Conflict, match="0004_pre_d comes after 0003_post_c"):
        due([B, C, D], MigrationPhase.PRE, "x")
    with pytest.raises(Conflict, match="lacks 0002_pre_b"):
        due([B, C], MigrationPhase.POST, "x")


def test_only_what_came_after_takes_a_schema_from_an_older_release() -> None:
    known = [A, B]

    assert after(4, known, "x", floor=2) == []
    with pytest.raises(StorageError, match="schema 4, this release knows up to 2"):
        after(4, known, "x", floor=3)
    with pytest.raises(StorageError, match="schema 4"):
        after(4, known, "x")


def test_a_file_has_no_phases(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without --phase"):
        SqliteDatabase(tmp_path / "postbell.db").migrate(MigrationPhase.PRE)


async def test_no_statement_answers_otherwise_when_a_table_gets_a_column(url: str) -> None:
    before = await answers(url)
    await run(url, PRE)

    assert await answers(url) == before


async def answers(url: str) -> dict[str, Any]:
    """Return what each statement takes and answers with."""
    connection = await asyncpg.connect(url)
    try:
        found = {}
        for name, statement in SQL.items():
            if statement.startswith("LOCK"):
                continue
            prepared = await connection.prepare(statement)
            columns = [(column.name, column.type.name) for column in prepared.get_attributes()]
            found[name] = ([each.name for each in prepared.get_parameters()], columns)
        return found
    finally:
        await connection.close()


async def run(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(script)
    await connection.close()


async def test_it_waits_a_moment_for_who_is_at_work_and_lets_others_through(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "_PATIENCE", "SET LOCAL lock_timeout = '100ms'")
    monkeypatch.setattr(migrating, "AGAIN_S", 0.05)
    made = [*migrating.known(), Migration(9001, "9001_pre_next", PRE)]
    monkeypatch.setattr(migrating, "known", lambda: made)
    found = await connecting.found(url)
    reading = await asyncpg.connect(url)
    await reading.execute("BEGIN; SELECT * FROM lanes")

    async with asyncio.TaskGroup() as tasks:
        migrated = tasks.create_task(migrating.migrate(found))
        for _ in range(5):
            # It would stand behind a migration that waits for the reader without end.
            await run(url, "SELECT * FROM lanes")
            await asyncio.sleep(0.05)
        assert not migrated.done()
        await reading.execute("COMMIT")

    assert [each.number for each in migrated.result()] == [9001]
    await reading.close()


async def test_a_reader_that_crosses_a_migration_reads_again(url: str, tmp_path: Path) -> None:
    engine = await postgres_open(url, load_or_create(tmp_path / "key"), SystemClock())
    changing = await asyncpg.connect(url)
    await changing.execute("BEGIN; SET LOCAL deadlock_timeout = '30s'; LOCK TABLE lanes")
    runs = 0

    async def work(db: PostgresTransaction) -> int:
        nonlocal runs
        runs += 1
        await db.rows("accounts")
        if runs == 1:
            crossing.set()
        return len(await db.rows("read_lane", 1))

    crossing = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(engine._readers.run(work))
        await crossing.wait()
        await changing.execute("LOCK TABLE accounts")
        await changing.execute("COMMIT")

    assert (reading.result(), runs) == (0, 2)
    await changing.close()
    await engine.close()


class NextService(Service):
    """The next release: this one's code, and two migrations more."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        code = folder.parent / "next" / "postbell"
        self.env["PYTHONPATH"] = str(code.parent)
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        if not code.exists():
            shutil.copytree(Path(postbell.__file__).parent, code)
            migrations = code / "storage" / "postgres" / "migrations"
            (migrations / "9001_pre_next.sql").write_text(PRE)
            (migrations / "9002_post_next.sql").write_text(POST)

    async def launch(self, role: str = "all") -> None:
        with (self.folder / "service.log").open("ab") as log:
            words = [sys.executable, "-m", "postbell", "serve", "--role", role]
            self.process = Running(
                subprocess.Popen(words, env=self.env, stdout=log, stderr=log, text=True)
            )

    async def cli(self, *words: str, expect: int = 0) -> Any:
        asking = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "postbell", *words, env=self.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asking.communicate()
        assert asking.returncode == expect, (words, out, err)
        return out.decode()


async def test_both_releases_serve_on_one_schema_and_nothing_is_lost(
    url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "service"
    settings = {"POSTBELL_DATABASE_URL": url}
    old, new = Service(folder, **settings), NextService(folder, **settings)
    (folder / "data").mkdir(parents=True)
    load_or_create(folder / "data" / "secret.key")
    sent = 0

    async def send(*services: Service) -> None:
        nonlocal sent
        for service in services:
            await service.send(events(sent, 20))
            sent += 20

    async with receiving() as receiver:
        await old.cli("accounts", "create", "acme")
        await old.cli("api-users", "create", "acme", "main", *KEY_OPTION)
        await old.start()
        for _ in range(3):
            await old.webhook(receiver.url, max_wait_s=0)
        await send(old)
        with pytest.raises(AssertionError, match="lacks 9001_pre_next"):
            await new.start()

        async with asyncio.TaskGroup() as tasks:
            migrating_ = tasks.create_task(new.cli("migrate", "--phase", "pre"))
            while not migrating_.done():
                await send(old)
        assert "9001_pre_next" in migrating_.result()
        await send(old)
        await new.start()
        await send(old, new, old, new)
        assert await old.stop() == 0  # and the release before starts on what the next one added
        await send(new)
        await old.start()
        await send(old, new)
        with pytest.raises(AssertionError, match="9002_post_next"):
            await new.cli("migrate", "--check", "--phase", "post", expect=0)
        assert await old.stop() == 0
        await send(new)
        assert "9002_post_next" in await new.cli("migrate", "--phase", "post")
        await send(new)
        with pytest.raises(AssertionError, match="schema 9002, this release knows up to"):
            await old.start()

        arrivals = receiver.arrivals
        await until(lambda: len(receiver.event_ids()) == sent, 60)
        await until(lambda: sum(len(a.events) for a in arrivals) >= 3 * sent, 90)
        check_repeats(arrivals)
        assert "every event is accounted for" in await new.cli("audit")
        assert await new.stop() == 0


def test_a_schema_beyond_a_post_migration_is_refused(url: str) -> None:
    marks = "name IN ('schema_version', 'schema_floor')"
    asyncio.run(run(url, f"UPDATE meta SET value = 9002 WHERE {marks}"))

    with pytest.raises(StorageError, match="start the newer release"):
        PostgresDatabase.named(url, Path()).pending()
