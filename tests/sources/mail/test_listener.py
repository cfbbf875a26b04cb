"""The listener with real clients: what is answered with 250 is durable, and nothing ends it."""

import asyncio
import contextlib
import gc
import os
import smtplib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from postbell import fences, sources
from postbell.errors import BadInput
from postbell.ports import QuarantinedFact, SourceReading, SourceState
from postbell.sources.bounces import final_id
from postbell.sources.mail import dsn as reports
from postbell.sources.mail import taking
from postbell.sources.mail.listener import MailSource, turned_away
from postbell.sources.mail.mime import MAX_MAIL_BYTES
from postbell.sources.mail.reading import MailReader
from postbell.sources.mail.smtp import (
    MAX_LINE_BYTES,
    MAX_SIZE_BYTES,
    MailConnections,
    MailTerms,
    connection,
)
from postbell.sources.running import SourceParts, Sources
from tests.delivery.rig import Rig, event, running
from tests.ingest.test_ingest import stored_ids
from tests.sources.mail.samples import FAILED, OWN, TRACER, dsn, plain
from tests.sources.test_running import LIMIT_S, row_of, stands, until
from tests.wire.certificates import Authority

T = TypeVar("T")
WHY = "no bounce, complaint, automatic answer or unsubscribe was recognised in it"
FINAL = final_id("20250822100000.1@mail.example.com", "bob@example.org")


@pytest.fixture(autouse=True)
def uncounted() -> None:
    fences.failed.clear()
    turned_away.clear()


def open_source(**members: Any) -> MailSource:
    given = {"kind": "mail", "listen": "127.0.0.1:0", "account": "acme", "api_user": "main"}
    made = sources.open(given | members, TRACER)
    assert isinstance(made, MailSource)
    return made


