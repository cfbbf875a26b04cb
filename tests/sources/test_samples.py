"""A sample is parted into facts as its source would read it, in bounded memory."""

import io

import pytest

from postbell.sources.samples import lines_of, mails_of


def test_lines_are_numbered_and_bare() -> None:
    file = io.BytesIO(b"\xef\xbb\xbfone\r\n\n  two\nthree")

    found = [(fact.place, fact.raw) for fact in lines_of(file, 100)]

    assert found == [("line 1", b"one"), ("line 3", b"two"), ("line 4", b"three")]


def test_of_a_line_that_is_too_long_the_beginning_is_given() -> None:
    file = io.BytesIO(b"x" * 25 + b"\nafter\n" + b"y" * 10 + b"\n" + b"z" * 35)

    found = [(fact.place, fact.raw) for fact in lines_of(file, 10)]

    assert found == [
        ("line 1", b"x" * 11), ("line 2", b"after"), ("line 3", b"y" * 10), ("line 4", b"z" * 11),
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"\n", b"\nFrom here on\n\nFrom there\n", b""])
def test_a_file_is_one_mail_whatever_its_lines_begin_with(body: bytes) -> None:
    mail = b"Subject: x\n" + body

    assert [(fact.place, fact.raw) for fact in mails_of(io.BytesIO(mail), 1000)] == [
        ("mail 1", mail)
    ]


def test_an_mbox_is_its_mails() -> None:
    mails = [b"Subject: a\n\nthen\nFrom me\n>From so\n\n", b"Subject: b\n\nlast\n"]
    mbox = b"".join(b"From x@b.example Mon Nov 30 10:00:00 2026\n" + mail for mail in mails)

    found = list(mails_of(io.BytesIO(mbox), 1000))

    assert [fact.raw for fact in found] == mails


def test_of_a_mail_that_is_too_long_the_beginning_is_given() -> None:
    mails = [b"x" * 100 + b"\n\n", b"short\n"]
    mbox = b"".join(b"From x\n" + mail for mail in mails)

    found = [(fact.place, len(fact.raw)) for fact in mails_of(io.BytesIO(mbox), 10)]

    assert found == [("mail 1", 10), ("mail 2", 6)]
