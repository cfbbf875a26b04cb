"""Mails through real SMTP servers: TLS, passwords, refusals, addresses that cannot be."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from postbell.clock import SystemClock
from postbell.errors import BadInput
from postbell.operating.bounded import BoundedAnswer
from postbell.operating.mailing import Mailer, MailFailed
from tests.fakes import FakeClock
from tests.operating.rig import SENDER, Mailbox, smtp
from tests.wire.certificates import Authority

TO = "ada@acme.example"


@asynccontextmanager
async def mailer(url: str) -> AsyncIterator[Mailer]:
    mailer = Mailer(url, SENDER, SystemClock())
    yield mailer
    mailer.close()


async def test_a_mail_arrives_as_it_was_written() -> None:
    mailbox = Mailbox()
    async with smtp(mailbox) as url, mailer(url) as sender:
        await sender.send(TO, "Пароль", "Здравствуйте!\nhttps://bell.example.com/reset\n")

    ((to, mail),) = mailbox.taken
    assert (to, mail["to"], mail["from"]) == (TO, TO, SENDER)
    assert mail["subject"] == "Пароль"
    assert mail.get_content().replace("\r\n", "\n").startswith("Здравствуйте!\nhttps://")
    assert mail["message-id"].endswith("@example.com>")
    assert mail["date"]


async def test_tls_is_used_where_it_is_offered_and_the_password_goes_through_it(
    tmp_path: Path,
) -> None:
    mailbox = Mailbox()
    logins: list[tuple[bool, bytes, bytes]] = []

    def check(server: Any, session: Any, envelope: Any, kind: str, pair: Any) -> AuthResult:
        logins.append((session.ssl is not None, pair.login, pair.password))
        return AuthResult(success=pair.password == b"w@rd", handled=False)

    context = Authority(tmp_path).context("localhost")
    options = {"tls_context": context, "authenticator": check, "auth_required": True}
    async with smtp(mailbox, **options) as url:
        there = url.removeprefix("smtp://")
        async with mailer(f"smtp://user:w%40rd@{there}") as sender:
            await sender.send(TO, "s", "t")
        async with mailer(f"smtp://user:wrong@{there}") as sender:
            with pytest.raises(MailFailed) as caught:
                await sender.send(TO, "s", "t")

    assert logins[0] == (True, b"user", b"w@rd")
    assert [to for to, _ in mailbox.taken] == [TO]
    assert "535" in caught.value.message and "wrong" not in caught.value.message


async def test_a_refused_recipient_and_a_server_that_is_not_there_are_failures() -> None:
    mailbox = Mailbox()
    mailbox.refusal = "550 5.1.1 no such user"
    async with smtp(mailbox) as url, mailer(url) as sender:
        with pytest.raises(MailFailed, match="no such user"):
            await sender.send(TO, "s", "t")
    async with mailer(url) as sender:
        with pytest.raises(MailFailed, match="did not take a mail"):
            await sender.send(TO, "s", "t")


async def test_a_password_that_smtp_cannot_carry_is_a_failure_and_not_the_end() -> None:
    mailbox = Mailbox()

    def check(server: Any, session: Any, envelope: Any, kind: str, pair: Any) -> AuthResult:
        return AuthResult(success=True)

    async with smtp(mailbox, authenticator=check, auth_require_tls=False) as url:
        there = url.removeprefix("smtp://")
        async with mailer(f"smtp://user:p%C3%A4ss@{there}") as sender:
            with pytest.raises(MailFailed, match="did not take a mail"):
                await sender.send(TO, "s", "t")

    assert mailbox.taken == []


async def test_a_line_break_smuggles_no_header_in() -> None:
    mailbox = Mailbox()
    smuggled = "a@b.example\r\nBcc: eve@beta.example"
    async with smtp(mailbox) as url, mailer(url) as sender:
        with pytest.raises(BadInput):
            await sender.send(smuggled, "s", "t")
        await sender.send(TO, smuggled, "t")

    ((to, mail),) = mailbox.taken
    assert (to, mail["bcc"]) == (TO, None)
    assert mail["subject"] == "a@b.example Bcc: eve@beta.example"


async def test_odd_characters_of_a_text_do_not_keep_a_mail_from_going() -> None:
    mailbox = Mailbox()
    async with smtp(mailbox) as url, mailer(url) as sender:
        await sender.send(
            TO, "a\ud800\0b" + "x" * 10_000, "c\udfff\0\x85d\n.\n..\nFrom x\n" + "y" * 5000
        )

    ((_, mail),) = mailbox.taken
    assert mail["subject"].startswith("a\ufffd\ufffdbx")
    assert (
        mail.get_content()
        .replace("\r\n", "\n")
        .startswith("c\ufffd\ufffd\ufffdd\n.\n..\nFrom x\ny")
    )


async def test_an_address_beyond_ascii_goes_where_the_server_takes_it() -> None:
    mailbox = Mailbox()
    async with smtp(mailbox, enable_SMTPUTF8=True) as url, mailer(url) as sender:
        await sender.send("Jürgen@Exämple.de", "s", "t")

    ((to, mail),) = mailbox.taken
    assert to == "jürgen@xn--exmple-cua.de"
    assert str(mail["to"]).encode("utf-8", "surrogateescape").decode() == to


async def test_an_address_beyond_ascii_fails_where_the_server_takes_none() -> None:
    mailbox = Mailbox()
    async with smtp(mailbox, enable_SMTPUTF8=False) as url, mailer(url) as sender:
        with pytest.raises(MailFailed, match="SMTPUTF8"):
            await sender.send("jürgen@example.de", "s", "t")

    assert mailbox.taken == []


class Talker:
    """A mail server that says something again and again once it was greeted, which takes *each_s*
    of the clock each time."""

    def __init__(self, clock: FakeClock, said: bytes, each_s: int) -> None:
        self._clock = clock
        self._said = said
        self._each_s = each_s

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        async with server:
            yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(b"220 here\r\n")
            await reader.readline()
            while not reader.at_eof():
                self._clock.advance(self._each_s)
                writer.write(self._said)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()


@pytest.mark.parametrize(
    ("said", "each_s", "why"),
    [
        (b"250-and\r\n", 1, "takes too long"),
        (b"x", 1, "takes too long"),
        (b"250-" + b"x" * 8000 + b"\r\n", 0, "over 65536 bytes"),
    ],
    ids=["lines", "letters", "much"],
)
async def test_a_server_that_never_stops_talking_is_left(
    said: bytes, each_s: int, why: str
) -> None:
    clock = FakeClock()
    async with Talker(clock, said, each_s).listening() as url:
        sender = Mailer(url, SENDER, clock)
        with pytest.raises(MailFailed, match=why):
            await sender.send(TO, "s", "t")
        sender.close()


def test_each_read_keeps_its_own_timeout() -> None:
    """A server that says nothing at all is left sooner than one that is slow."""
    ours, theirs = socket.socketpair()
    clock = FakeClock()
    with ours, theirs:
        ours.settimeout(20.0)
        answer = BoundedAnswer(ours, clock, clock.monotonic_s() + 60)
        theirs.sendall(b"ab")

        answer.read(1)
        early = ours.gettimeout()
        clock.advance(55)
        answer.read(1)

        assert (early, ours.gettimeout()) == (20.0, 5.0)


NO_ADDRESSES = (
    ":;@b.example",
    "a b@c.example",
    "@",
    "",
    "a@",
    "x" * 300,
    "a\ud800@b.example",
    "a@b@c",
    "<a@b.example>",
    "a@[127.0.0.1]",
    f"a@{'b' * 64}.example",
)


@pytest.mark.parametrize("stored", NO_ADDRESSES, ids=range(len(NO_ADDRESSES)))
async def test_a_stored_address_that_is_none_fails_and_raises_nothing_else(stored: str) -> None:
    mailbox = Mailbox()
    async with smtp(mailbox) as url, mailer(url) as sender:
        with pytest.raises(BadInput):
            await sender.send(stored, "s", "t")

    assert mailbox.taken == []
