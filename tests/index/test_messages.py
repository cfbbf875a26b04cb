"""Sampling of messages: exact while they are few, right in shares and bounded while many."""

import random

import pytest

from postbell.events import MACHINE, NUMBER_OF, EventType
from postbell.index.messages import (
    CLICKED,
    DELIVERED,
    HUMAN_OPENED,
    OPENED,
    QUARTER,
    ROWS_AN_HOUR,
    SLOTS,
    Sampling,
    Sights,
    counted,
)
from postbell.ports import MessageState

ACCOUNT = 7
OPEN, DONE = NUMBER_OF[EventType.OPEN], NUMBER_OF[EventType.DELIVERED]


class Book:
    """What an index would keep: rows and counters."""

    def __init__(self) -> None:
        self.sampling = Sampling()
        self.rows: dict[int, MessageState] = {}
        self.counts: dict[tuple[int, int], int] = {}

    def read(self, keys: list[int], codes: bytes, minute: int) -> None:
        sights = Sights()
        sights.keys += keys
        sights.end_block(codes, minute)
        wanted = self.sampling.wanted(ACCOUNT, sights)
        known = {key: self.rows[key] for key in {s.key for s in wanted} & self.rows.keys()}
        rows, counts = self.sampling.read(ACCOUNT, wanted, known)
        self.rows |= {row.key: row for row in rows}
        for at, n in counts.items():
            self.counts[at] = self.counts.get(at, 0) + n

    def total(self, bit: int) -> int:
        return sum(n for (_, slot), n in self.counts.items() if slot == SLOTS[bit])


@pytest.fixture
def chance() -> random.Random:
    return random.Random(20_261_128)


def test_few_messages_are_counted_exactly(chance: random.Random) -> None:
    book = Book()
    keys = [chance.getrandbits(60) | 1 for _ in range(500)]

    book.read(keys, bytes([DONE]) * 500, 0)
    book.read(keys[:125] * 3, bytes([OPEN]) * 375, 20)

    assert (book.total(DELIVERED), book.total(OPENED), book.total(HUMAN_OPENED)) == (500, 125, 125)


def test_many_messages_have_few_rows_and_right_shares(chance: random.Random) -> None:
    book = Book()
    keys = [chance.getrandbits(60) | 1 for _ in range(200_000)]
    for first in range(0, len(keys), 1000):
        book.read(keys[first : first + 1000], bytes([DONE]) * 1000, 0)
    opened = [key for key in keys if chance.random() < 0.3]
    for first in range(0, len(opened), 1000):
        part = opened[first : first + 1000]
        book.read(part * 2, bytes([OPEN]) * len(part) * 2, 130)

    assert len(book.rows) < 8 * ROWS_AN_HOUR
    assert book.total(DELIVERED) == pytest.approx(200_000, rel=0.1)
    assert book.total(OPENED) / book.total(DELIVERED) == pytest.approx(0.3, abs=0.04)


def test_later_hours_of_many_messages_stay_small(chance: random.Random) -> None:
    book = Book()
    sizes = []
    for hour in range(4):
        before = len(book.rows)
        for _ in range(20):
            keys = [chance.getrandbits(60) | 1 for _ in range(1000)]
            book.read(keys, bytes([DONE]) * 1000, hour * 60)
        sizes.append(len(book.rows) - before)

    assert max(sizes[1:]) < 2 * ROWS_AN_HOUR
    assert book.total(DELIVERED) == pytest.approx(80_000, rel=0.1)


def test_a_quiet_account_is_counted_exactly_again(chance: random.Random) -> None:
    book = Book()
    for _ in range(20):
        keys = [chance.getrandbits(60) | 1 for _ in range(1000)]
        book.read(keys, bytes([DONE]) * 1000, 0)
    for hour in range(1, 12):
        book.read([chance.getrandbits(60) | 1], bytes([DONE]), hour * 60)

    book.read(keys := [chance.getrandbits(60) | 1 for _ in range(50)], bytes([DONE]) * 50, 720)

    assert keys[0] in book.rows
    assert {book.rows[key].weight for key in keys} == {1}


def test_a_click_by_a_machine_is_no_persons(chance: random.Random) -> None:
    book = Book()
    click = NUMBER_OF[EventType.CLICK]

    book.read([5, 5], bytes([DONE, click | MACHINE]), 3)

    assert book.rows[5].seen == DELIVERED | CLICKED
    assert book.rows[5].minute == 3 - 3 % QUARTER


def test_what_was_not_delivered_counts_as_nothing_else() -> None:
    assert counted(OPENED | CLICKED) == ()
    assert all(slot < len(SLOTS) for seen in range(512) for slot in counted(seen))


def test_events_without_a_message_or_without_news_are_passed_over() -> None:
    book = Book()

    book.read([0, 9], bytes([DONE, NUMBER_OF[EventType.REQUEST]]), 0)

    assert book.rows == {}
