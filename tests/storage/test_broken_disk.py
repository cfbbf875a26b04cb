"""A disk that fails: nothing is acknowledged that is not durable."""

import asyncio
import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from postbell.errors import EngineStopped, StorageError
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine, faults
from postbell.storage.sqlite.hardening import PIECE_BYTES
from tests.contract.making import block
from tests.fakes import FakeClock
from tests.storage.broken_disk import wal_becomes


async def test_a_full_disk_refuses_writes_until_there_is_space(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    [first], _ = await engine.log.append([block()], [], head=0, now=clock.now())

    with wal_becomes("/dev/full", path):
        with pytest.raises(StorageError, match="disk is full"):
            await engine.log.append([block()], [], head=first.id, now=clock.now())
        with pytest.raises(StorageError, match="disk is full"):
            await engine.ready()

    await engine.ready()
    [second], _ = await engine.log.append([block()], [], head=first.id, now=clock.now())
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
    [first], _ = await engine.log.append([block()], [], head=0, now=clock.now())
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
    [first], _ = await engine.log.append([block()], [], head=0, now=clock.now())

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


@contextlib.contextmanager
def calls_of(name: str) -> Iterator[list[tuple[str, int]]]:
    """Note the file and the place of each call of an os function with a descriptor first."""
    real, noted = getattr(os, name), []

    def call(descriptor: int, *rest: Any) -> Any:
        noted.append((os.readlink(f"/proc/self/fd/{descriptor}"), rest[1] if rest else 0))
        return real(descriptor, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, call)
        yield noted


@pytest.mark.parametrize("is_alone", [True, False])
async def test_what_the_wal_holds_is_written_again_and_synced_before_anything_else(
    path: Path, sealer: Sealer, clock: FakeClock, is_alone: bool
) -> None:
    before = await sqlite.open(path, sealer, clock, worker=not is_alone)
    headers, _ = await before.log.append([block(1000), block(1000)], [], head=0, now=clock.now())
    wal = path.with_name(path.name + "-wal")
    content = wal.read_bytes()

    with calls_of("pwrite") as written, calls_of("fsync") as synced:
        serving = await sqlite.open(path, sealer, clock, serves=True)
    with calls_of("pwrite") as by_command:
        looking = await sqlite.open(path, sealer, clock)

    pieces = range(0, len(content), PIECE_BYTES)
    assert [place for place in written if place[0] == str(wal)] == [(str(wal), p) for p in pieces]
    assert (str(wal), 0) in synced
    assert wal.read_bytes() == content
    assert bool([place for place in by_command if place[0] == str(wal)]) is is_alone
    assert await serving.log.tail(0, 10) == headers
    for engine in (before, serving, looking):
        await engine.ready()
        await engine.close()


async def test_a_disk_that_does_not_take_the_wal_again_is_named(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    before = await sqlite.open(path, sealer, clock)
    await before.log.append([block()], [], head=0, now=clock.now())

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match=r"-wal durable: Input/output error"):
            await sqlite.open(path, sealer, clock)
    await before.close()


async def test_a_database_that_cannot_be_looked_at_is_named(
    path: Path, sealer: Sealer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await sqlite.open(path, sealer, clock)).close()
    path.with_name(path.name + ".lock").unlink()
    path.with_name(path.name + "-wal").write_bytes(b"not of this database")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Path, "open", fail)

    with pytest.raises(StorageError, match=r"cannot look at the database .*Too many open files"):
        await sqlite.open(path, sealer, clock)


async def test_a_database_that_sqlite_opens_for_reading_only_is_refused(
    path: Path, sealer: Sealer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await sqlite.open(path, sealer, clock)).close()

    class ForReading(apsw.Connection):
        """What SQLite does by itself where the file cannot be opened for writing just then."""

        def __init__(self, name: str, *, flags: int, **others: int) -> None:
            super().__init__(name, flags=apsw.SQLITE_OPEN_READONLY, **others)

    monkeypatch.setattr(apsw, "Connection", ForReading)

    with pytest.raises(StorageError, match="cannot be written"):
        await sqlite.open(path, sealer, clock)


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
