"""The schema's version: empty, current, too old, too new."""

from pathlib import Path

import apsw
import pytest

from postbell.errors import StorageError
from postbell.rights import KeyScope
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sqlite import migrating
from tests.fakes import FakeClock


def set_version(path: Path, version: int) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
    connection.close()


def test_an_empty_database_gets_every_migration(path: Path) -> None:
    before = sqlite.pending(path)

    done = sqlite.migrate(path)

    assert before == done
    assert done[0] == "0001_pre_first_tables"
    assert sqlite.pending(path) == []
    assert sqlite.migrate(path) == []


async def test_opening_makes_the_tables(path: Path, sealer: Sealer, clock: FakeClock) -> None:
    engine = await sqlite.open(path, sealer, clock)

    assert sqlite.pending(path) == []
    await engine.close()


async def test_a_newer_schema_is_refused(path: Path, sealer: Sealer, clock: FakeClock) -> None:
    sqlite.migrate(path)
    set_version(path, 999)

    with pytest.raises(StorageError, match="schema 999"):
        await sqlite.open(path, sealer, clock)
    with pytest.raises(StorageError, match="schema 999"):
        sqlite.migrate(path)


async def test_an_older_schema_asks_for_migrate(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    sqlite.migrate(path)
    set_version(path, 0)

    with pytest.raises(StorageError, match="postbell migrate"):
        await sqlite.open(path, sealer, clock)

    assert sqlite.pending(path)[0] == "0001_pre_first_tables"


def test_a_migration_that_fails_leaves_nothing_behind(path: Path) -> None:
    sqlite.migrate(path)
    set_version(path, 0)

    with pytest.raises(StorageError, match="cannot migrate"):
        sqlite.migrate(path)

    assert sqlite.pending(path)[0] == "0001_pre_first_tables"


async def test_another_programs_database_is_left_alone(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE notes (text)")
    connection.close()

    with pytest.raises(StorageError, match="not Postbell's"):
        await sqlite.open(path, sealer, clock)


def older(path: Path, number: int) -> apsw.Connection:
    """Return a database of the release whose last migration has this number."""
    connection = apsw.Connection(str(path))
    connection.execute(migrating._META)
    for migration in migrating.known():
        if migration.number <= number:
            connection.execute(migration.script)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (number,))
    return connection


async def test_keys_of_the_release_before_are_carried_over(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    connection = older(path, 7)
    connection.execute("INSERT INTO accounts VALUES (1, 'acme', 1000000)")
    connection.execute("INSERT INTO api_users VALUES (3, 1, 'shop', 'sha256$0$0', 2000000, NULL)")
    connection.execute("INSERT INTO api_users VALUES (5, 1, 'old', 'scrypt$0$0', 2000000, 3000000)")
    connection.close()

    sqlite.migrate(path)
    engine = await sqlite.open(path, sealer, clock)
    shop, old = await engine.registry.api_users()
    await engine.close()

    assert [key.key_hash for key in shop.keys + old.keys] == ["sha256$0$0", "scrypt$0$0"]
    assert {key.scope for key in shop.keys + old.keys} == {KeyScope.EVERYTHING}
    assert shop.keys[0].is_live(clock.now())
    assert not old.keys[0].is_live(clock.now())
    assert shop.keys[0].created_at == shop.created_at


def test_what_was_parked_before_it_was_counted_is_counted(path: Path) -> None:
    connection = older(path, 13)
    connection.execute("INSERT INTO accounts VALUES (1, 'acme', 1000000)")
    for webhook_id in (1, 2):
        connection.execute(
            "INSERT INTO webhooks VALUES (?, 1, 'all', 'native', 'active', '', 0, 0, 1, 1, NULL, 1,"
            " NULL, '{}', '{}', x'', x'')",
            (webhook_id,),
        )
        connection.execute(
            "INSERT INTO lanes (webhook_id, account_id, cursor_block, cursor_offset)"
            " VALUES (?, 1, 0, 0)",
            (webhook_id,),
        )
    for number, state in enumerate(("parked", "waiting", "parked")):
        connection.execute(
            "INSERT INTO batches (id, webhook_id, account_id, revision, start_block, start_offset,"
            " end_block, end_offset, count, cut_at, state, attempts, last_error, body_hash)"
            " VALUES (?, 1, 1, 1, 0, 0, 0, 5, 5, 1000000, ?, 0, '', x'')",
            (f"b{number}", state),
        )
    connection.close()

    sqlite.migrate(path)

    connection = apsw.Connection(str(path))
    counted = connection.execute(
        "SELECT parked_batches, parked_events FROM lanes ORDER BY webhook_id"
    ).fetchall()
    connection.close()
    assert counted == [(2, 10), (0, 0)]
