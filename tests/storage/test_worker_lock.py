"""One worker a database, any number of other processes."""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from postbell.desk import Desk, stopping
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.errors import Conflict, StorageError
from postbell.records import BatchState
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.sqlite.locking import WorkerLock, beside, has_worker
from tests.contract.making import Shop
from tests.fakes import FakeClock


class AnyUrl:
    async def check(self, url: str) -> None:
        return


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


async def test_who_hands_notices_over_after_a_worker_that_was_killed_waits_for_no_lease(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    first = await sqlite.open(path, sealer, clock, worker=True)
    await first.notices.hold("w1", lease_s=60.0)
    beside = await sqlite.open(path, sealer, clock)
    while_it_lives = await beside.notices.hold("w2", lease_s=60.0)
    await first.close()
    await beside.close()

    second = await sqlite.open(path, sealer, clock, worker=True)
    held = [await second.notices.hold(w, lease_s=60.0) for w in ("w3", "w4")]

    await second.close()
    assert not while_it_lives
    assert held == [True, False]


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


async def test_a_worker_that_lives_holds_its_lanes_beyond_the_lease(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    frozen = await sqlite.open(path, sealer, clock, worker=True)
    other = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(frozen, clock)
    worked, never = await shop.webhook(), await shop.webhook()
    await shop.claim("frozen", limit=1, lease_s=60)

    clock.advance(86_400)

    late, free = await other.ledger.lane(worked.id), await other.ledger.lane(never.id)
    assert late is not None and late.is_held
    assert free is not None and not free.is_held
    await frozen.close()
    dead = await other.ledger.lane(worked.id)
    assert dead is not None and not dead.is_held
    await other.close()


async def test_what_a_frozen_worker_sends_is_not_changed_however_long_it_is_frozen(
    path: Path, sealer: Sealer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "STILL_S", 0.1)
    frozen = await sqlite.open(path, sealer, clock, worker=True)
    other = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(frozen, clock)
    webhook = await shop.webhook()
    await shop.claim("frozen", lease_s=60)
    waits = shop.batch(webhook, "b1", state=BatchState.WAITING, next_at=clock.now())
    await shop.put(webhook, waits)
    clock.advance(600)
    desk = Desk(other, DIALECTS, AnyUrl(), clock, Directory(other.registry))

    with pytest.raises(Conflict, match="after a restart of the worker"):
        await desk.park_batch("b1")
    with pytest.raises(Conflict, match="after a restart of the worker"):
        await desk.resume(webhook.account_id, webhook.id, skip=True)

    await frozen.close()
    assert (await desk.park_batch("b1")).state is BatchState.PARKED
    await other.close()


async def test_a_killed_worker_holds_its_lanes_for_a_lease_also_where_the_clock_was_ahead(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    killed = await sqlite.open(path, sealer, clock, worker=True)
    other = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(killed, clock)
    webhook = await shop.webhook()
    await shop.claim("killed", lease_s=60)
    await killed.close()

    claim = await other.ledger.lane(webhook.id)
    clock.advance(-2 * 86_400)
    of_the_future = await other.ledger.lane(webhook.id)

    assert claim is not None and claim.is_held
    assert of_the_future is not None and not of_the_future.is_held
    await other.close()


def test_a_look_for_a_worker_keeps_none_from_starting(path: Path) -> None:
    WorkerLock(path).release()
    looking = os.open(beside(path, ".worker.lock"), os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    ends = threading.Timer(0.05, os.close, (looking,))
    ends.start()

    lock = WorkerLock(path)

    assert has_worker(path)
    lock.release()
    ends.join()
    assert not has_worker(path)


async def test_a_new_worker_waits_for_no_lease_of_a_dead_one(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    dead = await sqlite.open(path, sealer, clock, worker=True)
    shop = await Shop.open(dead, clock)
    webhook = await shop.webhook()
    await shop.claim("dead", lease_s=3600)
    await dead.close()

    worker = await sqlite.open(path, sealer, clock, worker=True)

    [claim] = await worker.ledger.claim("new", 10, lease_s=30)
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
