"""What is a request, and how many: messages that two servers could read differently."""

from collections.abc import Iterator

import pytest

from tests.serving.raw import EVENT, GET, Client, Served, served

CHUNKED = b"transfer-encoding: chunked\r\n"
BODY = b"%x\r\n%b\r\n0\r\n" % (len(EVENT), EVENT)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("requests")
    with served(folder, "--trusted-proxies", "127.0.0.0/8") as found:
        yield found


@pytest.fixture
def client(service: Served) -> Iterator[Client]:
    with service.connect() as found:
        yield found


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_request_that_offers_an_upgrade_keeps_its_body(
    service: Served, client: Client, chunked: bool, pieces: int
) -> None:
    h2c = (
        b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    )  # as Java's HttpClient sends it on clear HTTP
    framing = CHUNKED if chunked else b"content-length: %d\r\n" % len(EVENT)
    body = BODY + b"\r\n" if chunked else EVENT
    head = service.head(h2c + framing)

    for piece in [head + body] if pieces == 1 else [head, body]:
        client.send(piece)
    answer = client.answer()

    assert (answer.status, b'"accepted":1' in answer.body) == (202, True)
    client.send(GET)
    assert client.answer().status == 200


def test_a_body_that_looks_like_a_request_is_a_body(service: Served, client: Client) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    more = b"connection: Upgrade\r\nupgrade: websocket\r\n"

    client.send(
        service.post(more=more, body=smuggled) + b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n"
    )

    assert [client.answer().status, client.answer().status] == [400, 404]


def test_trailers_become_no_headers(service: Served, client: Client) -> None:
    trailer = b"authorization: %b\r\nx-forwarded-for: 203.0.113.9\r\n" % service.authorization
    head = service.head(CHUNKED).replace(service.authorization, b"Basic bm86bm8=")

    client.send(head + BODY + trailer + b"\r\n")
    forged = client.answer()
    client.send(service.head(CHUNKED) + BODY + b"x-forwarded-for: a\r\nx: y\r\n\r\n")
    harmless = client.answer()

    assert (forged.status, harmless.status) == (401, 202)


def test_a_client_that_expects_to_be_told_to_go_on_is_told(service: Served, client: Client) -> None:
    more = b"expect: 100-continue\r\ncontent-length: %d\r\n" % len(EVENT)
    client.send(service.head(more))
    told = client.answer()
    client.send(EVENT)

    assert (told.status, client.answer().status) == (100, 202)


def test_a_client_that_expects_to_be_told_may_hear_no_at_once(
    service: Served, client: Client
) -> None:
    more = b"expect: 100-continue\r\ncontent-length: 20000000\r\n"

    client.send(service.head(more))
    answer = client.answer()

    assert (answer.status, answer.headers[b"connection"]) == (413, b"close")
    assert client.rest() == b""


def test_empty_lines_before_a_request_are_ignored(client: Client) -> None:
    client.send(b"\r\n\r\n" + GET)
    first = client.answer()
    client.send(b"\r")
    client.send(b"\n" + GET + b"\r\n" + GET)

    assert [first.status, client.answer().status, client.answer().status] == [200] * 3


def test_an_answer_to_head_has_no_body(client: Client) -> None:
    client.send(
        b"HEAD /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /nothing HTTP/1.1\r\nhost: a\r\n\r\n"
    )

    answers = client.rest_after(b"not_found")

    assert answers.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answers.split(b"\r\n\r\n")[1].startswith(b"HTTP/1.1 404 ")


def test_a_client_that_sends_no_more_gets_its_answer(service: Served, client: Client) -> None:
    client.send(service.post())
    client.sock.shutdown(1)

    assert client.rest().startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("more", [b"", b"connection: keep-alive\r\n"])
