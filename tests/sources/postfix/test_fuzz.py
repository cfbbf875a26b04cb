"""Whatever a log holds, and however it is read, nothing is lost, doubled or stopped."""

import random

from hypothesis import given
from hypothesis import strategies as st

from postbell import fences
from tests.sources.postfix.reading import Kept, log_of, told
from tests.sources.postfix.test_reader import (
    DELETED,
    EXPIRED,
    FULL,
    QID,
    QUEUED,
    REMOVED,
    SENT,
    UNKNOWN,
    result,
)

QIDS = ("9C3F2A01B7", QID, "F12DF84004")
TEXTS = [*QUEUED.strip().splitlines(), SENT, FULL, UNKNOWN, EXPIRED, REMOVED, DELETED]
TEXTS += [text.replace("ada@", "bob@") for text in (SENT, FULL, UNKNOWN)]
TEXTS += [f"bounce: {QID}: sender non-delivery notification: F12DF84004"]
TEXTS += [result("sent", "250 Ok: queued as F12DF84004", relay="l[127.0.0.1]:10024")]
LINES = [line.replace(QID, qid) for text in TEXTS for line in log_of(text) for qid in QIDS]


@given(st.lists(st.sampled_from(LINES), max_size=60), st.integers(1, 7))
def test_lines_come_to_the_same_however_many_are_read_at_once(lines: list[str], size: int) -> None:
    at_once, in_parts = Kept(), Kept(size=size)

    assert told(at_once.read(lines)) == told(in_parts.read(lines))
    assert at_once.values == in_parts.values


@given(st.lists(st.sampled_from(LINES), max_size=60))
def test_what_is_known_of_mails_outlasts_a_restart(lines: list[str]) -> None:
    kept, restarted = Kept(), Kept()
    kept.read(LINES)
    restarted.read(LINES)
    restarted.restart()
    restarted.read(log_of("smtpd: connect from x"))

    first, second = kept.read(lines), restarted.read(lines)

    assert [(each.event_id, each.attempt) for each in first] == [
        (each.event_id, each.attempt) for each in second
    ]


def test_lines_that_a_disk_has_changed_stop_nothing() -> None:
    fences.failed.clear()
    chance, kept = random.Random(11), Kept(size=50)
    for _ in range(200):
        lines = []
        for _ in range(50):
            line = bytearray(chance.choice(LINES).encode())
            for _ in range(chance.choice([0, 1, 2, 9])):
                line[chance.randrange(len(line))] = chance.choice(
                    b'<>[]():,="\\ \0\xff\xc3removedz9'
                )
            del line[chance.choice([len(line), chance.randrange(len(line))]) :]
            lines.append(bytes(line))
        kept.read(lines)

    assert fences.failed["sources"] == 0
    assert {fact.code for fact in kept.findings.refused} == {"malformed"}
    assert kept.findings.drafts


@given(st.binary(max_size=300), st.sampled_from(LINES))
def test_any_bytes_stop_nothing(raw: bytes, line: str) -> None:
    fences.failed.clear()
    prefix = line[: line.index("]: ") + 3].encode()

    Kept().read([raw, prefix + raw, line.encode() + raw])

    assert fences.failed["sources"] == 0
