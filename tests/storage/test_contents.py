"""What the disk did to a row is told as damage, with the way out: by start, audit, backup and
restore."""

import asyncio
import shutil
from pathlib import Path

import apsw
import pytest

from postbell.audit import audit
from postbell.cli import main
from postbell.errors import DamagedDatabase
from postbell.ports import Restored
from postbell.sealing import Sealer, load_or_create
from postbell.storage import sqlite
from postbell.storage.sqlite.contents import first_unreadable
from tests.fakes import FakeClock
from tests.storage.full import fill

ROTTEN = "CAST(x'50ff' AS TEXT)"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose database has rows in every table."""
    folder = tmp_path_factory.mktemp("filled")

    async def make() -> None:
        clock = FakeClock()
        sealer = load_or_create(folder / "secret.key")
        engine = await sqlite.open(folder / "postbell.db", sealer, clock)
        await fill(engine, clock)
        await engine.close()

    asyncio.run(make())
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may spoil."""
    return shutil.copytree(filled, tmp_path / "data")


@pytest.fixture
def sealer(folder: Path) -> Sealer:
    return load_or_create(folder / "secret.key")


def spoil(folder: Path, statement: str) -> None:
    connection = apsw.Connection(str(folder / "postbell.db"))
    connection.execute(statement)
    connection.close()


def restored(folder: Path, sealer: Sealer) -> Restored:
    """Restore the database elsewhere from a copy that has no digest, as `sqlite3 .backup` makes."""
    copy = folder / "copy.db"
    source, target = apsw.Connection(str(folder / "postbell.db")), apsw.Connection(str(copy))
    with target.backup("main", source, "main") as backup:
        backup.step()
    target.close()
    source.close()
    (folder / "fresh").mkdir()
    return sqlite.restore(copy, folder / "fresh" / "postbell.db", sealer)


def test_a_rotten_text_is_found_in_every_column(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "postbell.db"))
    columns = connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables,"
        " pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' AND columns.type = 'TEXT'"
    ).fetchall()
    found = []

    for table, column in columns:
        connection.execute("BEGIN")
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {ROTTEN}")
        found.append(first_unreadable(connection))
        connection.execute("ROLLBACK")

    assert found == [f"a text in {table} is not UTF-8" for table, _ in columns]
    assert first_unreadable(connection) == ""


