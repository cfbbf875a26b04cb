"""An entry of the audit trail and its change are one commit of SQLite."""

import pytest

from postbell.ports import TrailQuery
from postbell.storage.sqlite import SqliteEngine
from postbell.trail import NOBODY, Subject, TrailEntry
from tests.fakes import FakeClock


async def test_a_change_whose_entry_fails_is_not_made(
    engine: SqliteEngine, clock: FakeClock
) -> None:
    def broken(made: object) -> TrailEntry:
        raise LookupError(made)

    with pytest.raises(LookupError):
        await engine.trail.along(engine.registry.add_account("new", clock.now()), broken)

    assert await engine.registry.accounts() == []


async def test_an_entry_that_the_database_refuses_takes_its_change_along(
    engine: SqliteEngine, clock: FakeClock
) -> None:
    def too_large(made: object) -> TrailEntry:
        return TrailEntry(
            at=clock.now(),
            account_id=1 << 70,
            actor=NOBODY,
            action="account.created",
            subject=Subject("account", "1"),
        )

    with pytest.raises(OverflowError):
        await engine.trail.along(engine.registry.add_account("new", clock.now()), too_large)

    assert await engine.registry.accounts() == []
    assert await engine.trail.entries(TrailQuery()) == []
