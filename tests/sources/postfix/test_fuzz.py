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


LONG = "a" * 9_000
ENDLESS = [
    f"2026-11-30T{LONG} mx1 postfix/cleanup[7]: {QID}: message-id=<m1@example.org>",
    f"2026-11-30T10:00:00Z {LONG} postfix/cleanup[7]: {QID}: message-id=<m1@example.org>",
    f"2026-11-30T10:00:00Z mx1 {LONG}/cleanup[7]: {QID}: message-id=<m1@example.org>",
    *log_of(f"smtpd: {QID}: client=app[{LONG}], sasl_username={LONG}"),
    *log_of(f"cleanup: {QID}: message-id=<{LONG}>"),
    *log_of(f"cleanup: {QID}: info: header Subject: {LONG}"),
    *log_of(f"qmgr: {QID}: from=<{LONG}@example.org>, size=1, nrcpt=1 (queue active)"),
    *(line.replace("ada@", f"{LONG}@") for line in log_of(FULL)),
    *(line.replace("relay=", f"orig_to=<{LONG}@a.example>, relay=") for line in log_of(FULL)),
]


@given(st.lists(st.sampled_from(LINES + ENDLESS), max_size=20))
def test_whatever_is_endless_in_a_line_is_bounded_where_it_is_remembered(lines: list[str]) -> None:
    fences.failed.clear()

    Kept().read([*lines, *ENDLESS])

    assert fences.failed["sources"] == 0


@given(st.binary(max_size=300), st.sampled_from(LINES))
def test_any_bytes_stop_nothing(raw: bytes, line: str) -> None:
    fences.failed.clear()
    prefix = line[: line.index("]: ") + 3].encode()

    Kept().read([raw, prefix + raw, line.encode() + raw])

    assert fences.failed["sources"] == 0
