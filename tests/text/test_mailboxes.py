"""Addresses of those whom we mail: what is taken, how it is spelt, and that it can be mailed."""

import random
from email import message_from_bytes
from email.policy import default
from string import ascii_letters, digits

import pytest

from postbell.clock import SystemClock
from postbell.errors import BadInput
from postbell.operating.mailing import Mailer
from postbell.text.mailboxes import known_as, read
from tests.operating.rig import Mailbox, smtp

COUNT = 400
LETTERS = ascii_letters + digits + "!#$%&'*+-/=?^_`{|}~." + ' \t"(),:;<>@[\\]\0\r\n\x7f\x85'
LETTERS += "äßéøñçİıſΩжшあ漢字ａ①㎡\u0301\u200d\u202e\u2066\ufeff\U0001f600"


@pytest.mark.parametrize(
    ("given", "address", "on_wire"),
    [
        (" Ada@Example.NET ", "ada@example.net", "ada@example.net"),
        ("root@localhost", "root@localhost", "root@localhost"),
        ("ops@mail.local", "ops@mail.local", "ops@mail.local"),
        ("a+b@xn--exmple-cua.de", "a+b@exämple.de", "a+b@xn--exmple-cua.de"),
        ("u\u0308@Exämple.de", "ü@exämple.de", "ü@xn--exmple-cua.de"),
    ],
)
def test_an_address_has_one_spelling(given: str, address: str, on_wire: str) -> None:
    found = read(given)

    assert (found.address, found.on_wire) == (address, on_wire)
    assert known_as(given)[0] == address
    assert read(found.address) == found


REFUSED = (
    ":;@b.example",
    '"a b"@c.example',
    "a@[127.0.0.1]",
    "a@b@c.example",
    "<a@b.example>",
    "a@b.example, c@d.example",
    "a\r\nbcc: b@c.example",
    "a@-b.example",
    "a..b@c.example",
    "ü" * 40 + "@c.example",
    "a" * 65 + "@c.example",
    "a@" + "b." * 130 + "example",
    "\ud800@b.example",
    "a",
    "",
)


@pytest.mark.parametrize("given", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(given)

    assert refused.value.reason == "email_malformed"


def accepted() -> list[str]:
    """Return addresses that `read` takes, of letters that are as odd as it lets them be."""
    chance = random.Random(8)
    found: list[str] = []
    while len(found) < COUNT:
        name = "".join(chance.choices(LETTERS, k=chance.randint(1, 12)))
        host = "".join(chance.choices(ascii_letters + digits + "-äéжあ", k=chance.randint(1, 10)))
        given = f"{name}@{host}.example"
        try:
            found.append(read(given).address)
        except BadInput:
            plain = "".join(each for each in name if each.isalnum() or each in "!#$%&'*+/=?^_{|}~")
            try:
                found.append(read(f"{plain}@{host}.example").address)
            except BadInput:
                continue
    return found


async def test_every_address_that_is_taken_can_be_mailed() -> None:
    mailbox = Mailbox()
    addresses = accepted()
    async with smtp(mailbox, enable_SMTPUTF8=True) as url:
        mailer = Mailer(url, "postbell@example.com", SystemClock())
        for address in addresses:
            made = mailer.compose(address, "s", "t")
            parsed = message_from_bytes(made.written, policy=default)
            told = str(parsed["to"]).encode("utf-8", "surrogateescape").decode()
            assert told.replace("\n", "") == read(address).on_wire, address
            assert made.recipient == read(address).on_wire
        for address in addresses[:100]:
            await mailer.send(address, "s", "t")
        mailer.close()

    assert len(set(addresses)) > COUNT * 0.8
    assert sum(not address.isascii() for address in addresses) > COUNT / 4
    assert [to for to, _ in mailbox.taken] == [read(each).on_wire for each in addresses[:100]]
