"""The decisions of the path, as functions of values."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postbell.blocks import BlockHeader, Position, Range, pack_sizes
from postbell.dialects import DIALECTS
from postbell.lane import changes
from postbell.lane.backoff import held_s, next_wait_s
from postbell.lane.body import Rendered, batch_id
from postbell.lane.cut import Gather, Limits
from postbell.lane.judge import BISECT_FAILURES, Judgement, after, judge
from postbell.lane.run import Run
from postbell.reading.match import Selection, count_matching
from postbell.records import (
    DEFAULT_RETRY_WAITS_S,
    Entry,
    EntryKind,
    Lane,
    OpenBatch,
    Outcome,
    Policy,
    Revision,
    Verdict,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LANE = Lane(webhook_id=1, account_id=1, cursor=Position(0, 0))
NATIVE = Selection.of(DIALECTS["native"], Revision(1, Position(0, 0), None, None, "native", {}))


def a_batch(attempts, count=10, parent=""):
    return OpenBatch(
        id="bat_1",
        webhook_id=1,
        revision=1,
        range=Range(Position(0, 0), Position(1, 10)),
        count=count,
        cut_at=NOW,
        attempts=attempts,
        parent=parent,
    )


@given(st.integers(1, 11), st.floats(0, 1, exclude_max=True))
def test_jitter_only_lengthens_and_by_at_most_a_fifth(attempt, chance):
    wait_s = next_wait_s(attempt, Policy(), chance)

    base = DEFAULT_RETRY_WAITS_S[attempt - 1]
    assert wait_s is not None
    assert base <= wait_s <= base * 1.2


def test_after_the_last_wait_nothing_comes():
    assert next_wait_s(12, Policy(), 0.5) is None


def test_the_default_window_outlasts_a_weekend():
    assert sum(DEFAULT_RETRY_WAITS_S) >= 72 * 3600


@given(st.one_of(st.none(), st.floats(-1e9, 1e9)))
def test_retry_after_only_delays_and_at_most_an_hour(asked):
    assert 0 <= held_s(asked) <= 3600


@pytest.mark.parametrize(
    ("outcome", "success", "verdict"),
    [
        (Outcome(status=200), (), Verdict.DELIVERED),
        (Outcome(status=299), (), Verdict.DELIVERED),
        (Outcome(status=201), (200, 204), Verdict.RETRY),
        (Outcome(status=204), (200, 204), Verdict.DELIVERED),
        (Outcome(status=301), (), Verdict.RETRY),
        (Outcome(status=404), (), Verdict.RETRY),
        (Outcome(status=410), (), Verdict.PAUSE),
        (Outcome(status=503), (), Verdict.RETRY),
        (Outcome(error="timeout"), (), Verdict.RETRY),
        (Outcome(error="reset", status=200), (), Verdict.RETRY),
        (Outcome(error="refused_address"), (), Verdict.RETRY),
    ],
)
def test_what_an_outcome_means(outcome, success, verdict):
    policy = Policy(success=success)

    assert judge(outcome, a_batch(0), policy, LANE, NOW, 0.0).verdict is verdict


@pytest.mark.parametrize("status", [406, 410, 413, 400, 503])
def test_a_status_that_the_policy_calls_refused_parks_at_once_and_is_no_failure(status):
    policy = Policy(refused=(400, 406, 410, 413, 503), split_failing=True)
    outcome = Outcome(status=status, retry_after_s=60)
    lane = replace(LANE, failures=2, failing_since=NOW)

    found = judge(outcome, replace(a_batch(0), count=5), policy, lane, NOW, 0.0)

    assert (found.verdict, found.next_at, found.pause) == (Verdict.PARK, None, "")
    held = replace(lane, hold_until=NOW + timedelta(seconds=60))
    assert after(lane, outcome, found, NOW) == held


def test_a_lane_counts_as_delivered_what_the_journal_is_told():
    answer = Outcome(status=200)
    taken = Judgement(Verdict.DELIVERED)
    attempt = Entry(
        kind=EntryKind.ATTEMPT,
        at=NOW,
        account_id=1,
        webhook_id=1,
        revision=1,
        batch_id="bat_1",
        range=a_batch(0).range,
        count=10,
        delivered=10,
    )
    single = Run("run_1", Range(Position(1, 10), Position(1, 13)), 1, 3, NOW)

    seen = replace(LANE, delivered=7)
    for number in range(2):
        single.deliver(number)
        seen = after(seen, answer, taken, NOW)
    batch = changes.answered(seen, a_batch(0), a_batch(0), attempt, taken, NOW)
    assert batch.lane is not None
    saved = changes.runs_saved(replace(batch.lane, cursor=single.range.start), [single], NOW)

    assert saved is not None
    assert saved.lane is not None
    assert (batch.lane.delivered, saved.lane.delivered) == (17, 19)


@pytest.mark.parametrize(
    ("count", "failures", "verdict"),
    [
        (5, 0, Verdict.SPLIT),
        (5, BISECT_FAILURES, Verdict.PARK),
        (1, 0, Verdict.PARK),
    ],
)
def test_a_refused_batch_that_is_bisected_is_split_until_all_is_refused(count, failures, verdict):
    policy, lane = Policy(refused=(422,)), replace(LANE, failures=failures)
    batch = replace(a_batch(0), count=count, bisect_since=NOW)

    found = judge(Outcome(status=422), batch, policy, lane, NOW, 0.0)
    left = after(lane, Outcome(status=422), found, NOW)

    assert found.verdict is verdict
    assert left.failures == failures + (verdict is Verdict.SPLIT)


def test_what_is_a_success_is_not_refused_nor_what_did_not_come_whole():
    policy = Policy(success=(406,), refused=(406, 409))

    assert judge(Outcome(status=406), a_batch(0), policy, LANE, NOW, 0.0).verdict == "delivered"
    cut_off = Outcome(status=409, error="reset")
    assert judge(cut_off, a_batch(0), policy, LANE, NOW, 0.0).verdict is Verdict.RETRY


def test_retry_after_longer_than_the_wait_delays_the_batch_too():
    found = judge(Outcome(status=503, retry_after_s=600), a_batch(0), Policy(), LANE, NOW, 0.0)

    assert found.next_at == found.hold_until == NOW + timedelta(seconds=600)


@pytest.mark.parametrize("status", [400, 406, 413, 422, 429, 503])
@pytest.mark.parametrize("attempts", [0, 11])
@pytest.mark.parametrize("batch", [{}, {"count": 1}, {"parent": "b0"}, {"bisect_since": NOW}])
def test_retry_after_holds_the_webhook_whatever_becomes_of_the_batch(status, attempts, batch):
    outcome, policy = Outcome(status=status, retry_after_s=60), Policy(refused=(406,))
    tried = replace(a_batch(attempts), **{"count": 5, **batch})

    found = judge(outcome, tried, policy, LANE, NOW, 0.0)

    assert after(LANE, outcome, found, NOW).hold_until == NOW + timedelta(seconds=60)


def test_retry_after_shorter_than_the_wait_does_not_hurry():
    found = judge(Outcome(status=503, retry_after_s=1), a_batch(2), Policy(), LANE, NOW, 0.0)

    assert found.next_at == NOW + timedelta(seconds=120)


HERE, THERE = Range(Position(1, 0), Position(2, 5)), Range(Position(1, 0), Position(2, 6))
MADE = Rendered(b"[]", 1, b"events", b"as it was")
REVISION = Revision(1, Position(0, 0), None, None, "sendpulse", {"a": True, "b": "both"})
AS_BEFORE = (
    "bat_d854ad2fb73f36b451ae674f2f29681d",
    "bat_fc4ebb54785e259982962579e2bcd393",
    "bat_a2b90bbdfa250aed6c0823f38ea96dc6",
)
"""What a release that knew no other form made of them: plain, of replay 7, and cut anew."""


def test_a_batch_id_has_no_full_stop_and_depends_on_every_part():
    parts = (1, REVISION, HERE, MADE, None)
    others = [
        (0, 2),
        (1, replace(REVISION, number=2)),
        (1, replace(REVISION, dialect="native")),
        (1, replace(REVISION, options={"a": True})),
        (2, THERE),
        (3, MADE._replace(digest=b"others")),
        (3, MADE._replace(body_hash=b"another release")),
        (4, 7),
    ]
    ids = {batch_id(*parts)}
    for at, other in others:
        ids.add(batch_id(*parts[:at], other, *parts[at + 1 :]))

    assert len(ids) == 1 + len(others)
    assert not any("." in each for each in ids)


def test_a_batch_id_is_the_same_in_whichever_order_the_options_were_set():
    turned = replace(REVISION, options={"b": "both", "a": True})

    assert batch_id(1, REVISION, HERE, MADE) == batch_id(1, turned, HERE, MADE)


def test_a_revision_of_before_keeps_the_ids_that_its_batches_had():
    before = replace(REVISION, ids_name_bytes=False)

    ids = (
        batch_id(1, before, HERE, MADE),
        batch_id(1, before, HERE, MADE, 7),
        batch_id(1, before, HERE, MADE, is_anew=True),
    )

    assert ids == AS_BEFORE


def header(block, sizes, codes=None):
    codes = codes or bytes([4] * len(sizes))
    return BlockHeader(block, 1, 1, 1, NOW, codes, pack_sizes(sizes))


blocks = st.lists(
    st.lists(st.tuples(st.integers(10, 400), st.sampled_from([4, 9, 16])), min_size=1, max_size=8),
    max_size=8,
)


@given(blocks, st.integers(1, 9), st.integers(50, 2000))
def test_cuts_partition_the_log_and_keep_to_the_limits(parts, max_events, max_bytes):
    headers = [
        header(number, [size for size, _ in part], bytes(code for _, code in part))
        for number, part in enumerate(parts, 1)
    ]
    clicks = Revision(1, Position(0, 0), None, ("delivered", "open"), "native", {})
    selection = Selection.of(DIALECTS["native"], clicks)
    limits = Limits(max_events, max_bytes, 10, 0)
    cuts = []
    gather = Gather(Position(0, 0), selection, limits)
    for each in headers:
        gather.add(each)
        while gather.is_full:
            cuts.append(gather)
            gather = Gather(gather.end, selection, limits)
            gather.add(each)
    cuts.append(gather)

    end = Position(len(headers), headers[-1].count) if headers else Position(0, 0)
    assert sum(cut.count for cut in cuts) == count_matching(selection, headers, Position(0, 0), end)
    for before, following in pairwise(cuts):
        assert before.end == following.start
    for cut in cuts:
        assert cut.count == count_matching(selection, headers, cut.start, cut.end)
        assert cut.count <= max_events
        assert cut.size_bytes <= max_bytes or cut.count == 1


def test_the_selection_counts_what_it_takes():
    found = count_matching(NATIVE, [header(1, [1] * 5)], Position(1, 1), Position(1, 4))

    assert found == 3


@pytest.mark.parametrize(
    ("status", "attempts", "count", "parent", "verdict"),
    [
        (413, 0, 10, "", Verdict.SPLIT),
        (413, 0, 1, "", Verdict.PARK),
        (400, 0, 10, "", Verdict.RETRY),
        (400, 11, 10, "", Verdict.SPLIT),
        (422, 11, 10, "", Verdict.SPLIT),
        (422, 11, 1, "", Verdict.PARK),
        (400, 0, 10, "bat_0", Verdict.SPLIT),
        (400, 0, 1, "bat_0", Verdict.PARK),
        (500, 0, 10, "bat_0", Verdict.RETRY),
        (500, 11, 10, "", Verdict.PARK),
    ],
)
def test_when_a_batch_is_split(status, attempts, count, parent, verdict):
    batch = a_batch(attempts, count, parent)

    found = judge(Outcome(status=status), batch, Policy(), LANE, NOW, 0.0)

    assert found.verdict is verdict
