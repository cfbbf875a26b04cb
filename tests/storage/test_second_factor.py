"""Second factors in the file: sealed, and beside processes of the release before."""

from pathlib import Path

import apsw
import pytest

from postbell.clock import to_us
from postbell.errors import StorageError
from postbell.sealing import Sealer, load_or_create
from postbell.storage import sqlite
from tests.contract.making import Shop
from tests.contract.test_owners import add
from tests.contract.test_second_factors import SECRET, begin
from tests.fakes import FakeClock


async def test_a_secret_is_sealed_and_opens_with_its_key_only(
    path: Path, sealer: Sealer, clock: FakeClock, tmp_path: Path
) -> None:
    engine = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(engine, clock)
    owner = await add(shop)
    await begin(shop, owner)
    await engine.close()
    stored = b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    other = await sqlite.open(path, load_or_create(tmp_path / "other.key"), clock)

    with pytest.raises(StorageError, match="does not open with the keys"):
        await other.second_factors.of(owner.id)

    await other.close()
    assert b"second_factors" in stored
    assert SECRET.encode() not in stored


async def test_a_session_that_the_release_before_opened_is_listed(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    engine = await sqlite.open(path, sealer, clock)
    owner = await add(await Shop.open(engine, clock))
    now = to_us(clock.now())
    beside = apsw.Connection(str(path))
    beside.execute(
        "INSERT INTO sessions (digest, owner_id, account_id, created_at, seen_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (b"old", owner.id, owner.account_id, now, now),
    )
    beside.close()

    (session,) = await engine.owners.sessions(owner.id)

    assert (session.device, session.place) == ("", "")
    assert len(session.id) == 16
    await engine.close()
