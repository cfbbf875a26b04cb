"""What is noted of a source: its state, since when, and how much it reads."""

from datetime import timedelta

from postbell import sources
from postbell.ports import Fact, RefusedFact, SourceReading, SourceStanding, SourceState
from postbell.sources.telling import KEEP_S, ReadRate, SourceTelling
from tests.fakes import FakeClock

MEMBERS = {"path": "/var/log/events.jsonl", "account": "acme", "api_user": "main"}
BUSY = SourceReading([], [], seen=600)


def telling(clock: FakeClock, before: SourceStanding | None = None) -> SourceTelling:
    told = SourceTelling("mail", sources.open(MEMBERS), clock)
    told.begin("acme", before)
    return told


def test_the_rate_is_that_of_the_last_minute() -> None:
    rate = ReadRate()
    for second in range(120):
        rate.add(10, 1000.0 + second)

    assert rate.per_s(1119.0) == 10.0
    assert 0 < rate.per_s(1150.0) < 10.0
    assert rate.per_s(1200.0) == 0.0


def test_it_counts_what_a_reading_says_or_the_facts_that_it_names() -> None:
    clock = FakeClock()
    told = telling(clock)
    fact = Fact("mail 1", b"two recipients")
    refused = [RefusedFact(Fact("mail 2", b""), "malformed", "no mail")]

    told.note(BUSY, [])
    told.note(SourceReading([], [fact, fact], refused=refused), refused)

    assert told.standing(clock.now()).facts_per_s == round(602 / 60, 1)
    assert told.standing(clock.now()).refusal == "mail 2: no mail"


def test_one_that_has_more_to_read_is_behind_though_nobody_can_say_how_much() -> None:
    clock = FakeClock()
    told = telling(clock)
    began = clock.now()

    told.say(SourceState.READING)
    clock.advance(60)
    told.say(SourceState.FAILING, fault="it hangs")
    told.say(SourceState.READING)
    behind = told.standing(clock.now())
    told.say(SourceState.UP_TO_DATE, lag_bytes=0)

    assert (behind.behind_since, behind.lag_bytes) == (began, None)
    assert told.standing(clock.now()).behind_since is None


def test_it_is_ill_and_behind_since_it_was_first() -> None:
    clock = FakeClock()
    began = clock.now()
    told = telling(clock)
    minute = timedelta(minutes=1)

    seen = [told.standing(clock.now())]
    for state, lag_bytes in (
        (SourceState.FAILING, None),
        (SourceState.READING, 7),
        (SourceState.READING, 9),
        (SourceState.HELD, None),
        (SourceState.WAITING, None),
        (SourceState.READING, 1),
        (SourceState.UP_TO_DATE, 0),
    ):
        clock.advance(60)
        told.say(state, lag_bytes=lag_bytes, fault="it hangs" if lag_bytes is None else "")
        seen.append(told.standing(clock.now()))

    held = began + 4 * minute
    assert [each.ill_since for each in seen] == [began, began, None, None, held, held, None, None]
    since = began + 2 * minute
    assert [each.behind_since for each in seen] == [None, None, *[since] * 5, None]


def test_it_is_neither_ill_nor_behind_since_a_time_to_come() -> None:
    clock = FakeClock()
    clock.jump(31 * 86_400)
    told = telling(clock)
    told.say(SourceState.READING, lag_bytes=7)
    told.say(SourceState.FAILING, fault="it hangs")
    clock.jump(-31 * 86_400)

    right = clock.now()
    for state, lag_bytes in ((SourceState.FAILING, None), (SourceState.HELD, 7)):
        told.say(state, lag_bytes=lag_bytes, fault="it hangs")
        clock.advance(60)

    standing = told.standing(clock.now())
    assert standing.ill_since == right
    assert standing.behind_since == right + timedelta(seconds=60)


def test_over_a_restart_it_is_ill_and_behind_since_it_was_before() -> None:
    clock = FakeClock()
    first = telling(clock)
    first.say(SourceState.READING, lag_bytes=7)
    first.say(SourceState.FAILING, fault="it hangs")
    before = first.standing(clock.now())
    clock.advance(600)

    again = telling(clock, before)
    again.say(SourceState.FAILING, fault="it hangs")
    ill = again.standing(clock.now())
    again.say(SourceState.UP_TO_DATE, lag_bytes=0)
    well = again.standing(clock.now())

    assert (ill.ill_since, ill.behind_since) == (before.ill_since, before.behind_since)
    assert ill.ill_since is not None and ill.behind_since is not None
    assert (well.ill_since, well.behind_since) == (None, None)


def test_what_has_not_changed_is_noted_now_and_then() -> None:
    clock = FakeClock()
    told = telling(clock)
    told.told(told.standing(clock.now()))

    still = told.has_news(clock.now())
    told.note(BUSY, [])
    busy = told.has_news(clock.now())
    told.told(told.standing(clock.now()))
    clock.advance(KEEP_S)

    assert (still, busy, told.has_news(clock.now())) == (False, True, True)
