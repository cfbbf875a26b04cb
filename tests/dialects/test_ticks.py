from postbell.dialects import DIALECTS
from postbell.events import EventType


def test_the_ticks_of_a_dialect_are_all_that_it_carries_each_type_once() -> None:
    for dialect in DIALECTS.values():
        ticked = [kind for tick in dialect.ticks({}) for kind in tick.types]

        assert set(ticked) == dialect.carries({}), dialect.name
        assert len(ticked) == len(set(ticked)), dialect.name


def test_a_word_for_several_types_is_ticked_once() -> None:
    ticks = {tick.word: tick.types for tick in DIALECTS["sendpulse"].ticks({})}

    assert list(ticks)[:2] == ["delivered", "undelivered"]
    assert EventType.SOFT_BOUNCE in ticks["undelivered"]
    assert EventType.HARD_BOUNCE in ticks["undelivered"]


def test_sendpulses_six_events_come_in_the_order_of_its_page_and_further_ones_after_them() -> None:
    ticks = DIALECTS["sendpulse"].ticks({})

    assert [tick.word for tick in ticks if not tick.is_further] == [
        "delivered", "undelivered", "opened", "clicked", "spam_by_user", "unsubscribed",
    ]  # fmt: skip
    assert [tick.word for tick in ticks][6:] == ["resubscribed"]


def test_a_dialect_that_tells_nothing_has_nothing_to_tick() -> None:
    assert list(DIALECTS["sendpulse-bulk"].ticks({"action": "delete"})) == []