def test_http_1_0_gets_one_answer_that_ends_with_the_connection(
    client: Client, more: bytes
) -> None:
    client.send(b"GET /healthz HTTP/1.0\r\n" + more + b"\r\n" + GET)

    answers = client.rest()

    assert answers.count(b"HTTP/1.1 ") == 1
    assert b"connection: close\r\n" in answers
    assert b"transfer-encoding" not in answers


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        (b"GET http://a.example/healthz HTTP/1.1", b"a.example", 200),
        (b"GET HTTP://A.example/healthz HTTP/1.1", b"a.example", 200),
        (b"GET http://a.example/healthz HTTP/1.1", b"b.example", 400),
        (b"GET http://a.example@b.example/healthz HTTP/1.1", b"b.example", 400),
        (b"GET ftp://a.example/healthz HTTP/1.1", b"a.example", 400),
        (b"GET healthz HTTP/1.1", b"a", 400),
        (b"GET /healthz#part HTTP/1.1", b"a", 400),
        (b"GET /\xff HTTP/1.1", b"a", 400),
        (b"GET * HTTP/1.1", b"a", 400),
        (b"OPTIONS * HTTP/1.1", b"a", 404),
        (b"CONNECT a:443 HTTP/1.1", b"a:443", 501),
        (b"get /healthz HTTP/1.1", b"a", 405),
        (b"GET /healthz HTTP/1.2", b"a", 200),
        (b"GET /healthz HTTP/1.9", b"a b", 400),
        (b"GET /healthz HTTP/2.0", b"a", 400),
        (b"GET /healthz", b"a", 400),
        (b"GET  /healthz HTTP/1.1", b"a", 400),
        (b"GET /healthz HTTP/1.1", b"a b", 400),
        (b"GET /healthz HTTP/1.1", b"a/b", 400),
        (b"GET /healthz HTTP/1.1", b"a, b", 400),
        (b"GET /healthz HTTP/1.1", b"[::1]:80", 200),
        (b"GET /healthz HTTP/1.1", b"", 200),
    ],
)
def test_targets_and_hosts(client: Client, request_line: bytes, host: bytes, status: int) -> None:
    client.send(request_line + b"\r\nhost: " + host + b"\r\n\r\n")

    assert client.answer().status == status


@pytest.mark.parametrize(
    ("more", "body", "status"),
    [
        (b"content-length: 5\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n", 400),
        (b"content-length: 5\r\ncontent-length: 6\r\n", b"12345", 400),
        (b"content-length: 5\r\ncontent-length: 5\r\n", b"12345", 400),
        (b"content-length: 5, 5\r\n", b"12345", 400),
        (b"content-length: +5\r\n", b"12345", 400),
        (b"content-length: 0x5\r\n", b"12345", 400),
        (b"content-length: \xb2\r\n", b"12", 400),
        (b"content-length: 99999999999999999999\r\n", b"12345", 400),
        (b"content-length : 5\r\n", b"12345", 400),
        (b"content-length: 5\n", b"12345", 400),
        (b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n", 501),
        (b"transfer-encoding: chunked, chunked\r\n", b"0\r\n\r\n", 400),
        (b"transfer-encoding: chunked, \r\n", b"0\r\n\r\n", 501),
        (b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n", 400),
        (b"transfer-encoding: identity\r\n", b"", 400),
        (b"transfer-encoding: xchunked\r\n", b"0\r\n\r\n", 400),
        (CHUNKED, b"5\nhello\n0\n\n", 400),
        (CHUNKED, b"5 \r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED, b"5\r\nhelloX\r\n0\r\n\r\n", 400),
        (CHUNKED, b"FFFFFFFFFFFFFFFFF\r\n", 400),
        (CHUNKED, b"0\r\nbad trailer\r\n\r\n", 400),
        (b"expect: something\r\ncontent-length: 5\r\n", b"12345", 417),
        (b"x: a\r\n b\r\n", b"", 400),
        (b"x: a\0b\r\n", b"", 400),
        (b"x: a\rb\r\n", b"", 400),
        (b"host: b\r\n", b"", 400),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(
    client: Client, more: bytes, body: bytes, status: int
) -> None:
    client.send(b"POST /api/v1/events HTTP/1.1\r\nhost: a\r\n" + more + b"\r\n" + body + GET)
    client.sock.shutdown(1)

    answers = client.rest()

    assert answers.startswith(b"HTTP/1.1 %d " % status)
    assert answers.count(b"HTTP/1.1 ") == 1


def test_http_1_0_has_no_chunks(client: Client) -> None:
    client.send(b"POST / HTTP/1.0\r\nhost: a\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + GET)

    assert client.rest().count(b"HTTP/1.1 ") == 1


def test_a_version_beyond_1_1_needs_a_host_too(client: Client) -> None:
    client.send(b"GET /healthz HTTP/1.2\r\n\r\n")

    assert client.answer().status == 400
