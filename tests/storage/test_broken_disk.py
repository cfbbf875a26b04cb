"""A disk that fails: nothing is acknowledged that is not durable."""

import asyncio
import resource
from pathlib import Path

import apsw
import pytest

from postbell.errors import EngineStopped, StorageError
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine, faults
from tests.contract.making import block
from tests.fakes import FakeClock
from tests.storage.broken_disk import wal_becomes


async def test_a_full_disk_refuses_writes_until_there_is_space(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    [first] = await engine.log.append([block()], [], head=0, now=clock.now())

    with wal_becomes("/dev/full", path):
        with pytest.raises(StorageError, match="disk is full"):
            await engine.log.append([block()], [], head=first.id, now=clock.now())
        with pytest.raises(StorageError, match="disk is full"):
            await engine.ready()

    await engine.ready()
    [second] = await engine.log.append([block()], [], head=first.id, now=clock.now())
    assert await engine.log.tail(0, 10) == [first, second]


async def test_a_full_disk_fails_every_job_of_the_group(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    await engine.ready()

    with wal_becomes("/dev/full", path):
        results = await asyncio.gather(
            *(engine.registry.add_account(f"a{n}", clock.now()) for n in range(20)),
            return_exceptions=True,
        )

    assert {type(result) for result in results} == {StorageError}
    assert await engine.registry.accounts() == []


async def test_a_write_error_refuses_writes_while_it_lasts(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    [first] = await engine.log.append([block()], [], head=0, now=clock.now())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal_bytes = path.with_name("postbell.db-wal").stat().st_size

    resource.setrlimit(resource.RLIMIT_FSIZE, (wal_bytes, hard))
    try:
        with pytest.raises(StorageError, match="answered with an error") as caught:
            await engine.log.append([block(1000)], [], head=first.id, now=clock.now())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert type(caught.value) is StorageError
    await engine.ready()
    assert await engine.log.tail(0, 10) == [first]


async def test_a_failed_fsync_stops_the_engine_until_a_restart(
    engine: SqliteEngine, path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    [first] = await engine.log.append([block()], [], head=0, now=clock.now())

    with wal_becomes("/dev/null", path), pytest.raises(EngineStopped, match="restart"):
        await engine.log.append([block()], [], head=first.id, now=clock.now())

    with pytest.raises(EngineStopped, match="restart"):
        await engine.ready()
    with pytest.raises(EngineStopped):
        await engine.registry.add_account("late", clock.now())
    assert await engine.log.tail(0, 10) == [first]
    await engine.close()
    again = await sqlite.open(path, sealer, clock)
    assert await again.log.tail(0, 10) == [first]
    await again.ready()
    await again.close()


async def test_a_file_that_is_no_database_is_refused(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    path.write_bytes(b"no database at all, but long enough to look at" * 100)

    with pytest.raises(StorageError, match="no SQLite database"):
        await sqlite.open(path, sealer, clock)


async def test_a_missing_folder_is_named(tmp_path: Path, sealer: Sealer, clock: FakeClock) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        await sqlite.open(tmp_path / "nowhere" / "a.db", sealer, clock)


@pytest.mark.parametrize(
    ("code", "is_lost"),
    [
        (apsw.SQLITE_IOERR_FSYNC, True),
        (apsw.SQLITE_IOERR_DIR_FSYNC, True),
        (apsw.SQLITE_IOERR, True),
        (apsw.SQLITE_IOERR_WRITE, False),
        (apsw.SQLITE_IOERR_SHMSIZE, False),
        (apsw.SQLITE_IOERR_SHMMAP, False),
    ],
)
def test_only_what_touches_an_fsync_ends_the_engine(code: int, is_lost: bool) -> None:
    error = apsw.exception_for(code)

    assert faults.is_lost_sync(error, at_commit=True) is is_lost
