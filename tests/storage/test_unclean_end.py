"""A start after an unclean end, or on files that somebody put there: looked at before it serves."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from postbell.errors import DamagedDatabase
from postbell.sealing import Sealer
from postbell.signals import heard
from postbell.storage import sqlite
from postbell.storage.sqlite.checking import first_problem
from postbell.storage.sqlite.connecting import PAGE_BYTES
from tests.contract.making import Shop, block
from tests.fakes import FakeClock, drop


@contextmanager
def looks() -> Iterator[list[str]]:
    """Note the files that are looked at."""
    seen: list[str] = []
    with heard("database_checked", lambda fields: seen.append(fields["file"])):
        yield seen


def killed(path: Path, folder: Path) -> Path:
    """Copy what a process that is killed now leaves, into a folder of its own."""
    folder.mkdir()
    for ending in ("", "-wal"):
        shutil.copyfile(path.with_name(path.name + ending), folder / (path.name + ending))
    return folder / path.name


def bytes_of(path: Path) -> dict[str, bytes]:
    """Return the database's two files as they are."""
    return {end: path.with_name(path.name + end).read_bytes() for end in ("", "-wal")}


async def test_what_was_closed_is_not_looked_at_again(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    first = await sqlite.open(path, sealer, clock)
    await (await Shop.open(first, clock)).append(block())
    await first.close()

    with looks() as seen:
        again = await sqlite.open(path, sealer, clock)
        beside = await sqlite.open(path, sealer, clock, serves=True)

    assert seen == []
    for engine in (again, beside):
        await engine.close()


async def test_only_the_last_one_to_close_says_how_it_left_the_file(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    first = await sqlite.open(path, sealer, clock)
    second = await sqlite.open(path, sealer, clock)
    await first.close()
    left = killed(path, path.parent / "left")
    shutil.copyfile(path.with_name("postbell.db.lock"), left.with_name("postbell.db.lock"))
    await (await Shop.open(second, clock)).append(block())
    await second.close()

    with looks() as seen:
        closed = await sqlite.open(path, sealer, clock)
        half = await sqlite.open(left, sealer, clock)

    assert seen == [str(left)]
    for engine in (closed, half):
        await engine.close()


@pytest.mark.parametrize("change", ["touched", "grown"])
async def test_a_file_that_somebody_changed_is_looked_at(
    path: Path, sealer: Sealer, clock: FakeClock, change: str
) -> None:
    await (await sqlite.open(path, sealer, clock)).close()
    if change == "touched":
        os.utime(path)
    else:
        found = path.stat()
        with path.open("ab") as file:
            file.write(b"more")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    with looks() as seen:
        engine = await sqlite.open(path, sealer, clock)

    assert seen == [str(path)]
    await engine.close()


async def test_after_a_kill_it_is_looked_at_and_everything_is_there(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    running = await sqlite.open(path, sealer, clock)
    headers = await (await Shop.open(running, clock)).append(*(block(100) for _ in range(20)))
    left = killed(path, path.parent / "left")
    await running.close()

    with looks() as seen:
        engine = await sqlite.open(left, sealer, clock)

    assert seen == [str(left)]
    assert await engine.log.tail(0, 100) == headers
    await engine.close()


async def test_a_backup_beside_the_old_wal_is_refused_and_nothing_touched(
    path: Path, sealer: Sealer, clock: FakeClock, tmp_path: Path
) -> None:
    running = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(running, clock)
    await shop.append(*(block(100) for _ in range(20)))
    await running.backup(tmp_path / "backup.db")
    await shop.append(*(block(100) for _ in range(20)))
    left = killed(path, path.parent / "left")
    await running.close()
    shutil.copyfile(tmp_path / "backup.db", left)
    before = bytes_of(left)

    with pytest.raises(DamagedDatabase, match=r"-wal does not belong to .* 'postbell restore'"):
        await sqlite.open(left, sealer, clock)
    with pytest.raises(DamagedDatabase, match="-wal does not belong"):
        sqlite.migrate(left)

    assert bytes_of(left) == before


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_wal_without_its_database_is_kept(
    path: Path, sealer: Sealer, clock: FakeClock, is_there: bool
) -> None:
    running = await sqlite.open(path, sealer, clock)
    await (await Shop.open(running, clock)).append(block())
    left = killed(path, path.parent / "left")
    await running.close()
    left.unlink()
    if is_there:
        left.touch()

    with pytest.raises(DamagedDatabase, match="-wal does not belong"):
        await sqlite.open(left, sealer, clock)

    assert left.with_name("postbell.db-wal").stat().st_size


@pytest.mark.parametrize("is_newer", [True, False], ids=["newer", "older"])
async def test_the_wal_of_another_time_is_refused_and_nothing_touched(
    path: Path, sealer: Sealer, clock: FakeClock, is_newer: bool
) -> None:
    running = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(running, clock)
    await shop.append(*(block(100) for _ in range(20)))
    for folder in ("early", "between", "late"):
        await running.close()
        running = shop.engine = await sqlite.open(path, sealer, clock)
        await shop.append(*(block(100) for _ in range(20)))
        if folder == "early":
            early = killed(path, path.parent / folder)
        else:
            await drop(running, 15)
    late = killed(path, path.parent / "late")
    await running.close()
    kept, given = (early, late) if is_newer else (late, early)
    shutil.copyfile(f"{given}-wal", f"{kept}-wal")
    before = bytes_of(kept)

    with pytest.raises(DamagedDatabase, match=r"damaged.*postbell restore"):
        await sqlite.open(kept, sealer, clock)

    assert bytes_of(kept) == before


def without_index(path: Path, name: str, statement: str) -> None:
    """Run *statement* behind the back of an index, as a page of it from another time would."""
    database = apsw.Connection(str(path))
    [kept] = database.execute("SELECT * FROM sqlite_schema WHERE name = ?", (name,)).fetchall()
    database.execute("PRAGMA writable_schema = ON")
    database.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
    database.close()
    database = apsw.Connection(str(path))
    database.execute(statement)
    database.execute("PRAGMA writable_schema = ON")
    database.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", kept)
    database.close()


@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ("UPDATE heads SET next_sequence = 2 WHERE account_id = 0", "block 3, and its head says 1"),
        ("UPDATE meta SET value = 9 WHERE name = 'index_block'", "index has read up to block 9"),
    ],
)
async def test_tables_of_different_times_are_told_apart(
    path: Path, sealer: Sealer, clock: FakeClock, statement: str, fact: str
) -> None:
    engine = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(engine, clock)
    await shop.webhook()
    await shop.append(block(), block(), block())
    await engine.close()
    assert first_problem(path) == ""
    database = apsw.Connection(str(path))
    database.execute(statement)
    database.close()

    with pytest.raises(DamagedDatabase, match=fact):
        await sqlite.open(path, sealer, clock)


async def test_an_index_of_another_time_is_found(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    engine = await sqlite.open(path, sealer, clock)
    await (await Shop.open(engine, clock)).append(block(), block())
    await engine.close()
    without_index(path, "blocks_of_account", "UPDATE blocks SET account_id = 2 WHERE id = 1")
    database = apsw.Connection(str(path))
    assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    database.close()

    with pytest.raises(DamagedDatabase, match="index blocks_of_account"):
        await sqlite.open(path, sealer, clock)


async def test_what_is_small_is_looked_at_when_there_is_no_time_for_all(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    engine = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(engine, clock)
    await shop.append(*(block(1000) for _ in range(400)))
    await engine.close()
    assert path.stat().st_size > 1000 * PAGE_BYTES

    with pytest.raises(TimeoutError):
        first_problem(path, until=time.monotonic() - 1)

    without_index(path, "api_users_of_account", "UPDATE api_users SET account_id = 2 WHERE id = 1")
    assert "api_users_of_account" in first_problem(path, until=time.monotonic() - 1)


async def test_those_who_come_while_it_is_looked_at_wait(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    await (await sqlite.open(path, sealer, clock)).close()
    looking = sqlite.locking.FilesLock(path)
    assert looking.is_alone()

    waiting = asyncio.create_task(sqlite.open(path, sealer, clock))
    done, _ = await asyncio.wait((waiting,), timeout=0.2)
    assert not done
    looking.release()

    await (await waiting).close()
