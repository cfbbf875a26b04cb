"""The same over TLS: the handshake is a state with limits like the others."""

import contextlib
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.serving.raw import EVENT, GET, LIMIT_S, Served, a_network, a_strangers_head, served
from tests.wire.certificates import Authority, Key

OF_ONE = 4
FLAGS = (
    "--tls-handshake-s", "0.5",
    "--http-head-s", "0.5",
    "--http-drain-s", "0.5",
    "--http-body-grace-s", "0.5",
    "--http-connections-per-network", str(OF_ONE),
)  # fmt: skip
SOON_S = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("secured"))


@pytest.fixture(scope="module")
def service(authority: Authority) -> Iterator[Served]:
    with served(authority.file.parent, *FLAGS, tls=authority) as found:
        yield found


@pytest.mark.parametrize("begin", [b"", b"\x16\x03\x01"], ids=["nothing", "three bytes"])
def test_a_handshake_that_stops_ends(service: Served, begin: bytes) -> None:
    with service.connect(plain=True) as client:
        client.send(begin)

        assert client.ended_within() < SOON_S


def test_a_handshake_that_drips_ends(service: Served) -> None:
    with service.connect(plain=True) as client:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)

        assert client.drip(hello, every_s=0.05) < SOON_S


def test_clear_http_is_no_handshake(service: Served) -> None:
    with service.connect(plain=True) as client:
        client.send(GET)

        assert b"HTTP/1.1" not in client.rest()


def test_connections_without_a_handshake_count_for_their_network(service: Served) -> None:
    network = a_network()
    unshaken = [service.connect(network, plain=True) for _ in range(OF_ONE)]

    with service.connect(network, plain=True) as one_more, service.connect() as other:
        assert one_more.ended_within() < 0.4  # sooner than by the limit of time
        other.send(GET)
        assert other.answer().status == 200
    for each in unshaken:
        each.sock.close()


def test_a_network_that_connects_too_often_is_closed_before_tls(tmp_path: Path) -> None:
    network = a_network()
    flags = ("--http-connections-per-network", "40", "--http-connects-per-network-s", "1")
    with served(tmp_path, *flags, tls=Authority(tmp_path)) as service:
        for _ in range(60):
            service.connect(network, plain=True).sock.close()

        with service.connect(network, plain=True) as one_more, service.connect() as other:
            assert one_more.ended_within() < SOON_S  # the limit of time is twice as long
            assert other.answer_to(GET).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_says_that_its_side_is_over_reads_its_whole_answer(
    service: Served, version: ssl.TLSVersion
) -> None:
    client = Sealed(service, version)
    with contextlib.closing(client.sock):
        client.send(GET.replace(b"/healthz", b"/api/v1/openapi.json"), 4096, is_all=True)

        assert client.status() == 200


def test_events_come_in_over_tls_and_a_connection_is_kept(service: Served) -> None:
    with service.connect() as client:
        for _ in range(3):
            client.send(service.post())
            assert client.answer().status == 202


def test_a_silent_connection_over_tls_ends(service: Served) -> None:
    with service.connect() as client:
        assert client.ended_within() < SOON_S


def test_a_body_over_tls_that_stops_is_answered_and_ends(service: Served) -> None:
    with service.connect() as client:
        client.send(service.head(b"content-length: 1000\r\n") + EVENT)

        assert client.answer().status == 408
        assert client.ended_within() < SOON_S


def test_an_answer_before_the_end_of_the_body_can_be_read_over_tls(service: Served) -> None:
    with service.connect() as client:
        client.send(a_strangers_head(300_000))
        client.send(b"x" * 300_000)

        assert client.answer().status == 401
        assert client.ended_within() < SOON_S


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(
    service: Served, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=str(authority.file))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((service.host, service.port), 30) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        secured.sendall(GET)
        assert secured.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)],
    ids=["ec", "rsa"],
)
def test_a_new_certificate_is_for_new_connections_and_old_ones_go_on(
    tmp_path: Path, key: Key
) -> None:
    authority = Authority(tmp_path)
    with served(tmp_path, tls=authority) as service, service.connect() as old:
        authority.context("localhost", key=key)
        service.process.send_signal(signal.SIGHUP)
        while "certificate_read" not in service.log.read_text():
            pass

        with service.connect() as new:
            assert new.certificate() != old.certificate()
        old.send(GET)
        assert old.answer().status == 200


