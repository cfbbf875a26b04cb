"""A write that was done though nobody heard so is found to be done, and told once."""

from collections.abc import Sequence
from typing import Any

import pytest

from postbell.errors import Unavailable
from postbell.lane import changes
from postbell.records import EntryKind, LaneChange, Outcome
from tests.delivery.rig import Rig, event, running
from tests.delivery.test_hands import NOW, rest

SINGLE = {"dialect": "engagelab"}
GONE = Unavailable("the answer was lost")


def lose_answers(rig: Rig, patched: pytest.MonkeyPatch, many: int = 1) -> list[LaneChange]:
    """Let the next so many writes with a delivery be done, and their answers be lost."""
    real = rig.engine.ledger.record
    lost: list[LaneChange] = []

    async def record(given: Sequence[LaneChange]) -> Any:
        stale = await real(given)
        if any(change.entries for change in given) and len(lost) < many:
            lost.extend(given)
            raise GONE
        return stale

    patched.setattr(rig.engine.ledger, "record", record)
    return lost


async def told(rig: Rig) -> int:
    """Return how many events the journal says to be delivered."""
    blocks = await rig.engine.journal.scan(0, 1000)
    return sum(entry.delivered for block in blocks for entry in block.entries)


@pytest.mark.parametrize("members", [{"policy": NOW}, SINGLE], ids=["batch", "run"])
@pytest.mark.parametrize("many", [1, 3])
async def test_a_delivery_whose_write_was_not_answered_is_told_once(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, Any], many: int
) -> None:
    async with running() as rig:
        webhook = await rig.webhook(**members)
        await rig.turn()
        lost = lose_answers(rig, monkeypatch, many)
        await rig.send(event(1))
        await rest(rig, 40)
        await rig.send(event(2))
        await rest(rig, 40)

        lane = await rig.engine.ledger.lane(webhook.id)
        assert lost != []
        assert (await told(rig), len(rig.bodies())) == (2, 2)
        assert lane is not None
        assert (lane.batches, lane.lane.delivered) == ([], 2)
        assert rig.worker.lanes[webhook.id].lane.writes == lane.lane.writes
        assert (await rig.audit()).problems == []


async def test_a_failure_whose_write_was_not_answered_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        await rig.webhook(policy={**NOW, "retry_waits_s": [3600]})
        rig.sender.standing["https://a.example/hook"] = Outcome(status=503)
        await rig.turn()
        lost = lose_answers(rig, monkeypatch)
        await rig.send(event(1))
        await rest(rig, 40)

        kinds = [e.kind for b in await rig.engine.journal.scan(0, 99) for e in b.entries]
        assert lost != []
        assert kinds == [EntryKind.ATTEMPT]


async def test_a_lane_that_was_changed_from_outside_meanwhile_is_taken_in_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as rig:
        webhook = await rig.webhook(policy=NOW)
        await rig.turn()
        lost = lose_answers(rig, monkeypatch)
        await rig.send(event(1))
        while not lost:
            await rig.spin(1)
        claim = await rig.engine.ledger.lane(webhook.id)
        assert claim is not None
        assert await rig.engine.ledger.intervene(changes.touched(claim.lane))
        before = rig.worker.lanes[webhook.id]
        await rest(rig, 40)
        await rig.send(event(2))
        await rest(rig, 40)

        assert before.is_gone
        assert not rig.worker.lanes[webhook.id].is_gone
        assert (await told(rig), len(rig.bodies())) == (2, 2)
        assert (await rig.audit()).problems == []
