"""One worker a database, any number of other processes."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from postbell.errors import StorageError
from postbell.sealing import Sealer
from postbell.storage import sqlite
from tests.contract.making import Shop
from tests.fakes import FakeClock


async def test_a_second_worker_is_refused_and_told_who_holds_it(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    first = await sqlite.open(path, sealer, clock, worker=True)

    with pytest.raises(StorageError, match=f"process {os.getpid()} is the worker"):
        await sqlite.open(path, sealer, clock, worker=True)

    await first.close()


async def test_a_closed_worker_makes_room_for_the_next(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    first = await sqlite.open(path, sealer, clock, worker=True)
    await first.close()

    second = await sqlite.open(path, sealer, clock, worker=True)

    await second.ready()
    await second.close()


async def test_a_worker_that_cannot_open_gives_the_lock_back(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    path.write_bytes(b"no database" * 500)
    with pytest.raises(StorageError, match="no SQLite database"):
        await sqlite.open(path, sealer, clock, worker=True)
    path.unlink()

    engine = await sqlite.open(path, sealer, clock, worker=True)

    await engine.ready()
    await engine.close()


async def test_others_work_beside_the_worker(path: Path, sealer: Sealer, clock: FakeClock) -> None:
    worker = await sqlite.open(path, sealer, clock, worker=True)
    other = await sqlite.open(path, sealer, clock)

    await other.registry.add_account("acme", clock.now())

    assert [a.name for a in await worker.registry.accounts()] == ["acme"]
    await other.close()
    await worker.close()


async def test_a_new_worker_waits_for_no_lease_of_a_dead_one(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    dead = await sqlite.open(path, sealer, clock, worker=True)
    shop = await Shop.open(dead, clock)
    webhook = await shop.webhook()
    await shop.claim("dead", lease_s=3600)
    await dead.close()

    worker = await sqlite.open(path, sealer, clock, worker=True)

    [claim] = await worker.ledger.claim("new", 10, lease_s=30, now=clock.now())
    assert claim.lane.webhook_id == webhook.id
    assert claim.lane.epoch == 2
    await worker.close()


async def test_a_worker_that_cannot_write_its_number_down_works(
    path: Path, sealer: Sealer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "ftruncate", _fail)

    engine = await sqlite.open(path, sealer, clock, worker=True)

    with pytest.raises(StorageError, match="process unknown is the worker"):
        await sqlite.open(path, sealer, clock, worker=True)
    await engine.close()


async def test_a_lock_that_the_file_system_does_not_give_is_named(
    path: Path, sealer: Sealer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", _fail)

    with pytest.raises(StorageError, match=r"cannot take the lock .*Input/output error"):
        await sqlite.open(path, sealer, clock, worker=True)


def _fail(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
