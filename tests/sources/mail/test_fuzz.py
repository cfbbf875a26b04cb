"""Whatever comes as a mail is an event that ingest takes, or refused by name."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.errors import BadInput
from postbell.events import Draft
from postbell.ingest.accepting import Accepting
from postbell.sources.mail.reading import MailReader
from tests.sources.mail.samples import FAILED, ORIGINAL, OWN, TRACER, arf, dsn, plain, read

SAMPLES = (
    dsn(),
    dsn(FAILED, FAILED.replace("failed", "delayed")),
    dsn(status_type="message/global-delivery-status"),
    arf("Feedback-Type: abuse\nOriginal-Rcpt-To: <bob@example.org>\n"),
    plain("<bob@example.org>:\n550 5.1.1 unknown\n"),
    plain("away", "bob@example.org", "Auto-Submitted: auto-replied\n"),
    plain("spam", "a@b.example", "X-HmXmrOriginalRecipient: bob@example.org\n" + ORIGINAL),
)
ADDRESS = TRACER.local_part("b", 7, "bob@example.org", "m1") + "@b.example"
READER = MailReader(TRACER, OWN, ["unsubscribe@b.example"])
RECIPIENTS = st.lists(
    st.sampled_from([ADDRESS, "u" + ADDRESS[1:], "unsubscribe@b.example", "", "@", "b-@x"])
)
SENDERS = st.sampled_from([None, "", "bob@example.org"])


def check(raw: bytes, recipients: list[str], sender: str | None) -> None:
    """Read a mail; ingest must take each draft."""
    try:
        found = read(raw, *recipients, sender=sender, reader=READER)
    except BadInput as error:
        assert error.code in ("not_understood", "read_receipt")
        return
    taken = Accepting("acme", "main", lambda _: 1, datetime.now(UTC))
    for each in found:
        assert isinstance(each.draft, Draft) and each.draft.event_id
        taken.take_draft(each.draft)
    assert found == read(raw, *recipients, sender=sender, reader=READER)


@given(st.binary(max_size=3000), RECIPIENTS, SENDERS)
def test_bytes_of_any_kind(raw: bytes, recipients: list[str], sender: str | None) -> None:
    check(raw, recipients, sender)


@given(st.sampled_from(SAMPLES), st.randoms(use_true_random=False), RECIPIENTS, SENDERS)
def test_mails_with_anything_changed(
    raw: bytes, chance: random.Random, recipients: list[str], sender: str | None
) -> None:
    changed = bytearray(raw)
    for _ in range(chance.randrange(12)):
        _CHANGES[chance.randrange(len(_CHANGES))](changed, chance)

    check(bytes(changed), recipients, sender)


@given(st.text(max_size=200), st.text(max_size=300), st.text(max_size=100), RECIPIENTS, SENDERS)
def test_reports_that_say_anything(
    address: str, diagnostic: str, subject: str, recipients: list[str], sender: str | None
) -> None:
    group = f"Final-Recipient: rfc822; {address}\nAction: failed\nDiagnostic-Code: {diagnostic}\n"
    raw = dsn(group, original=f"Message-ID: <{subject}>\nSubject: {subject}\n\n")

    check(raw.decode(errors="replace").encode("utf-8", "replace"), recipients, sender)


def _flip(raw: bytearray, chance: random.Random) -> None:
    if raw:
        raw[chance.randrange(len(raw))] = chance.randrange(256)


def _drop(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw) + 1)
    del raw[at : at + chance.randrange(200)]


def _repeat(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw) + 1)
    raw[at:at] = raw[at : at + chance.randrange(200)] * chance.randrange(5)


def _insert(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw) + 1)
    raw[at:at] = chance.choice(
        (b"\n", b"\n\n", b"\r", b"\0", b"--", b"=?", b";", b"\xff", b"<", b"(")
    )


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _drop, _repeat, _insert)


@pytest.mark.parametrize(
    "text",
    [
        "<" * 60_000,
        "a" * 60_000 + "@",
        ("a@" * 30_000),
        ", " * 30_000 + "x@y",
        "did not reach the following recipient\n" + "a@b on " * 9_000,
        "failed addresses follow:\n" + "x" * 60_000,
        "5.1.1 " * 10_000,
        "550 " * 15_000,
        "(" * 3_000,
        "Message-ID: <" * 5_000,
    ],
    ids=range(10),
)
def test_texts_that_are_made_to_take_long_are_read(text: str) -> None:
    """One that took time that grows with its square would not end within the test's limit."""
    check(plain(text), [ADDRESS], "")
    check(plain("x", text[:3000].replace("\n", " ")), [ADDRESS], "")
