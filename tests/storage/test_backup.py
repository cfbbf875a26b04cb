"""Backups of a database in use."""

import asyncio
from pathlib import Path

import pytest

from postbell.errors import Conflict, StorageError
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from postbell.storage.sqlite.connecting import PAGE_BYTES
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


async def test_a_damaged_copy_is_noticed(engine: SqliteEngine, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    await engine.backup(target)
    page = bytearray(target.read_bytes())
    page[PAGE_BYTES * 3 : PAGE_BYTES * 3 + 200] = b"\xee" * 200
    target.write_bytes(bytes(page))

    assert sqlite.integrity_problems(target) != []
