"""Backups of a database in use."""

import asyncio
import resource
from pathlib import Path

import apsw
import pytest

from postbell.errors import Conflict, StorageError
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from postbell.storage.sqlite.connecting import PAGE_BYTES
from postbell.storage.sqlite.faults import as_storage_error
from tests.contract.making import Shop, block
from tests.fakes import FakeClock


async def test_a_backup_while_writing_is_a_whole_prefix_of_the_log(
    engine: SqliteEngine, sealer: Sealer, clock: FakeClock, tmp_path: Path
) -> None:
    shop = await Shop.open(engine, clock)
    await shop.append(*(block(1000) for _ in range(50)))
    target = tmp_path / "copy.db"

    backup = asyncio.create_task(engine.backup(target))
    while not backup.done():
        await shop.append(block(100))
    await backup

    assert sqlite.integrity_problems(target) == []
    copy = await sqlite.open(target, sealer, clock)
    headers = await copy.log.tail(0, 100_000)
    assert len(headers) >= 50
    assert headers == (await engine.log.tail(0, 100_000))[: len(headers)]
    assert await copy.registry.accounts() == shop.accounts
    await copy.close()


async def test_a_backup_never_overwrites(engine: SqliteEngine, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(Conflict, match="exists already"):
        await engine.backup(target)

    assert target.read_text() == "precious"


async def test_a_backup_into_nowhere_fails_and_leaves_nothing(
    engine: SqliteEngine, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        await engine.backup(tmp_path / "nowhere" / "copy.db")

    assert not list(tmp_path.glob("*.partial*"))


async def test_a_backup_that_has_no_room_says_where_and_leaves_nothing(
    engine: SqliteEngine, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE_BYTES * 5, hard))
    try:
        with pytest.raises(StorageError, match=rf"cannot back up .* to {target}: ") as told:
            await engine.backup(target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not list(tmp_path.glob("copy.db*"))
    assert "not an error" not in str(told.value)


def test_an_error_without_a_message_is_told_by_its_name() -> None:
    """As a copy's step onto a full disk ends."""
    error = apsw.exception_for(apsw.SQLITE_FULL)
    error.args = ("not an error",)

    told = as_storage_error(error, "cannot back up a to b").message

    assert told == (
        "cannot back up a to b: the disk is full: free some space, nothing was written"
        " (SQLITE_FULL)"
    )


async def test_a_damaged_copy_is_noticed(engine: SqliteEngine, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    await engine.backup(target)
    page = bytearray(target.read_bytes())
    page[PAGE_BYTES * 3 : PAGE_BYTES * 3 + 200] = b"\xee" * 200
    target.write_bytes(bytes(page))

    assert sqlite.integrity_problems(target) != []