@contextlib.asynccontextmanager
async def listening(rig: Rig, source: MailSource) -> AsyncIterator[MailSource]:
    parts = SourceParts(
        rig.ingest, rig.engine.checkpoints, rig.engine.quarantine, rig.directory, rig.clock
    )
    task = asyncio.create_task(Sources({"bounces": source}, parts).run())

    async def listens() -> bool:
        return source.port > 0

    try:
        await until(listens)
        yield source
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def client(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


def lmtp(source: MailSource) -> smtplib.LMTP:
    return smtplib.LMTP("127.0.0.1", source.port, timeout=30)


def smtp(source: MailSource) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", source.port, timeout=30)


def deliver(connection: smtplib.SMTP, raw: bytes, *recipients: str) -> Any:
    """Hand a mail over as an MTA does, with the null sender; return the answers."""
    connection.ehlo_or_helo_if_needed()
    assert connection.docmd("MAIL FROM:<>")[0] == 250
    for recipient in recipients or ("bounce@mail.example.com",):
        assert connection.rcpt(recipient)[0] == 250
    answer = connection.data(raw.replace(b"\n", b"\r\n"))
    further = [
        connection.getreply() for _ in recipients[1:] if isinstance(connection, smtplib.LMTP)
    ]
    return [answer, *further]


async def hand_over(source: MailSource, raw: bytes, *recipients: str) -> Any:
    """Hand a mail over by LMTP; return the code of the first answer."""

    def work() -> Any:
        with lmtp(source) as connection:
            return deliver(connection, raw, *recipients)[0][0]

    return await client(work)


async def test_a_bounce_over_lmtp_is_durable_when_it_is_answered() -> None:
    async with running() as rig, listening(rig, open_source()) as source:

        def hand_over() -> Any:
            with lmtp(source) as connection:
                return deliver(connection, dsn())

        (answer,) = await client(hand_over)

        assert answer == (250, b"2.0.0 OK: durable")
        assert await stored_ids(rig) == [FINAL]
        await until(stands(rig, "bounces", taken=1, position="mail 1"))


async def test_each_recipient_is_answered_over_lmtp_and_the_mail_over_smtp() -> None:
    recipients = ("a@b.example", "c@b.example", "d@b.example")
    async with running() as rig:
        async with listening(rig, open_source()) as source:

            def each() -> Any:
                with lmtp(source) as connection:
                    return deliver(connection, dsn(), *recipients)

            assert [code for code, _ in await client(each)] == [250, 250, 250]
        async with listening(rig, open_source(protocol="smtp")) as source:

            def once() -> Any:
                with smtp(source) as connection:
                    answers = deliver(connection, dsn(), *recipients)
                    return [*answers, connection.noop()]

            assert [code for code, _ in await client(once)] == [250, 250]
        assert (await row_of(rig, "bounces")).duplicates == 1


async def test_many_at_once_are_each_an_event() -> None:
    async with running() as rig, listening(rig, open_source()) as source:
        mails = [dsn().replace(b"22100000.1@", b"221000%02d.1@" % number) for number in range(40)]

        codes = await asyncio.gather(*(hand_over(source, raw) for raw in mails))

        assert set(codes) == {250}
        assert len(set(await stored_ids(rig))) == 40


async def test_a_failure_that_the_log_told_before_is_no_second_event() -> None:
    """A source that reads a mail server's log gives the failure the same id."""
    async with running() as rig, listening(rig, open_source()) as source:
        await rig.send(event(0) | {"event_id": FINAL, "type": "hard_bounce"})

        assert await hand_over(source, dsn()) == 250
        assert await stored_ids(rig) == [FINAL]
        await until(stands(rig, "bounces", taken=0, duplicates=1))


async def test_whose_a_signed_mail_is() -> None:
    async with running() as rig, listening(rig, open_source()) as source:
        now = rig.clock.now()
        other = await rig.engine.registry.add_account("other", now)
        user = await rig.engine.registry.add_api_user(other.id, "theirs", "x", now)
        address = TRACER.local_part("b", user.id, "bob@example.org") + "@b.example"
        gone = TRACER.local_part("b", 999, "bob@example.org") + "@b.example"

        assert await hand_over(source, dsn(), address) == 250
        assert await hand_over(source, dsn(), gone) == 250
        (header,) = await rig.engine.log.tail(0, 10)
        assert (header.account_id, header.api_user_id) == (other.id, user.id)
        await until(stands(rig, "bounces", taken=1, refused=1))


async def test_a_mail_that_nobody_understands_is_taken_and_counted() -> None:
    """To refuse it would make its sender's server send a report of that to nobody."""
    async with running() as rig, listening(rig, open_source()) as source:
        assert await hand_over(source, plain("Buy now", "x@y.example")) == 250
        assert (await row_of(rig, "bounces")).refused == 1

        async def is_told() -> bool:
            return f"mail 1: {WHY}" in (await row_of(rig, "bounces")).standing.refusal

        await until(is_told)


async def test_a_report_of_too_many_is_in_quarantine_beside_its_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "MAX_RECIPIENTS", 1)
    async with running() as rig, listening(rig, open_source()) as source:
        assert await hand_over(source, dsn(FAILED, FAILED.replace("bob", "ada"))) == 250

        (kept,) = await rig.engine.quarantine.page("bounces", None, 9)
        assert (kept.code, await stored_ids(rig)) == ("too_long", [FINAL])


