"""What is over is remembered no longer: a batch that was stopped, a replay that waits."""

from datetime import UTC, datetime, timedelta

from postbell.blocks import Position, Range
from postbell.lane.passes import Passes
from postbell.lane.slots import Slots
from postbell.records import OpenBatch, Replay, ReplayFilter
from postbell.stops import Stop

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PART = Range(Position(1, 0), Position(1, 1))


def test_a_stopped_batch_that_is_closed_is_stopped_no_more() -> None:
    slots = Slots()
    stop = Stop(NOW + timedelta(seconds=30))
    slots.write(
        OpenBatch(
            id="b1",
            webhook_id=1,
            revision=1,
            range=PART,
            count=1,
            cut_at=NOW,
            next_at=NOW,
            stop=stop,
        )
    )
    assert slots.stopped == {"b1"}

    slots.close("b1")

    assert slots.stopped == set()


def test_a_replay_that_ended_elsewhere_calls_nobody() -> None:
    passes = Passes()
    replay = Replay(
        id=7,
        account_id=1,
        webhook_id=1,
        revision=1,
        ranges=(PART,),
        filter=ReplayFilter(),
        created_at=NOW,
    )
    passes.reload([replay])
    passes.slow_down(replay, NOW + timedelta(seconds=9))

    passes.reload([])

    assert list(passes.moments()) == []
