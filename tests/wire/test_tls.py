"""HTTPS: who is not who the URL says is not spoken to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from postbell.wire.certificates import names_hosts
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from postbell.wire.sender import CurlSender
from postbell.wire.urls import Target
from tests.wire.certificates import Authority
from tests.wire.conftest import LOOPBACK, MakeSender, Names, Serve, post
from tests.wire.receiver import OK, Line, Receiver, answering


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def sender(
    make_sender: MakeSender, authority: Authority, names: Names
) -> AsyncIterator[CurlSender]:
    names.set("hooks.example", ["127.0.0.1"])
    yield make_sender(ca_file=str(authority.file), connect_timeout_s=1.0)


async def test_a_good_certificate_is_taken_and_the_name_is_sent(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    context = authority.context("hooks.example")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    receiver = await serve(answering(OK), tls=context)

    outcomes = [await sender.send(post(receiver.url(host="hooks.example"))) for _ in range(3)]

    assert [outcome.status for outcome in outcomes] == [200] * 3
    assert asked == ["hooks.example"]
    assert 0 < outcomes[0].phases_ms[1] < outcomes[0].phases_ms[2] <= outcomes[0].phases_ms[3]


async def assert_refused(receiver: Receiver, sender: CurlSender) -> None:
    outcome = await sender.send(post(receiver.url(host="hooks.example")))

    assert (outcome.status, outcome.error) == (None, "tls")
    assert outcome.detail
    assert receiver.got == []


async def test_a_certificate_for_another_name_is_refused(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    receiver = await serve(answering(OK), tls=authority.context("other.example"))

    await assert_refused(receiver, sender)


class SecondLook(Guard):
    """Lets sockets be made and refuses the connection on them, until it `is_open`."""

    is_open = False
    looks = 0

    async def vet(self, target: Target) -> tuple[str, ...]:
        return ("127.0.0.1",)

    def refusal(self, address: str) -> str:
        self.looks += 1
        return "" if self.is_open or self.looks % 2 else "shut"


async def test_connections_refused_before_their_request_stop_no_other(
    serve: Serve, make_sender: MakeSender, authority: Authority
) -> None:
    receiver = await serve(answering(OK), tls=authority.context("hooks.example"))
    guard = SecondLook(LOOPBACK, Resolver())
    sender = make_sender(guard=guard, ca_file=str(authority.file))
    request = post(receiver.url(host="hooks.example"))
    async with asyncio.timeout(5):
        refused = [await sender.send(request) for _ in range(3)]
        guard.is_open = True

        outcome = await sender.send(request)

    assert [each.error for each in refused] == ["refused_address"] * 3
    assert outcome.status == 200


@pytest.mark.parametrize(
    "given",
    [
        [],
        [x509.RFC822Name("postmaster@hooks.example")],
        [x509.UniformResourceIdentifier("https://x/, DNS:hooks.example")],
        [x509.UniformResourceIdentifier("DNS:hooks.example")],
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_that_names_the_host_only_in_its_common_name_is_refused(
    serve: Serve,
    sender: CurlSender,
    authority: Authority,
    given: list[x509.GeneralName],
    version: ssl.TLSVersion,
) -> None:
    context = authority.context("hooks.example", names=given)
    context.minimum_version = context.maximum_version = version
    receiver = await serve(answering(OK), tls=context)

    for _ in range(3):  # neither the connection nor its session is used again
        await assert_refused(receiver, sender)


CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


async def test_every_new_connection_is_looked_at_before_its_request(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    good = authority.context("hooks.example")
    bad = authority.context("hooks.example", names=[])
    shown = [good]

    def choose(socket: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        socket.context = shown[0]

    front = authority.context("hooks.example")
    front.sni_callback = choose
    receiver = await serve(answering(CLOSING), tls=front)
    request = post(receiver.url(host="hooks.example"))
    before = await sender.send(request)
    shown[0] = bad

    during = await sender.send(request)
    shown[0] = good
    after = await sender.send(request)

    assert [each.status for each in (before, during, after)] == [200, None, 200]
    assert during.error == "tls"
    assert len(receiver.got) == 2


@pytest.mark.parametrize(
    "first",
    [
        x509.RFC822Name("postmaster@hooks.example"),
        x509.UniformResourceIdentifier("https://hooks.example/"),
        x509.DNSName("other.example"),
        x509.IPAddress(ip_address("192.0.2.1")),
    ],
)
async def test_a_host_among_other_names_of_a_certificate_is_found(
    serve: Serve, sender: CurlSender, authority: Authority, first: x509.GeneralName
) -> None:
    context = authority.context("other.example", names=[first, x509.DNSName("hooks.example")])
    receiver = await serve(answering(OK), tls=context)

    outcome = await sender.send(post(receiver.url(host="hooks.example")))

    assert outcome.status == 200


async def test_an_address_needs_a_certificate_that_names_it(
    serve: Serve, make_sender: MakeSender, authority: Authority
) -> None:
    sender = make_sender(ca_file=str(authority.file))
    named = authority.context("named", names=[x509.IPAddress(ip_address("127.0.0.1"))])
    good = await serve(answering(OK), tls=named)
    bad = await serve(answering(OK), tls=authority.context("127.0.0.1", names=[]))

    outcomes = [await sender.send(post(receiver.url())) for receiver in (good, bad)]

    assert [(each.status, each.error) for each in outcomes] == [(200, ""), (None, "tls")]


async def test_an_expired_certificate_is_refused(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    context = authority.context("hooks.example", starts=timedelta(days=-2), ends=timedelta(days=-1))
    receiver = await serve(answering(OK), tls=context)

    await assert_refused(receiver, sender)


async def test_a_certificate_of_tomorrow_is_refused(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    context = authority.context("hooks.example", starts=timedelta(days=1), ends=timedelta(days=2))
    receiver = await serve(answering(OK), tls=context)

    await assert_refused(receiver, sender)


async def test_a_certificate_of_an_unknown_authority_is_refused(
    serve: Serve, sender: CurlSender, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "Stranger")
    receiver = await serve(answering(OK), tls=stranger.context("hooks.example"))

    await assert_refused(receiver, sender)


async def test_the_public_authorities_do_not_know_the_tests(
    serve: Serve, make_sender: MakeSender, authority: Authority, names: Names
) -> None:
    names.set("hooks.example", ["127.0.0.1"])
    receiver = await serve(answering(OK), tls=authority.context("hooks.example"))

    await assert_refused(receiver, make_sender())


async def test_old_versions_of_tls_are_refused(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    context = authority.context("hooks.example")
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    receiver = await serve(answering(OK), tls=context)

    await assert_refused(receiver, sender)


async def test_a_plain_receiver_behind_https_is_tls(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK))
    url = receiver.url(host="hooks.example").replace("http:", "https:")

    async def answer_anything(receiver: Receiver, line: Line) -> None:
        await line.reader.read(100)
        await line.say(b"HTTP/1.1 400 Bad\r\n\r\n")

    receiver.script = answer_anything
    outcome = await sender.send(post(url))

    assert (outcome.status, outcome.error) == (None, "tls")


async def test_a_handshake_that_hangs_is_tls_at_the_connect_timeout(
    serve: Serve, make_sender: MakeSender, names: Names
) -> None:
    async def silent(receiver: Receiver, line: Line) -> None:
        await line.reader.read()

    names.set("hooks.example", ["127.0.0.1"])
    receiver = await serve(silent)
    url = receiver.url(host="hooks.example").replace("http:", "https:")

    outcome = await make_sender(connect_timeout_s=0.3).send(post(url))

    assert (outcome.status, outcome.error) == (None, "tls")
    assert 290 <= outcome.phases_ms[4] < 1500


async def test_http_1_1_is_spoken_over_tls(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    context = authority.context("hooks.example")
    context.set_alpn_protocols(["h2", "http/1.1"])
    receiver = await serve(answering(OK), tls=context)

    outcome = await sender.send(post(receiver.url(host="hooks.example")))

    assert outcome.status == 200
    assert receiver.got[0].line == b"POST /hook HTTP/1.1"


async def test_many_handshakes_at_once_succeed(
    serve: Serve, sender: CurlSender, authority: Authority
) -> None:
    receiver = await serve(answering(OK), tls=authority.context("hooks.example"))
    request = post(receiver.url(host="hooks.example"))

    outcomes = await asyncio.gather(*(sender.send(request) for _ in range(40)))

    assert {outcome.status for outcome in outcomes} == {200}


SAN = "X509v3 Subject Alternative Name"


@pytest.mark.parametrize(
    ("chain", "is_named"),
    [
        ([], False),
        ([()], False),
        ([((SAN, "DNS:hooks.example"),)], True),
        ([((SAN, "IP Address:192.0.2.1"),)], True),
        ([((SAN, "DNS:a.example"), (SAN, "DNS:b.example"))], False),
        ([((SAN, "URI:x, DNS:a.example"), ("Cert", "no certificate"))], False),
        ([(("Subject", "CN = a.example"),), ((SAN, "DNS:a.example"),)], False),
    ],
)
def test_only_the_receivers_own_certificate_counts(
    chain: list[tuple[tuple[str, str], ...]], is_named: bool
) -> None:
    assert names_hosts(chain) is is_named