async def test_what_many_mails_tell_of_is_written_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nothing of a mail is in memory but its bytes before it is its turn."""
    monkeypatch.setattr(taking, "MAX_EVENTS", 4)
    two = (FAILED, FAILED.replace("bob", "ada"))
    mails = [dsn(*two, original=f"Message-ID: <{number}@a.example>\n") for number in range(5)]
    with ThreadPoolExecutor(1) as thread:
        inlet = Written()
        one = taking.Taking(inlet, MailReader(TRACER, OWN), thread)
        waiting = [asyncio.create_task(one.take(raw, "", [])) for raw in mails]
        await asyncio.sleep(0)
        run = asyncio.create_task(one.run())

        answers = await asyncio.gather(*waiting)
        run.cancel()

    assert set(answers) == {taking.TAKEN}
    assert inlet.events == [4, 4, 2]


class Written:
    """An inlet that takes everything at once."""

    checkpoint = b""

    def __init__(self) -> None:
        self.events: list[int] = []

    async def take(self, reading: SourceReading) -> None:
        self.events.append(len(reading.drafts))

    async def recall(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {}

    def report(self, state: SourceState, *, lag_bytes: int | None = None, fault: str = "") -> None:
        pass


async def test_a_mail_in_quarantine_is_read_again_with_its_envelope() -> None:
    """It came for somebody who was not there any more, and is again."""
    async with running() as rig, listening(rig, open_source()) as source:
        user = await rig.engine.registry.add_api_user(rig.account.id, "late", "x", rig.clock.now())
        address = TRACER.local_part("b", user.id + 1, "info@example.org") + "@b.example"
        assert await hand_over(source, dsn(), address) == 250
        (kept,) = await rig.engine.quarantine.page("bounces", None, 10)
        assert (kept.code, kept.place, kept.is_whole) == ("unknown_api_user", "mail 1", True)

        await rig.engine.registry.add_api_user(rig.account.id, "again", "x", rig.clock.now())
        await rig.engine.quarantine.want("bounces", None)

        await until(stands(rig, "bounces", taken=1, quarantined=0, position="mail 1"))
        assert len(await stored_ids(rig)) == 1


async def test_what_cannot_be_written_is_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "ACCEPT_S", 0.2)
    async with running() as rig, listening(rig, open_source(account="nobody")) as source:
        assert await hand_over(source, dsn()) == 451
        assert await stored_ids(rig) == []


async def test_who_waits_no_more_is_not_taken_behind_his_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mails that were answered with 451 are let go, or an outage would fill the memory; but for
    those that are being written."""
    monkeypatch.setattr(taking, "ACCEPT_S", 0.3)
    async with (
        running() as rig,
        listening(rig, open_source(account="late", api_user="late")) as source,
    ):
        mails = [dsn().replace(b"22100000.1@", b"22100000.%d@" % number) for number in range(3)]
        for raw in mails:
            assert await hand_over(source, raw) == 451
        account = await rig.engine.registry.add_account("late", rig.clock.now())
        await rig.engine.registry.add_api_user(account.id, "late", "x", rig.clock.now())
        await until(stands(rig, "bounces", taken=1, position="mail 1"))
        monkeypatch.setattr(taking, "ACCEPT_S", 30)

        for raw in mails:
            assert await hand_over(source, raw) == 250

        found = await row_of(rig, "bounces")
        assert (found.taken, found.duplicates, found.position) == (3, 1, "mail 4")


async def test_strangers_and_too_many_are_turned_away() -> None:
    async with running() as rig:
        async with listening(rig, open_source(networks=["192.0.2.0/24"])) as source:
            with pytest.raises(smtplib.SMTPConnectError) as caught:
                await client(lambda: lmtp(source))
            assert caught.value.smtp_code == 554
        async with listening(rig, open_source(max_connections=1)) as source:
            first = await client(lambda: lmtp(source))
            with pytest.raises(smtplib.SMTPConnectError) as caught:
                await client(lambda: lmtp(source))
            assert caught.value.smtp_code == 421
            await client(first.close)

            async def has_room() -> bool:
                return await client(partial(is_taken, source))

            await until(has_room)
        assert turned_away["network"] == 1
        assert turned_away["connections"] >= 1


def is_taken(source: MailSource) -> bool:
    """Say whether there is room for a connection."""
    try:
        smtp(source).close()
    except smtplib.SMTPConnectError:
        return False
    return True


class Gone(asyncio.Transport):
    """A connection whose peer has reset it before anybody looked, as uvloop tells of it."""

    is_aborted = False

    def get_extra_info(self, name: str, default: object = None) -> None:
        return None

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_who_is_gone_before_he_is_heard_is_no_error_and_nobody_turned_away(
    protocol: str,
) -> None:
    terms = MailTerms((), 1, lambda: None, nothing, refuse)
    gone, one = Gone(), connection(MailConnections(terms), protocol)

    one.connection_made(gone)
    one.data_received(b"EHLO x\r\n")
    one.connection_lost(None)

    assert gone.is_aborted


async def nothing(*_: Any) -> str:
    return ""


def refuse(*_: str) -> None:
    raise AssertionError("nobody is there")


async def test_tls_is_there_where_it_is_configured(tmp_path: Path) -> None:
    """And a certificate that was renewed is for the next connection."""
    authority = Authority(tmp_path)
    authority.context("localhost")
    file = tmp_path / "localhost.pem"
    members = {"tls_cert_file": str(file), "tls_key_file": str(file), "protocol": "smtp"}
    async with running() as rig, listening(rig, open_source(**members)) as source:

        def hand_over() -> tuple[int, str]:
            context = ssl.create_default_context(cafile=str(authority.file))
            context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
            with smtplib.SMTP("localhost", source.port, timeout=30) as connection:
                connection.ehlo()
                assert connection.has_extn("starttls")
                connection.starttls(context=context)
                connection.ehlo()
                assert not connection.has_extn("starttls")
                assert isinstance(connection.sock, ssl.SSLSocket)
                certificate = connection.sock.getpeercert() or {}
                return deliver(connection, dsn())[0][0], str(certificate["serialNumber"])

        first = await client(hand_over)
        before = file.stat().st_mtime_ns
        authority.context("localhost")
        os.utime(file, ns=(before + 1, before + 1))
        second = await client(hand_over)
        file.write_text("none")
        third = await client(hand_over)

        assert [code for code, _ in (first, second, third)] == [250, 250, 250]
        assert first[1] != second[1] == third[1]
        assert await stored_ids(rig) == [FINAL]


