"""Engines are found by the scheme of a URL; what one cannot do it says by name."""

from pathlib import Path

import pytest

from postbell.errors import BadInput, StorageError, UsageError
from postbell.sealing import Sealer
from postbell.storage.engines import ENGINES, named, problem
from postbell.storage.sqlite import SqliteDatabase
from postbell.storage.sqlite.locking import WorkerLock
from tests.fakes import FakeClock
from tests.postgres import server

KNOWN = "postgresql://HOST/DATABASE, sqlite:///FILE"


def file_of(url: str, folder: Path) -> Path:
    database = named(url, folder)
    assert isinstance(database, SqliteDatabase)
    assert database.place == str(database.path)
    return database.path


def test_an_unknown_scheme_is_refused_with_the_engines_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"^no engine 'oracle'; known: {KNOWN}$"):
        named("oracle://db/x", tmp_path)


@pytest.mark.parametrize("url", ["memory:", "oracle://db/x", "postbell.db", "", "://", ":"])
def test_what_no_installation_can_be_on_is_told_with_what_it_can_be_on(url: str) -> None:
    assert problem(url).endswith(f"; known: {KNOWN}")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://host/postbell.db",
        "sqlite://postbell.db",
        "sqlite:///",
        "sqlite://[x/y",
        "sqlite:///a%00b",
    ],
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    assert problem(url) == "three slashes and a file expected, as in sqlite:///postbell.db"


def test_a_relative_database_is_inside_the_data_folder_and_an_absolute_one_is_not() -> None:
    assert problem("sqlite:///postbell.db") == ""
    assert file_of("sqlite:///postbell.db", Path("data")) == Path("data/postbell.db")
    assert file_of("sqlite:////var/lib/my%20bell.db", Path("data")) == Path("/var/lib/my bell.db")


def test_a_link_to_a_database_is_followed_so_that_it_has_one_lock_by_every_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "postbell.db").symlink_to("../disk.db")
    lock = WorkerLock(tmp_path / "disk.db")

    path = file_of("sqlite:///postbell.db", tmp_path / "data")

    assert path == tmp_path / "disk.db"
    with pytest.raises(StorageError, match="is the worker of"):
        WorkerLock(path)
    lock.release()


def test_a_folder_and_an_empty_file_are_no_database_yet(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "folder.db").mkdir()

    names = ("empty.db", "folder.db", "missing.db")

    assert not any(named(f"sqlite:///{name}", tmp_path).exists() for name in names)


async def test_what_ends_with_its_process_says_what_it_cannot_do(
    tmp_path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    database = named("memory:", tmp_path)
    engine = await database.open(sealer, clock)

    with pytest.raises(UsageError, match="the engine 'memory' cannot be backed up: "):
        await engine.backup(tmp_path / "copy")
    with pytest.raises(UsageError, match="the engine 'memory' cannot be compacted: "):
        database.compact()
    with pytest.raises(UsageError, match="the engine 'memory' cannot be restored: "):
        database.restore(tmp_path / "copy", sealer)
    with pytest.raises(BadInput, match="nothing expected after memory:"):
        named("memory:x", tmp_path)


@pytest.mark.parametrize("scheme", ENGINES)
async def test_every_engine_makes_what_is_missing_with_its_folder(
    scheme: str, tmp_path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    urls = {
        "memory": "memory:",
        "postgres": server().url(server().database()).replace("postgresql:", "postgres:", 1),
        "postgresql": server().url(server().database()),
        "sqlite": "sqlite:///new/folder/postbell.db",
    }
    database = named(urls[scheme], tmp_path)
    was_there = database.exists()

    engine = await database.open(sealer, clock)
    await engine.ready()
    await engine.close()

    assert not was_there
    assert database.exists() == ENGINES[scheme].is_lasting
    assert database.pending() == database.migrate() == []
    assert not database.lacks_room()
