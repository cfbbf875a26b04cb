"""The witness of a chaos run sees what must not be: each check can fail."""

import json
from collections.abc import Sequence

import pytest

from tests.chaos.witness import Hook, Order, Problems, Witness
from tests.crash.harness import Arrival


def witness(**members: object) -> Witness:
    problems = Problems()
    hook = Hook("hook", "native", {}, **members)  # type: ignore[arg-type]  # a test's members
    return Witness(hook, Order(problems), problems)


def arrival(batch: str, numbers: Sequence[int], **members: object) -> Arrival:
    """Return a batch in which event N has sequence N + 1."""
    body = [{"recipient": f"user{n}@example.net", "sequence": n + 1, **members} for n in numbers]
    headers = {"webhook-id": batch, "postbell-events": str(len(body))}
    return Arrival(headers, json.dumps(body).encode())


def take(seen: Witness, batch: str, *numbers: int) -> None:
    seen.took(seen.arrived(arrival(batch, numbers)))


def test_what_is_well_is_no_problem():
    seen = witness(first_in_order=True, always_in_order=True)

    take(seen, "a", 0, 1)
    take(seen, "a", 0, 1)
    take(seen, "b", 2)

    assert seen.check_sets(range(3), lambda number: False) == 3
    seen.check_order()
    assert seen.problems == []
    assert (seen.arrivals, seen.repeats) == (3, 1)


def test_an_event_that_never_arrived_is_found():
    seen = witness()
    take(seen, "a", 0)

    seen.check_sets(range(2), lambda number: False)

    assert any("never arrived: 1" in problem for problem in seen.problems)


def test_an_event_that_nobody_sent_is_found():
    seen = witness()
    take(seen, "a", 0, 1)

    seen.check_sets(range(1), lambda number: False)

    assert any("never accepted or not asked for: 1" in problem for problem in seen.problems)


def test_a_parked_event_that_was_taken_is_found():
    seen = witness()
    take(seen, "a", 0)

    seen.check_sets(range(1), lambda number: True)

    assert any("parked, but taken" in problem for problem in seen.problems)


def test_other_bytes_under_the_same_id_are_found():
    seen = witness()
    seen.arrived(arrival("a", [0]))

    seen.arrived(arrival("a", [0], subject="other"))

    assert any("other bytes" in problem for problem in seen.problems)


def test_an_event_in_two_batches_is_found():
    seen = witness()
    seen.arrived(arrival("a", [0, 1]))

    seen.arrived(arrival("b", [1, 2]))

    assert any("repeats events of another batch" in problem for problem in seen.problems)


def test_a_half_of_a_refused_batch_is_well_but_not_of_another():
    seen = witness(poison_status=400)
    seen.refuse(seen.arrived(arrival("a", [0, 1])))
    seen.arrived(arrival("a1", [0]))
    assert seen.problems == []

    seen.arrived(arrival("a11", [0]))

    assert any("repeats events of another batch" in problem for problem in seen.problems)


@pytest.mark.parametrize("members", [{"first_in_order": True}, {"always_in_order": True}])
def test_arrivals_out_of_order_are_found(members):
    seen = witness(**members)
    take(seen, "b", 1)
    take(seen, "a", 0)

    seen.check_order()

    assert any("out of order" in problem for problem in seen.problems)


def test_one_event_with_two_sequences_is_found():
    seen = witness()
    seen.arrived(arrival("a", [0]))

    seen.arrived(arrival("b", [0], sequence=7))

    assert any("sequence 1 and 7" in problem for problem in seen.problems)


def test_events_out_of_order_in_a_body_are_found():
    seen = witness()

    seen.arrived(arrival("a", [1, 0]))

    assert any("stands before an older one" in problem for problem in seen.problems)


def test_a_count_that_is_not_the_header_s_is_found():
    seen = witness()
    came = arrival("a", [0])
    came.headers["postbell-events"] = "2"

    seen.arrived(came)

    assert any("its header says otherwise" in problem for problem in seen.problems)


def test_what_a_restore_lost_must_come_again_and_may_come_otherwise():
    seen = witness(first_in_order=True)
    take(seen, "a", 0)
    take(seen, "b", 1, 2)
    take(seen, "c", 3)

    seen.order.restored({0, 1})
    seen.restored({0, 1})
    seen.was_known([2])
    take(seen, "b", 1, 2)
    assert seen.check_sets(range(4), lambda number: False) == 4
    assert list(seen.problems) == [
        "hook: 1 events accepted, but never arrived: 3",
        "hook: 1 events never taken by the receiver, nor parked: 3",
    ]

    seen.problems.clear()
    take(seen, "d", 3)
    seen.check_sets(range(4), lambda number: False)
    seen.check_order()
    assert list(seen.problems) == []
    take(seen, "e", 1, 2)
    assert list(seen.problems) == ["hook: batch e repeats events of another batch (event 1)"]


def test_an_id_keeps_its_bytes_beyond_a_restore():
    seen = witness()
    take(seen, "a", 0)
    seen.restored(set())

    take(seen, "a", 1)

    (problem,) = seen.problems
    assert "batch a came again with other bytes" in problem