def heard(raw: socket.socket, end: bytes) -> None:
    """Read what is answered up to here, and nothing behind it."""
    answer = b""
    while not answer.endswith(end):
        read = raw.recv(1000)
        assert read, answer
        answer += read


async def test_what_comes_with_the_end_of_the_handshake_is_heard(tmp_path: Path) -> None:
    """Of TLS 1.3 a client may send both at once; what came in clear before is not heard."""
    authority = Authority(tmp_path)
    authority.context("localhost")
    file = str(tmp_path / "localhost.pem")
    members = {"tls_cert_file": file, "tls_key_file": file, "protocol": "smtp"}
    async with running() as rig, listening(rig, open_source(**members)) as source:

        def shake() -> bytes:
            context = ssl.create_default_context(cafile=str(authority.file))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(come, go, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", source.port), timeout=LIMIT_S) as raw:
                raw.sendall(b"EHLO x\r\n")
                heard(raw, b"250 PIPELINING\r\n")
                raw.sendall(b"STARTTLS\r\nNOOP in-clear\r\n")
                heard(raw, b"220 Ready to start TLS\r\n")
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        raw.sendall(go.read())
                        come.write(raw.recv(65536))
                tls.write(b"NOOP\r\nQUIT\r\n")
                raw.sendall(go.read())
                answers = b""
                while b"221" not in answers:
                    try:
                        answers += tls.read(1000)
                    except ssl.SSLWantReadError:
                        come.write(raw.recv(65536))
                return answers

        assert await client(shake) == b"250 OK\r\n221 Bye\r\n"


async def test_a_handshake_that_fails_is_the_peers_fault_and_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    authority.context("localhost")
    file = str(tmp_path / "localhost.pem")
    members = {"tls_cert_file": file, "tls_key_file": file, "protocol": "smtp"}

    def fail(source: MailSource, said: bytes, linger: bytes) -> None:
        with socket.create_connection(("127.0.0.1", source.port), timeout=LIMIT_S) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raw.sendall(b"EHLO x\r\n")
            heard(raw, b"250 PIPELINING\r\n")
            raw.sendall(b"STARTTLS\r\n")
            heard(raw, b"220 Ready to start TLS\r\n")
            raw.sendall(said)
            if said:
                raw.recv(1000)

    async with (
        running() as rig,
        listening(rig, open_source(max_connections=1, **members)) as source,
    ):
        for number, (said, linger) in enumerate(
            [(b"NOOP\r\n" * 9, CLOSE), (b"", CLOSE), (b"", RESET)], 1
        ):
            await client(partial(fail, source, said, linger))

            async def has_room(failed: int = number) -> bool:
                return turned_away["tls"] == failed and await client(partial(is_taken, source))

            await until(has_room)

    gc.collect()
    assert fences.failed == {}
    assert caplog.records == []


CLOSE, RESET = struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)


def say(source: MailSource, *chunks: bytes, until_end: bool = True) -> bytes:
    """Send these, and return all that is answered until the connection ends."""
    with socket.create_connection(("127.0.0.1", source.port), timeout=30) as raw:
        with contextlib.suppress(OSError):
            for chunk in chunks:
                raw.sendall(chunk)
        answer = b""
        while until_end and (read := raw.recv(65536)):
            answer += read
        return answer


HELLO = b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", b"250"),
        (b"\r\n", b"250"),
        (b"." * 10, b"250"),
        (b"x" * 300_000, b"250"),
        (b"x: " + b"y" * 10_000_000, b"250"),
        (b"\r\n" * 1_000_000, b"250"),
        (b"x: y\r\n" * 1_600_000, b"250"),
        (b"\x00\xff\xfe" * 10_000, b"250"),
        (b"x" * (MAX_SIZE_BYTES + 1), b"552"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 20_000, b"250"),
        (b"Content-Type: text/plain; charset=no-such\r\nSubject: =?x?q?=FF?=\r\n\r\n", b"250"),
    ],
    ids=range(11),
)
async def test_whatever_a_mail_is_it_is_answered_and_the_listener_lives(
    content: bytes, code: bytes
) -> None:
    async with running() as rig, listening(rig, open_source()) as source:
        ended = content + b"\r\n.\r\nQUIT\r\n"

        answers = await client(lambda: say(source, HELLO, ended))

        assert answers.splitlines()[-2].startswith(code), answers[-300:]
        if code == b"250":
            assert (await only_kept(rig)).size_bytes <= MAX_MAIL_BYTES + 4 * MAX_LINE_BYTES
        assert await hand_over(source, dsn()) == 250
        assert fences.failed == {}


