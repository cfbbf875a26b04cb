"""One test for each state of a connection and each limit: what a peer does, and that it ends.

The service is the real one, with limits of a fraction of a second; every wait is for the server
to close.
"""

from collections.abc import Iterator

import pytest

from tests.serving.raw import EVENT, GET, LIMIT_S, Client, Served, a_strangers_head, served

LIMITS = {
    "--http-head-s": 0.5,
    "--http-idle-s": 0.5,
    "--http-body-grace-s": 0.5,
    "--http-body-bytes-s": 100_000,
    "--http-write-s": 0.5,
    "--http-drain-s": 0.5,
    "--http-drain-bytes": 2_000_000,
    "--http-in-row": 20,
}
FLAGS = [word for flag, value in LIMITS.items() for word in (flag, str(value))]
SOON_S = 5.0
"""Far beyond the limits in force, far below the defaults."""
MORE_THAN_BUFFERS_HOLD = 50_000_000
"""Bytes that leave before a busy server has read any of them are in the kernel's buffers."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("states"), *FLAGS) as found:
        yield found


@pytest.fixture
def client(service: Served) -> Iterator[Client]:
    with service.connect() as found:
        yield found


def ended(service: Served, limit: str) -> float:
    return service.metric(f'postbell_http_ended_total{{limit="{limit}",listener="main"}}')


def refused(service: Served, reason: str) -> float:
    return service.metric(f'postbell_http_refused_total{{listener="main",reason="{reason}"}}')


def test_a_silent_connection_ends(service: Served, client: Client) -> None:
    before = ended(service, "fresh")

    assert client.ended_within() < SOON_S
    assert ended(service, "fresh") > before


def test_a_head_that_drips_is_refused_although_bytes_come(service: Served, client: Client) -> None:
    before = ended(service, "head")

    lasted_s = client.drip(b"GET / HTTP/1.1\r\nx: " + b"y" * 1000, every_s=0.05)

    assert lasted_s < SOON_S
    assert client.rest().startswith(b"HTTP/1.1 408 ")
    assert ended(service, "head") > before


def test_a_head_that_is_too_long_is_refused(client: Client) -> None:
    lines = (b"x%d: %b\r\n" % (n, b"y" * 999) for n in range(70))
    client.send(b"GET / HTTP/1.1\r\n" + b"".join(lines))

    assert client.answer().status == 431


def test_an_idle_connection_ends(service: Served, client: Client) -> None:
    before = ended(service, "idle")
    client.send(GET)
    client.answer()

    assert client.ended_within() < SOON_S
    assert ended(service, "idle") > before


@pytest.mark.parametrize("stray", [b"\r\n", b"\r", b"\n", b"G", b"\r\n\r\n"])
def test_a_stray_byte_after_an_answer_does_not_keep_a_connection(
    client: Client, stray: bytes
) -> None:
    client.send(GET)
    client.answer()
    client.send(stray)

    assert client.ended_within() < SOON_S


def test_empty_lines_that_drip_do_not_keep_a_connection(client: Client) -> None:
    client.send(GET)
    client.answer()

    assert client.drip(b"\r\n" * 100, every_s=0.05) < SOON_S


def test_a_byte_after_an_answer_that_came_early_does_not_keep_a_connection(
    service: Served, client: Client
) -> None:
    client.send(a_strangers_head(100))
    answer = client.answer()

    lasted_s = client.drip(b"x" * 1000, every_s=0.05)

    assert (answer.status, answer.headers[b"connection"]) == (401, b"close")
    assert lasted_s < SOON_S


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_stops_is_answered_and_ends(
    service: Served, client: Client, chunked: bool
) -> None:
    before = ended(service, "body")
    framing = b"transfer-encoding: chunked\r\n" if chunked else b"content-length: 1000\r\n"
    client.send(service.head(framing) + (b"3e8\r\n" if chunked else b"") + EVENT)

    answer = client.answer()

    assert answer.status == 408
    assert b"body_timeout" in answer.body
    assert client.ended_within() < SOON_S
    assert ended(service, "body") > before


def test_a_body_that_drips_is_too_slow_although_bytes_come(service: Served, client: Client) -> None:
    client.send(service.head(b"content-length: 1000\r\n"))

    assert client.drip(b" " * 1000, every_s=0.05) < SOON_S
    assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_keeps_the_rate_may_take_longer_than_the_grace(
    service: Served, client: Client
) -> None:
    size = 300_000
    client.send(service.head(b"content-length: %d\r\n" % size))
    client.sock.settimeout(0.05)
    for _ in range(size // 10_000 - 1):  # 200 kB/s, for three times the grace
        client.send(b" " * 10_000)
        with pytest.raises(TimeoutError):
            raise AssertionError(client.sock.recv(1000))
    client.sock.settimeout(LIMIT_S)
    client.send(b" " * 10_000)

    assert client.answer().status == 400  # nothing but spaces is no JSON


@pytest.mark.parametrize(
    "endless",
    [b"X: y\r\n", b"y" * 100, b"a: " + b"b" * 5000 + b"\r\n"],
    ids=["many", "one", "long"],
)
def test_trailers_without_end_are_refused(service: Served, client: Client, endless: bytes) -> None:
    before = refused(service, "framing_too_long") + refused(service, "malformed_request")
    client.send(service.head(b"transfer-encoding: chunked\r\n") + b"0\r\nX: y")
    sent = 0
    try:
        while sent < MORE_THAN_BUFFERS_HOLD:
            client.send(endless)
            sent += len(endless)
    except OSError:
        pass

    assert sent < MORE_THAN_BUFFERS_HOLD
    assert client.ended_within() < SOON_S
    assert refused(service, "framing_too_long") + refused(service, "malformed_request") > before


def test_chunk_extensions_without_end_are_refused(service: Served, client: Client) -> None:
    client.send(service.head(b"transfer-encoding: chunked\r\n"))
    chunk = b"1;" + b"x" * 200 + b"\r\n \r\n"
    client.send(chunk * 100)

    assert client.answer().status == 400


def test_an_answer_that_nobody_reads_ends(service: Served) -> None:
    before = ended(service, "writing")
    with service.connect(buffer_bytes=4096) as client:
        client.send(b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 19)
        while ended(service, "writing") == before:
            pass

        assert client.ended_within() < SOON_S


def test_requests_in_a_row_that_wait_for_no_answer_are_limited(client: Client) -> None:
    client.send(GET * 50)

    answers = client.rest()

    assert answers.count(b"HTTP/1.1 200 OK") == LIMITS["--http-in-row"] + 1
    assert answers.count(b"connection: close") == 1


def test_requests_in_a_row_are_answered_in_their_order(client: Client) -> None:
    paths = [b"/healthz", b"/nothing", b"/readyz", b"/api/v1/nothing"] * 4
    client.send(b"".join(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path for path in paths))

    assert [client.answer().status for _ in paths] == [200, 404, 200, 404] * 4


def test_what_comes_after_a_last_answer_is_read_only_so_far(
    service: Served, client: Client
) -> None:
    client.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    sent = 0
    try:
        while sent < MORE_THAN_BUFFERS_HOLD:
            sent += client.sock.send(b"x" * 65_536)
    except OSError:
        pass

    assert sent < MORE_THAN_BUFFERS_HOLD


def test_a_client_that_sends_its_body_first_can_read_the_answer_to_its_head(
    client: Client,
) -> None:
    client.send(a_strangers_head(1_500_000))
    client.send(b"x" * 1_500_000)

    assert client.answer().status == 401
