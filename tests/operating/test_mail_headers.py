"""No address and no subject writes a header, however it came to be stored."""

import pytest

from postbell.errors import BadInput
from postbell.operating.mailing import HEADERS, Mailer
from postbell.text import mailboxes
from tests.fakes import FakeClock

INJECTED = (
    "=?utf-8?q?x=0d=0a=0d=0aPay_at_http=3a//evil.example?=@x.example",
    "=?utf-8?q?x=0aFrom=3a_a=40b.c=0aSubject=3a_Hi?=@x.example",
    "=?utf-8?q?x=0d=0aBcc=3a_bob=40bolt=2eexample?=@x.example",
    "=?utf-8?q?bob=40bolt.example=2c_x?=@x.example",
    "=?utf-8?b?eA==?=@x.example",
    "=?utf-8?q?x?=@x.example",
)


@pytest.mark.parametrize("address", INJECTED)
def test_an_encoded_word_is_no_address(address: str) -> None:
    with pytest.raises(BadInput, match="is not an e-mail address"):
        mailboxes.read(address)


@pytest.mark.parametrize("address", [*INJECTED, "a\r\nBcc: b@c.example", "a@b.example\nX: y"])
def test_no_mail_is_made_for_what_was_stored_before(address: str) -> None:
    mailer = Mailer("smtp://127.0.0.1:1", "bell@ops.example", FakeClock())

    with pytest.raises(BadInput):
        mailer.compose(address, "Subject", "text")
    mailer.close()


@pytest.mark.parametrize("address", ["ada@example.com", "jörg@bücher.example", "a+b=c@x.example"])
def test_a_mail_has_our_headers_and_no_others(address: str) -> None:
    mailer = Mailer("smtp://127.0.0.1:1", "bell@ops.example", FakeClock())

    mail = mailer.compose(address, "Hi =?utf-8?q?=0d=0aBcc=3a_x=40y.z?=", "text")

    head = mail.written.partition(b"\r\n\r\n")[0].decode()
    names = [line.split(":")[0].lower() for line in head.split("\r\n") if line[0] not in " \t"]
    assert sorted(names) == sorted(HEADERS)
    mailer.close()
