"""How long the audit trail is kept."""

import pytest

from postbell.ports import TrailQuery
from postbell.trail import NOBODY, Subject, TrailEntry
from tests.delivery.rig import Rig, running

DAY_S = 86_400


async def note(rig: Rig, *actions: str) -> None:
    for action in actions:
        entry = TrailEntry(
            at=rig.clock.now(),
            account_id=None,
            actor=NOBODY,
            action=action,
            subject=Subject("x", "1"),
        )
        await rig.engine.trail.along(rig.engine.tries.give_back({}), lambda _, e=entry: e)  # type: ignore[misc]


async def kept(rig: Rig) -> list[str]:
    await rig.worker.pruner.sweep([])
    entries = await rig.engine.trail.entries(TrailQuery(), limit=10_000)
    return [entry.action for entry in entries]


@pytest.mark.parametrize(("trail_days", "kept_days"), [(0, 10), (5, 10), (20, 20)])
async def test_entries_are_kept_as_long_as_said_and_never_shorter_than_events(
    trail_days: float, kept_days: float
) -> None:
    async with running(retention_days=10, trail_days=trail_days) as rig:
        await note(rig, "old")
        rig.clock.advance(60)
        await note(rig, "newer")

        rig.clock.advance(kept_days * DAY_S - 61)
        before = await kept(rig)
        rig.clock.advance(660)
        await note(rig, "newest")
        after = await kept(rig)

        assert before == ["newer", "old"]
        assert after == ["newest"]


async def test_many_old_entries_go_in_one_look() -> None:
    async with running(retention_days=1) as rig:
        await note(rig, *(["old"] * 2500))
        rig.clock.advance(2 * DAY_S)

        assert await kept(rig) == []