@pytest.mark.parametrize(
    ("table", "column"),
    [("accounts", "name"), ("webhooks", "policy"), ("batches", "last_error"), ("trail", "old")],
)
def test_a_rotten_text_is_told_as_damage_wherever_it_is(
    folder: Path, sealer: Sealer, capsys: pytest.CaptureFixture[str], table: str, column: str
) -> None:
    spoil(folder, f"UPDATE OR IGNORE {table} SET {column} = {ROTTEN}")

    main(["audit", "--data-dir", str(folder)])
    audited = capsys.readouterr().err
    status = main(["backup", str(folder / "backup.db"), "--data-dir", str(folder)])
    backed_up = capsys.readouterr().err
    with pytest.raises(DamagedDatabase) as told:
        restored(folder, sealer)

    assert "unexpected" not in audited + backed_up
    assert status == 1
    assert "damaged" in backed_up
    assert "restore" in backed_up
    assert not (folder / "backup.db").exists()
    assert "copy.db is damaged (a text in" in str(told.value)
    assert not (folder / "fresh" / "postbell.db").exists()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE webhooks SET options = '{'", "webhook 1 cannot be read"),
        ("UPDATE webhooks SET policy = '[]'", "webhook 1 cannot be read"),
        ("UPDATE webhooks SET types = '[\"sent!\"]'", "webhook 1 cannot be read"),
        ("UPDATE webhooks SET state = 'actiwe'", "webhook 1 cannot be read"),
        ("UPDATE revisions SET types = '{}'", "revision 1 cannot be read"),
        ("UPDATE revisions SET options = 'null'", "revision 1 cannot be read"),
        ("UPDATE secrets SET kind = 'key'", "secret 1 cannot be read"),
        ("UPDATE api_keys SET scope = 'some'", "key of api user 1 cannot be read"),
        ("UPDATE batches SET state = 'parket' WHERE id = 'run'", "batch run cannot be read"),
        ("UPDATE replays SET state = 'runninh'", "replay 1 cannot be read"),
        ("UPDATE replays SET filter = ''", "replay 1 cannot be read"),
        ("UPDATE replays SET ranges = '[1]'", "replay 1 cannot be read"),
        ("UPDATE journal SET body = substr(body, 1, 99)", "journal row 1 cannot be read"),
        ("UPDATE trail SET actor_kind = 'nobody' WHERE id = 3", "trail 3 cannot be read"),
        ("UPDATE trail SET new = '{' WHERE id = 3", "trail 3 cannot be read"),
        ("UPDATE sources SET standing = '{}'", "source mail cannot be read"),
        ("UPDATE revisions SET webhook_id = 9", "revisions belongs to one of webhooks"),
        ("DELETE FROM accounts WHERE id = 1", "belongs to one of accounts"),
        ("DELETE FROM heads WHERE account_id = 0", "it lacks a row that is there always"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_by_backup_and_restore(
    folder: Path, sealer: Sealer, capsys: pytest.CaptureFixture[str], statement: str, told: str
) -> None:
    spoil(folder, statement)

    status = main(["backup", str(folder / "backup.db"), "--data-dir", str(folder)])
    backed_up = capsys.readouterr().err
    with pytest.raises(DamagedDatabase, match=f"copy.db is damaged .*{told}"):
        restored(folder, sealer)

    assert (status, (folder / "backup.db").exists()) == (1, False)
    assert "is damaged" in backed_up
    assert told in backed_up


@pytest.mark.parametrize("column", ["url", "headers"])
def test_a_secret_that_does_not_open_is_counted(folder: Path, sealer: Sealer, column: str) -> None:
    spoil(folder, f"UPDATE webhooks SET {column} = x'c1'")

    done = restored(folder, sealer)

    assert done.sealed - done.opened == 1
    assert not done.is_verified


def test_a_whole_database_is_read_whole(folder: Path, sealer: Sealer) -> None:
    done = restored(folder, sealer)

    assert done.sealed == done.opened == 6


def test_the_command_says_whether_it_could_verify_a_backup(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data-dir", str(folder))
    backup = folder / "backup.db"
    assert main(["backup", str(backup), *data]) == 0

    whole = main(["restore", str(backup), *data])
    verified = capsys.readouterr().out
    changed = apsw.Connection(str(backup))
    changed.execute("UPDATE lanes SET failures = 7")
    changed.close()
    refused = main(["restore", str(backup), *data])
    told = capsys.readouterr().err
    taken = main(["restore", str(backup), *data, "--ignore-digest"])
    unverified = capsys.readouterr().out

    assert (whole, refused, taken) == (0, 1, 0)
    assert "verified" not in verified
    assert f"the backup {backup} is damaged (its digest is another one" in told
    assert "cannot be verified as a whole" in unverified


@pytest.mark.parametrize("column", ["options", "state"])
async def test_an_audit_names_what_it_could_not_read(
    folder: Path, sealer: Sealer, clock: FakeClock, column: str
) -> None:
    """A webhook without anything open: nothing else tells that it is there."""
    spoil(folder, f"UPDATE webhooks SET {column} = 'w'; DELETE FROM batches")
    engine = await sqlite.open(folder / "postbell.db", sealer, clock)

    found = await audit(engine, {})

    assert [each.what for each in found.problems] == ["rows cannot be read: the log names them"]
    await engine.close()


async def test_a_webhook_without_a_revision_is_one_row_that_cannot_be_read(
    folder: Path, sealer: Sealer, clock: FakeClock
) -> None:
    spoil(folder, "DELETE FROM revisions")
    engine = await sqlite.open(folder / "postbell.db", sealer, clock)

    assert await engine.registry.webhooks() == []
    await engine.close()


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE webhooks SET api_user = {ROTTEN}",
        "DELETE FROM heads WHERE account_id = 0",
        "DELETE FROM meta WHERE name = 'registry_version'",
    ],
)
def test_a_start_says_that_the_database_is_damaged(
    folder: Path, capsys: pytest.CaptureFixture[str], statement: str
) -> None:
    spoil(folder, statement)

    status = main(["serve", "--data-dir", str(folder), "--listen", "127.0.0.1:0"])

    said = capsys.readouterr().err
    assert status == 1
    assert "damaged" in said
    assert "postbell restore" in said
    assert "unexpected" not in said
