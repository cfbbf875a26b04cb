"""`restore`: the old database whole or the new one whole, wherever it is cut off."""

import errno
import gzip
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
import zstandard

from postbell.errors import Conflict, DamagedDatabase, StorageError, UsageError
from postbell.sealing import Sealer, load_or_create
from postbell.storage import sqlite
from postbell.storage.sqlite.connecting import PAGE_BYTES
from postbell.storage.sqlite.locking import FilesLock, alone
from tests.contract.making import Shop, block
from tests.fakes import FakeClock

OLD, NEW = 7, 3
"""Blocks in the database that is there, and in the backup."""


@pytest.fixture
async def backup(path: Path, sealer: Sealer, clock: FakeClock) -> Path:
    """A backup, and a database that went on after it and was killed: some of it is in its WAL."""
    target = path.with_name("backup.db")
    engine = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(engine, clock)
    await shop.webhook()
    await shop.append(*(block(50) for _ in range(NEW)))
    await engine.backup(target)
    await engine.close()
    engine = shop.engine = await sqlite.open(path, sealer, clock)
    await shop.append(*(block(50) for _ in range(OLD - NEW)))
    wal = Path(f"{path}-wal").read_bytes()
    main = path.read_bytes()
    await engine.close()
    path.write_bytes(main)
    Path(f"{path}-wal").write_bytes(wal)
    return target


def files_of(path: Path) -> dict[str, bytes]:
    """Return the database and what lies beside it, but for locks and what is rebuilt anyway."""
    return {
        each.name: each.read_bytes()
        for each in path.parent.glob(f"{path.name}*")
        if not each.name.endswith((".lock", "-shm"))
    }


async def head_of(path: Path, sealer: Sealer, clock: FakeClock) -> int:
    engine = await sqlite.open(path, sealer, clock, worker=True)
    try:
        await engine.ready()
        return len(await engine.log.tail(0, 100))
    finally:
        await engine.close()


async def test_the_backup_is_in_place_and_the_old_one_kept_with_its_wal(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock
) -> None:
    before = files_of(path)

    done = sqlite.restore(backup, path, sealer)

    assert done.kept is not None
    assert (done.block, done.recorded_at, done.pending) == (NEW, clock.now(), [])
    assert (done.sealed, done.opened) == (1, 1)
    assert set(files_of(path)) == {"postbell.db", done.kept.name, f"{done.kept.name}-wal"}
    assert done.kept.read_bytes() == before["postbell.db"]
    assert Path(f"{done.kept}-wal").read_bytes() == before["postbell.db-wal"]
    assert await head_of(path, sealer, clock) == NEW
    assert await head_of(done.kept, sealer, clock) == OLD


async def test_it_needs_no_database_to_be_there(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock
) -> None:
    fresh = path.parent / "fresh" / "postbell.db"
    fresh.parent.mkdir()

    done = sqlite.restore(backup, fresh, sealer)

    assert done.kept is None
    assert await head_of(fresh, sealer, clock) == NEW


@pytest.mark.parametrize("worker", [True, False])
async def test_it_is_refused_while_a_process_has_the_database_open(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock, worker: bool
) -> None:
    running = await sqlite.open(path, sealer, clock, worker=worker, serves=True)
    head = await running.log.head()

    with pytest.raises(Conflict, match=r"the worker of .*stop" if worker else "in use; stop"):
        sqlite.restore(backup, path, sealer)

    await running.ready()
    assert await running.log.head() == head
    await running.close()
    sqlite.restore(backup, path, sealer)


def spoilt(backup: Path, what: str) -> None:
    """Spoil a backup in one of the ways that it must be refused for."""
    match what:
        case "page":
            page = bytearray(backup.read_bytes())
            page[PAGE_BYTES * 3 : PAGE_BYTES * 3 + 200] = b"\xee" * 200
            backup.write_bytes(bytes(page))
        case "half":
            backup.write_bytes(backup.read_bytes()[: PAGE_BYTES * 4])
        case "wal" | "journal":
            Path(f"{backup}-{what}").write_bytes(b"of some other time")
        case "text":
            backup.write_text("no database at all\n" * 999)
        case "empty":
            backup.write_bytes(b"")
        case "gone":
            backup.unlink()
        case "pipe":
            backup.unlink()
            os.mkfifo(backup)
        case "gzip":
            backup.write_bytes(gzip.compress(backup.read_bytes()))
        case "zstd":
            backup.write_bytes(zstandard.compress(backup.read_bytes()))
        case _:
            database = apsw.Connection(str(backup))
            database.execute(what)
            database.execute("PRAGMA user_version = 0; PRAGMA application_id = 0")  # the digest
            database.close()


@pytest.mark.parametrize(
    ("what", "error", "told"),
    [
        ("page", DamagedDatabase, r"backup.db is damaged \(its digest .*nothing was changed"),
        (
            "half",
            DamagedDatabase,
            r"backup.db is damaged \(it has 32768 bytes.*nothing was changed",
        ),
        ("UPDATE blocks SET body = x'00' WHERE id = 2", DamagedDatabase, "block 2 .* checksum"),
        ("UPDATE heads SET next_sequence = 2", DamagedDatabase, "its head says"),
        ("UPDATE meta SET value = 9999 WHERE name = 'schema_version'", StorageError, "newer"),
        ("DROP TABLE meta", StorageError, "not Postbell's"),
        ("text", DamagedDatabase, "does not begin as a SQLite database does"),
        ("wal", UsageError, "backup.db-wal lies beside the backup"),
        ("journal", UsageError, "backup.db-journal lies beside the backup"),
        ("empty", UsageError, "backup.db is empty"),
        ("gone", UsageError, "no file"),
        ("pipe", UsageError, "to a file first"),
        ("gzip", UsageError, "backup.db is compressed; unpack it first"),
        ("zstd", UsageError, "backup.db is compressed; unpack it first"),
    ],
)
async def test_what_is_no_whole_backup_is_refused_and_nothing_changed(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock,
    what: str, error: type[Exception], told: str,
) -> None:  # fmt: skip
    before = files_of(path)
    spoilt(backup, what)

    with pytest.raises(error, match=told) as refusal:
        sqlite.restore(backup, path, sealer)

    assert str(backup) in str(refusal.value)
    assert ".restor" not in str(refusal.value)
    assert files_of(path) == before
    assert await head_of(path, sealer, clock) == OLD


