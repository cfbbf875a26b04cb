"""The two tables of a lane, pair by pair, against what they are for."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.lane.changes import runs_saved
from postbell.lane.gate import ROWS as GATES
from postbell.lane.gate import Facts, Gate, gate
from postbell.lane.run import Run
from postbell.lane.slots import Slots
from postbell.lane.stage import ROWS as STAGES
from postbell.lane.stage import STEPS, Happening, Stage, step
from postbell.records import Lane, OpenBatch
from postbell.stops import Stop

NOW = datetime(2026, 11, 30, tzinfo=UTC)
LATER, SOONER = NOW + timedelta(seconds=9), NOW - timedelta(seconds=9)
PAIRS = list(product(Stage, Happening))


def a_batch(name: str = "a", at: int = 1, attempts: int = 0, **members: object) -> OpenBatch:
    part = Range(Position(at, 0), Position(at, 1))
    known = {"next_at": NOW, "cut_at": NOW, "revision": 1, "webhook_id": 1, "count": 1}
    return OpenBatch(id=name, range=part, attempts=attempts, **{**known, **members})  # type: ignore[arg-type]


def test_every_stage_and_every_gate_has_a_row() -> None:
    assert set(STAGES) == set(Stage)
    assert list(GATES) == list(Gate)


EXPECTED = {
    #                  first      again  reserved  sent   took     back   written
    Stage.AHEAD:   ("opening",  "",    "out",    "",    "",      "",    "ahead"),
    Stage.DUE:     ("opening",  "out", "out",    "",    "",      "",    "due"),
    Stage.OPENING: ("",         "",    "",       "out", "",      "due", "opening"),
    Stage.OUT:     ("",         "",    "",       "",    "taken", "due", "out"),
    Stage.TAKEN:   ("",         "",    "",       "",    "",      "",    "taken"),
    Stage.LEAVING: ("",         "",    "",       "",    "",      "",    "due"),
}  # fmt: skip
"""Written by hand, "" for what cannot happen."""


@pytest.mark.parametrize(("stage", "happening"), PAIRS)
def test_a_pair_has_one_stage_after_it_or_cannot_happen(stage: Stage, happening: Happening) -> None:
    expected = EXPECTED[stage][list(Happening).index(happening)]
    if expected:
        assert step(stage, happening) == expected
    else:
        with pytest.raises(LookupError, match=f"{stage} cannot be {happening}"):
            step(stage, happening)


def test_what_may_be_done_at_a_gate_is_as_it_was_decided() -> None:
    found = {each: (row.may_send, row.may_begin, row.is_alone) for each, row in GATES.items()}

    assert found == {
        Gate.GONE: (False, False, True),
        Gate.PAUSED: (False, False, True),
        Gate.HELD: (False, False, True),
        Gate.SPACED: (False, False, True),
        Gate.DOWN: (True, False, True),
        Gate.PROBING: (True, True, True),
        Gate.OPEN: (True, True, False),
    }


def test_who_is_at_work_in_a_stage_is_as_it_was_decided() -> None:
    found = {each: (row.is_in_hand, row.may_wait) for each, row in STAGES.items()}

    assert found == {
        Stage.AHEAD: (False, True),
        Stage.DUE: (False, True),
        Stage.OPENING: (True, False),
        Stage.OUT: (True, False),
        Stage.TAKEN: (True, False),
        Stage.LEAVING: (False, False),
    }


@pytest.mark.parametrize(("stage", "happening"), PAIRS)
def test_what_is_in_a_hand_is_in_no_other_and_only_its_own_lays_it_down(
    stage: Stage, happening: Happening
) -> None:
    after = STEPS.get((stage, happening))
    takes = happening in (Happening.FIRST, Happening.AGAIN, Happening.RESERVED)
    if STAGES[stage].is_in_hand:
        assert not (takes and after)
        is_let_go = after is not None and not STAGES[after].is_in_hand
        assert not is_let_go or happening is Happening.BACK
    elif takes and after is not None:
        assert STAGES[stage].may_wait
        assert STAGES[after].is_in_hand


def test_every_stage_is_reached_and_left() -> None:
    began = {Stage.AHEAD, Stage.DUE, Stage.OUT, Stage.LEAVING}

    assert began | set(STEPS.values()) == set(Stage)
    assert {before for before, _ in STEPS} == set(Stage)


@given(
    st.builds(
        Facts,
        st.booleans(),
        st.booleans(),
        *[st.sampled_from([None, SOONER, NOW, LATER])] * 3,
        st.booleans(),
    )
)
def test_a_lane_stands_at_the_first_gate_that_is_so(facts: Facts) -> None:
    is_so = {
        Gate.GONE: facts.is_gone,
        Gate.PAUSED: facts.is_paused,
        Gate.HELD: facts.hold_until == LATER,
        Gate.SPACED: facts.spaced_until == LATER,
        Gate.DOWN: facts.probe_at == LATER,
        Gate.PROBING: facts.is_failing,
        Gate.OPEN: True,
    }
    stand = gate(facts, NOW)

    assert stand.gate is next(each for each in Gate if is_so[each])
    assert stand.until == (LATER if stand.gate in (Gate.HELD, Gate.SPACED, Gate.DOWN) else None)


def test_an_answer_in_between_is_not_lost_when_another_write_makes_the_batch_due() -> None:
    slots = Slots()
    slots.write(a_batch(attempts=1, next_at=SOONER))
    found = slots.next(NOW)
    assert found is not None
    slots.take(found)

    slots.write(a_batch(attempts=1))  # made due by who did not know that it was taken
    is_free = slots.next(NOW)
    slots.took("a")
    slots.write(a_batch(attempts=1))
    slots.back("a")

    assert (is_free, slots.stage("a"), slots.next(NOW)) == (None, Stage.TAKEN, None)


def test_a_batch_that_the_ledger_does_not_list_stays_in_the_hand_that_has_it() -> None:
    slots = Slots()
    slots.write(a_batch())
    slots.take(a_batch())
    slots.sent("a")

    slots.reload([])
    is_listed, is_in_hand = "a" in slots, slots.is_in_hand("a")
    slots.reload([a_batch()])
    is_begun_twice = slots.next(NOW)
    slots.back("a")

    assert (is_listed, is_in_hand, is_begun_twice) == (False, True, None)
    assert slots.next(NOW) == a_batch()


def test_a_delivery_that_is_to_be_written_is_not_sent_again_by_a_reload() -> None:
    slots = Slots()
    slots.write(a_batch(), Stage.OUT)
    slots.took("a")

    slots.reload([])
    slots.back("a")
    slots.reload([a_batch()])

    assert (slots.stage("a"), slots.next(NOW)) == (Stage.TAKEN, None)


def test_what_was_cut_ahead_waits_while_nothing_new_may_begin() -> None:
    slots = Slots()
    slots.write(a_batch("ahead", 1), Stage.AHEAD)
    slots.write(a_batch("due", 2, attempts=2))

    down = slots.next(NOW, may_begin=False)
    up = slots.next(NOW)

    assert down is not None and up is not None
    assert (down.id, up.id) == ("due", "ahead")


def test_in_order_the_first_in_the_log_holds_up_the_others_at_every_stage() -> None:
    slots = Slots()
    slots.write(a_batch("first", 1))
    slots.write(a_batch("second", 2))
    slots.take(a_batch("first", 1))

    assert slots.next(NOW, is_ordered=True) is None
    slots.close("first")
    assert slots.next(NOW, is_ordered=True) == a_batch("second", 2)


def test_what_somebody_stopped_waits_for_him() -> None:
    slots = Slots()
    slots.write(a_batch(stop=Stop(LATER)))

    assert (slots.next(NOW), slots.stopped, slots.is_stopped("a")) == (None, {"a"}, True)
    slots.write(a_batch())
    assert slots.next(NOW) == a_batch()


def test_a_batch_that_left_its_run_waits_for_the_run_to_be_saved() -> None:
    slots = Slots()
    slots.leave(a_batch(attempts=1, next_at=SOONER))
    before = slots.next(NOW)
    slots.reload([])
    is_kept = "a" in slots
    slots.write(a_batch(attempts=1, next_at=SOONER))
    after = slots.next(NOW)
    slots.leave(a_batch("b"))
    slots.leave(a_batch("c"))
    slots.keep_leaving({"c"})

    assert (before, is_kept, after is not None) == (None, True, True)
    assert ["b" in slots, "c" in slots] == [False, True]


def test_a_batch_that_another_worker_tried_is_ahead_no_more() -> None:
    slots = Slots()
    slots.write(a_batch(), Stage.AHEAD)

    slots.reload([a_batch(attempts=1)])
    found = slots.next(NOW)

    assert found is not None
    slots.take(found)
    assert slots.stage("a") is Stage.OUT


def test_what_is_delivered_while_a_run_is_saved_is_news_for_the_next_time() -> None:
    part = Range(Position(1, 0), Position(1, 9))
    run, lane = Run("run_1", part, 1, 9, NOW), Lane(webhook_id=1, account_id=1, cursor=part.start)
    run.deliver(0)
    change = runs_saved(lane, [run], NOW)
    assert change is not None
    run.deliver(5)

    run.saved(change)
    again = runs_saved(replace(lane, cursor=part.end), [run], NOW)

    assert again is not None
    told = [(entry.delivered, entry.done) for entry in (*change.entries, *again.entries)]
    assert told == [(1, bytes([1, 0])), (1, bytes([32, 0]))]