async def test_lines_that_begin_with_a_dot_are_the_mails_own() -> None:
    """A client doubles it (RFC 5321 section 4.5.2)."""
    async with running() as rig, listening(rig, open_source()) as source:
        assert await hand_over(source, plain(".\n..x\n.y", "a@b.example")) == 250

        kept = await only_kept(rig)
        assert b"\r\n.\r\n..x\r\n.y\r\n" in kept.raw
        assert kept.raw.startswith(
            b"Return-Path: <>\nX-Original-To: bounce@mail.example.com\nFrom: a@b.example\r\n"
        )


async def only_kept(rig: Rig) -> QuarantinedFact:
    """Return the one mail that is in quarantine, with its bytes."""
    (kept,) = await rig.engine.quarantine.page("bounces", None, 10)
    found = await rig.engine.quarantine.find(kept.id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "wrong",
    [
        b"DATA\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<>\r\n",
        b"LHLO x\r\nDATA\r\n",
        b"LHLO x\r\nRCPT TO:<a@b.example>\r\n",
        b"LHLO x\r\nAUTH PLAIN AAAA\r\n",
        b"LHLO x\r\nSTARTTLS\r\n",
        b"\xff\xff\r\n",
        b"x" * 100_000 + b"\r\n",
        b"LHLO x\r\nMAIL FROM:<> BODY=BINARYMIME\r\n",
        b"LHLO x\r\nMAIL FROM:<> SIZE=999999999999\r\n",
    ],
)
async def test_what_is_out_of_order_is_refused(wrong: bytes) -> None:
    async with running() as rig, listening(rig, open_source()) as source:
        answers = await client(lambda: say(source, wrong, b"QUIT\r\n"))

        *_, refusal, bye = answers.splitlines()
        assert refusal[:1] in b"45" and bye.startswith(b"221"), answers
        assert fences.failed == {}


async def test_a_connection_that_says_nothing_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postbell.sources.mail.smtp.COMMAND_S", 0.3)
    async with running() as rig, listening(rig, open_source()) as source:
        for begun in (b"", b"LHLO x\r\n", HELLO + b"half a mail"):
            with contextlib.suppress(ConnectionResetError):
                await client(lambda begun=begun: say(source, begun))

        assert turned_away["time"] == 3


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    async with running() as rig, listening(rig, open_source(max_connections=1)) as source:
        for begun in (b"", b"LHLO x\r\n", HELLO, HELLO + dsn()[:300]):
            await client(lambda begun=begun: say(source, begun, until_end=False))

            async def has_room() -> bool:
                return await client(partial(is_taken, source))

            await until(has_room)

        assert await stored_ids(rig) == []


async def test_a_port_that_is_taken_is_said_and_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running() as rig:
            source = open_source(listen=f"127.0.0.1:{port}")
            parts = SourceParts(
                rig.ingest, rig.engine.checkpoints, rig.engine.quarantine, rig.directory, rig.clock
            )
            task = asyncio.create_task(Sources({"bounces": source}, parts).run())
            await until(stands(rig, "bounces", state=SourceState.FAILING))
            fault = (await row_of(rig, "bounces")).standing.fault
            taken.close()
            await until(stands(rig, "bounces", state=SourceState.UP_TO_DATE))
            task.cancel()
            await asyncio.wait((task,))

    assert f"cannot listen on 127.0.0.1:{port}" in fault


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"listen": "nowhere"}, "listen"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"max_connections": 0}, "max_connections"),
        ({"unsubscribe": ["unsubscribe.example.com"]}, "unsubscribe"),
        ({"tls_cert_file": "/x"}, "tls_cert_file"),
        ({"protocol": "http"}, "source"),
        ({"lissten": "x"}, "source"),
    ],
)
def test_wrong_members_are_named(members: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_source(**members)

    assert caught.value.member == named