def test_an_empty_journal_beside_a_backup_holds_nothing_of_it(
    path: Path, backup: Path, sealer: Sealer
) -> None:
    for ending in ("-wal", "-journal"):
        Path(f"{backup}{ending}").touch()

    assert sqlite.restore(backup, path, sealer).is_verified


async def test_a_backup_of_another_key_file_is_refused(
    path: Path, backup: Path, tmp_path: Path
) -> None:
    before = files_of(path)

    with pytest.raises(StorageError, match="opens none of the secrets"):
        sqlite.restore(backup, path, load_or_create(tmp_path / "another"))

    assert files_of(path) == before


async def test_the_database_itself_is_no_backup(path: Path, backup: Path, sealer: Sealer) -> None:
    with pytest.raises(UsageError, match="the database itself"):
        sqlite.restore(path, path, sealer)


async def test_a_backup_of_an_older_release_says_what_it_lacks(
    path: Path, backup: Path, sealer: Sealer
) -> None:
    spoilt(backup, "ALTER TABLE blocks DROP COLUMN checksum")
    spoilt(backup, "UPDATE meta SET value = 12 WHERE name = 'schema_version'")

    done = sqlite.restore(backup, path, sealer)

    assert done.pending == sqlite.pending(path) != []


async def test_where_the_copy_has_no_room_nothing_is_changed(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock
) -> None:
    before = files_of(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE_BYTES * 5, hard))
    try:
        with pytest.raises(StorageError, match="nothing was changed"):
            sqlite.restore(backup, path, sealer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert files_of(path) == before
    assert await head_of(path, sealer, clock) == OLD


@pytest.mark.parametrize("call", ["link", "rename"])
async def test_what_was_decided_and_cannot_be_done_is_done_by_the_next_start(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock, call: str
) -> None:
    real = getattr(os, call)
    count = 0

    def refuse(*words: Any) -> None:
        nonlocal count
        count += 1
        if call == "rename" and count == 1:
            real(*words)
            return
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="the next start tries again"):
            sqlite.restore(backup, path, sealer)
        with pytest.raises(StorageError):
            await sqlite.open(path, sealer, clock)

    assert await head_of(path, sealer, clock) == NEW


CUT_OFF = """
import os, sys
from pathlib import Path

left = int(sys.argv[4])

def counted(real):
    def call(*words, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return real(*words, **more)
    return call

for name in ("open", "rename", "link", "fsync", "pwrite"):
    setattr(os, name, counted(getattr(os, name)))

from postbell.sealing import load_or_create
from postbell.storage import sqlite

sqlite.restore(Path(sys.argv[1]), Path(sys.argv[2]), load_or_create(Path(sys.argv[3])))
"""


async def test_cut_off_at_any_step_it_leaves_the_old_one_whole_or_the_new_one(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    found: list[int] = []
    for step in range(1, 100):
        folder = tmp_path / f"step-{step}"
        folder.mkdir()
        database = folder / path.name
        for ending in ("", "-wal"):
            shutil.copyfile(f"{path}{ending}", f"{database}{ending}")
        ended = subprocess.run(
            [sys.executable, "-c", CUT_OFF, backup, database, tmp_path / "key", str(step)],
            env={"PYTHONPATH": f"{root / 'src'}"},
            check=False,
        )
        found.append(await head_of(database, sealer, clock))
        names = {each.name for each in folder.iterdir() if ".before-" in each.name}
        [kept] = {name for name in names if not name.endswith("-wal")} or {""}
        if found[-1] == NEW:
            assert await head_of(folder / kept, sealer, clock) == OLD
        else:
            assert not names
        assert not list(folder.glob("*.restor*"))
        if ended.returncode == 0:
            break

    assert ended.returncode == 0
    assert found == sorted(found, reverse=True)
    assert {OLD, NEW} == set(found)


async def test_nobody_comes_in_while_it_works(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock
) -> None:
    told = f"process {os.getpid()} restores .*postbell.db; try again when it has ended"
    with alone(path, "restores"):
        with pytest.raises(Conflict, match=told):
            sqlite.restore(backup, path, sealer)
        with pytest.raises(StorageError, match=told):
            await sqlite.open(path, sealer, clock, worker=True)
    working = FilesLock(path)
    assert working.is_alone()

    with pytest.raises(Conflict, match="in use"):
        sqlite.restore(backup, path, sealer)

    working.release()
    done = sqlite.restore(backup, path, sealer)
    assert done.block == NEW


async def test_what_root_restores_is_the_services(
    path: Path, backup: Path, sealer: Sealer, clock: FakeClock
) -> None:
    service = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(path, service, -1)
    await (await sqlite.open(path, sealer, clock, worker=True)).close()

    sqlite.restore(backup, path, sealer)

    owners = {each.name: each.stat().st_uid for each in path.parent.glob("postbell.db*")}
    assert owners == dict.fromkeys(owners, service)
