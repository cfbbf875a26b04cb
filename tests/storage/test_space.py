"""Space that retention frees is given back, a little at a time; the WAL's file is bounded."""

import asyncio
import resource
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from postbell.blocks import NewBlock, build_block
from postbell.errors import Conflict, StorageError
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from postbell.storage.sqlite.connecting import KEPT_WAL_BYTES, PAGE_BYTES
from postbell.storage.sqlite.space import APPEND_BYTES, KEPT_BYTES, STEP_PAGES
from tests.fakes import FakeClock, drop

MIB = 1 << 20
LOOKS = 200


def large() -> NewBlock:
    """Return a block of one MiB."""
    return build_block(1, 1, [b"x" * (MIB - 100)], b"\x01", bytes(8))


async def fill(engine: SqliteEngine, clock: FakeClock, mib: int) -> int:
    """Append so many MiB and return the newest block's id."""
    for _ in range(mib // 4):
        head = await engine.log.head()
        await engine.log.append([large() for _ in range(4)], [], head=head, now=clock.now())
    return await engine.log.head()


async def empty(engine: SqliteEngine, clock: FakeClock, mib: int) -> None:
    """Append so many MiB and drop them."""
    head = await fill(engine, clock, mib)
    await drop(engine, head + 1)


async def test_what_is_free_is_given_back_in_small_steps_but_for_what_is_soon_needed(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    await empty(engine, clock, 28)
    before = await engine.space()

    steps = [before.free_bytes]
    while await engine.shrink():
        steps.append((await engine.space()).free_bytes)

    after = await engine.space()
    await engine.close()
    assert before.database_bytes > 28 * MIB
    assert KEPT_BYTES - STEP_PAGES * PAGE_BYTES <= after.free_bytes <= KEPT_BYTES
    assert all(a - b <= STEP_PAGES * PAGE_BYTES for a, b in pairwise(steps))
    assert after.database_bytes == path.stat().st_size < KEPT_BYTES + 4 * MIB


async def test_a_database_from_before_is_compacted_once_and_shrinks_from_then_on(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    older = apsw.Connection(str(path))
    older.execute(f"PRAGMA page_size = {PAGE_BYTES}; CREATE TABLE first (a); DROP TABLE first")
    assert older.pragma("auto_vacuum") == 0
    older.close()
    engine = await sqlite.open(path, sealer, clock)
    await empty(engine, clock, 28)
    was_given_back = await engine.shrink()
    with pytest.raises(Conflict, match="in use"):
        sqlite.compact(path)
    await engine.close()

    before, after = sqlite.compact(path)

    assert not was_given_back
    assert before.database_bytes > 28 * MIB
    assert after.database_bytes == path.stat().st_size < 2 * MIB
    engine = await sqlite.open(path, sealer, clock)
    await empty(engine, clock, 28)
    assert await engine.shrink()
    await engine.close()


async def test_the_wal_is_cut_once_a_reader_lets_go_of_it(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM blocks").fetchall()
    await fill(engine, clock, 24)
    meanwhile = (await engine.space()).wal_bytes

    reader.close()
    for _ in range(LOOKS):
        clock.advance(1)
        await engine.ready()
        if (await engine.space()).wal_bytes <= KEPT_WAL_BYTES:
            break
        await asyncio.sleep(0.05)

    assert meanwhile > KEPT_WAL_BYTES
    assert (await engine.space()).wal_bytes <= KEPT_WAL_BYTES


async def test_the_space_is_that_of_the_files(engine: SqliteEngine, path: Path) -> None:
    await engine.ready()

    space = await engine.space()

    assert space.wal_bytes == path.with_name(path.name + "-wal").stat().st_size > 0
    assert space.database_bytes > 0


async def test_it_is_ready_only_where_the_largest_block_finds_room(engine: SqliteEngine) -> None:
    """A row alone finds room on a full disk, in a WAL that has been as long before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (APPEND_BYTES - 1, hard))
    try:
        with pytest.raises(StorageError, match=r"the disk of .* is full: free some space"):
            await engine.ready()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    await engine.ready()