def test_it_ends_in_time_although_handshakes_and_requests_hang(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with (
        served(tmp_path, "--shutdown-s", "1", tls=authority) as service,
        service.connect(plain=True),
        service.connect() as silent,
        service.connect() as half,
    ):
        half.send(service.head(b"content-length: 1000\r\n"))
        silent.send(GET)
        silent.answer()

        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(20) == 0


class Sealed:
    """A TLS client that chooses its records."""

    def __init__(self, service: Served, version: ssl.TLSVersion | None = None) -> None:
        assert service.tls is not None
        context = service.tls
        if version is not None:
            context.minimum_version = context.maximum_version = version
        self.sock = socket.create_connection((service.host, service.port), timeout=LIMIT_S)
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname="localhost")
        self._until(self._tls.do_handshake)

    def _until(self, step: Any) -> Any:
        while True:
            try:
                found = step()
            except ssl.SSLWantReadError:
                self._flush()
                more = self.sock.recv(65536)
                if not more:
                    raise ConnectionResetError from None
                self._came.write(more)
            else:
                self._flush()
                return found

    def _flush(self) -> None:
        self.sock.sendall(self._goes.read())

    def send(self, data: bytes, record_bytes: int, *, is_all: bool = False) -> None:
        """Send *data* at once, in records of so many bytes, and say so where that *is_all*."""
        for at in range(0, len(data), record_bytes):
            self._tls.write(data[at : at + record_bytes])
        if is_all:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        self._flush()

    def status(self) -> int:
        """Read an answer and return its status; 0 where the connection ends instead."""
        here = b""
        try:
            while not (found := re.match(_ANSWER, here)) or len(found[3]) < int(found[2]):
                here += self._until(lambda: self._tls.read(65536)) or b""
        except (OSError, ssl.SSLError):
            return 0
        return int(found[1])


_ANSWER = re.compile(rb"HTTP/1.1 (\d+) .*?content-length: (\d+)\r\n(?:.*?\r\n)?\r\n(.*)", re.DOTALL)


@pytest.mark.parametrize(("record_bytes", "status"), [(1, 400), (200, 202), (16_384, 202)])
def test_a_body_of_tiny_records_is_refused_and_others_are_taken(
    tmp_path: Path, record_bytes: int, status: int
) -> None:
    with served(tmp_path, tls=Authority(tmp_path)) as service:
        client = Sealed(service)
        with contextlib.closing(client.sock):
            client.send(service.post(), 4096)
            assert client.status() == 202

            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.send(service.post(body=EVENT + b" " * 100_000), record_bytes)

            assert client.status() == status


HELD, HELD_BYTES = 100, 300 << 10
"""Clients, and what each may make us hold: what the kernel does not take is twice 64 KiB."""


@pytest.mark.parametrize("is_secured", [False, True], ids=["clear", "tls"])
def test_answers_that_nobody_takes_hold_little_memory(tmp_path: Path, *, is_secured: bool) -> None:
    asked = GET.replace(b"/healthz", b"/api/v1/openapi.json")
    writing = 'postbell_http_connections{listener="main",state="writing"}'
    with (
        served(tmp_path, tls=Authority(tmp_path) if is_secured else None) as service,
        contextlib.ExitStack() as stack,
    ):
        with service.connect() as client:
            assert client.answer_to(asked).status == 200
        before = resident_bytes(service)
        for _ in range(HELD):
            stack.enter_context(service.connect(buffer_bytes=4096)).send(asked * 30)
        while service.metric(writing) < HELD:
            pass

        assert resident_bytes(service) - before < HELD * HELD_BYTES


@pytest.mark.parametrize(
    ("is_secured", "each_bytes"), [(False, 40 << 10), (True, 120 << 10)], ids=["clear", "tls"]
)
def test_what_is_idle_holds_little_whatever_it_sent(
    tmp_path: Path, *, is_secured: bool, each_bytes: int
) -> None:
    with (
        served(tmp_path, tls=Authority(tmp_path) if is_secured else None) as service,
        contextlib.ExitStack() as stack,
    ):
        request = service.post(body=EVENT + b" " * 300_000)
        with service.connect() as client:
            assert [client.answer_to(request).status for _ in range(3)] == [202] * 3
        before = resident_bytes(service)
        for _ in range(2 * HELD):
            client = stack.enter_context(service.connect())
            assert client.answer_to(request).status == 202

        assert resident_bytes(service) - before < 2 * HELD * each_bytes


def resident_bytes(service: Served) -> int:
    text = Path(f"/proc/{service.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) << 10
