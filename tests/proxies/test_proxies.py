"""Behind nginx, HAProxy and Caddy, configured as the howto prints it: what passes, who is who."""

import gzip
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.disk import FileLimit
from tests.fakes import KEY
from tests.proxies.fronting import HOST, PASSWORD, Front, fronted, printed_settings
from tests.proxies.raw import answers, raw

AUTH = ("shop", KEY)
MIB = 1 << 20


@pytest.fixture(scope="module", params=["nginx", "haproxy", "caddy"])
def front(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Front]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    with fronted(request.param, folder, POSTBELL_HOSTS=HOST) as found:
        yield found


def test_the_howto_names_the_proxy_as_narrow_as_it_is() -> None:
    settings = printed_settings()

    assert settings["POSTBELL_TRUSTED_PROXIES"] == "127.0.0.1/32"
    assert settings["POSTBELL_PUBLIC_URL"] == f"https://{HOST}"


def test_events_arrive_whole_with_their_headers(front: Front) -> None:
    event = {"type": "delivered", "recipient": "ada@example.net", "event_id": "e1"}
    body = gzip.compress(json.dumps([event]).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    with front.client() as client:
        first = client.post("/api/v1/events", content=body, headers=headers, auth=AUTH)
        again = client.post("/api/v1/events", content=body, headers=headers, auth=AUTH)
        wrong = client.post("/api/v1/events", content=body, headers=headers, auth=("shop", "x"))

    assert (first.status_code, first.json()["accepted"]) == (202, 1)
    assert (again.status_code, again.json()["duplicates"]) == (202, 1)
    assert wrong.status_code == 401


def test_one_address_cannot_take_every_place_of_the_only_proxy_with_places(
    tmp_path_factory: Any,
) -> None:
    most = 500
    with fronted("haproxy", tmp_path_factory.mktemp("crowded")) as front, ExitStack() as stack:
        for _ in range(most + 20):
            one = stack.enter_context(socket.socket())
            one.bind(("127.3.50.1", 0))
            one.connect(("127.0.0.1", front.port))
        one.settimeout(10)
        with front.client("127.3.50.2") as other:
            answer = other.get("/healthz")

        assert answer.status_code == 200
        assert _is_refused(one)


def _is_refused(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_request_to_try_once_is_answered_once(front: Front) -> None:
    webhook = {"url": "https://hooks.example.net/in", "api_user": "all"}
    headers = {"idempotency-key": "one-of-a-kind"}
    with front.client() as client:
        made = client.post("/api/v1/webhooks", json=webhook, headers=headers, auth=AUTH)
        again = client.post("/api/v1/webhooks", json=webhook, headers=headers, auth=AUTH)

    assert made.status_code == again.status_code != 202
    assert made.json() == again.json()


def test_connections_to_the_service_are_kept(front: Front) -> None:
    with front.client() as client:
        client.get("/healthz")
        before = _connections(front.inside_port)
        for _ in range(30):
            assert client.get("/healthz").status_code == 200

    assert len(_connections(front.inside_port) - before) <= 3


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/readyz", "/%6detrics", "/%72eadyz", "//metrics", "/./readyz", "/metrics/"],
)
def test_what_an_operator_looks_at_is_not_for_customers(front: Front, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"

    (answer,) = answers(raw(front, head.encode()))

    assert answer.status in (403, 404, 308)
    assert b"postbell_" not in answer.body
    assert b"ready" not in answer.body


@pytest.mark.parametrize("size", [9 * MIB, 10 * MIB + 1000, 12 * MIB])
def test_bodies_pass_up_to_the_limit_of_ingest(front: Front, size: int) -> None:
    event = {
        "type": "delivered",
        "recipient": "ada@example.net",
        "message": {"subject": "x" * 9000},
    }
    one = json.dumps(event).encode()
    body = b"[" + b",".join([one] * (size // (len(one) + 1))) + b"]"
    body += b" " * (size - len(body))
    head = f"POST /api/v1/events HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n"
    head += f"Authorization: {httpx.BasicAuth(*AUTH)._auth_header}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"

    (answer,) = answers(raw(front, head.encode() + body))

    assert answer.status == (202 if size <= 10 * MIB else 413)


def forged(number: int) -> dict[str, str]:
    """Return headers of a client that claims to be another one, in a way of its own each time."""
    address = f"203.0.113.{number}"
    ways: list[dict[str, str]] = [
        {"x-forwarded-for": address},
        {"forwarded": f"for={address};proto=https"},
        {"x-forwarded-for": f"{address}, 127.0.0.1"},
        {"x-real-ip": address},
        {"x-forwarded-for": address, "forwarded": f"for={address}"},
        {"connection": "keep-alive, x-forwarded-for"},
        {"connection": "close, x-forwarded-proto, forwarded"},
        {"x_forwarded_for": address},
        {"x-forwarded-for": "127.0.0.1"},
        {"true-client-ip": address, "cf-connecting-ip": address, "x-client-ip": address},
    ]
    return ways[number % len(ways)]


def test_no_header_and_no_trailer_makes_a_client_another_one(front: Front) -> None:
    with front.client("127.0.0.5") as client, front.client("127.0.0.6") as other:
        tried = [_sign_in(client, headers=forged(number)) for number in range(10)]
        refused = [_sign_in(client, headers=forged(number)) for number in range(10)]
        by_trailer = [
            _sign_in_raw(front, client, b"X-Forwarded-For: 203.0.113.%d\r\n" % number)
            for number in range(3)
        ]
        elsewhere = _sign_in(other)

    assert [each.status_code for each in tried] == [422] * 10
    assert [each.status_code for each in refused] == [429] * 10
    assert all(int(each.headers["retry-after"]) > 0 for each in refused)
    assert by_trailer == [429] * 3
    assert elsewhere.status_code == 422


def test_the_audit_trail_names_the_client_not_the_proxy(front: Front) -> None:
    with front.client("127.0.0.7") as client:
        for number in range(10):
            made = client.post(
                "/api/v1/api-users", json={"name": f"u{number}"}, headers=forged(number), auth=AUTH
            )
            assert made.status_code == 201, made.text

    told = front.postbell.json("trail", "list", "--action", "api_user.created", "--actor", "shop")
    assert [each["actor"]["address"] for each in told] == ["127.0.0.7"] * 10


def test_events_arrive_over_http_2(front: Front) -> None:
    event = json.dumps([{"type": "delivered", "recipient": "ada@example.net"}])
    versions = set()
    for _ in range(3):
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--http2", "--cacert", front.authority,
             "--connect-to", f"{HOST}:443:127.0.0.1:{front.port}", "--user", ":".join(AUTH),
             "--header", "content-type: application/json", "--data", event,
             "--write-out", " %{http_version} %{http_code}", f"https://{HOST}/api/v1/events"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        versions.add(done.stdout.split()[-2])
        assert done.stdout.endswith(" 202"), (done.stdout, done.stderr)

    assert versions <= {"1.1", "2"}


def test_no_header_makes_the_service_another_one(front: Front) -> None:
    claims = (
        {"x-forwarded-host": "evil.example"},
        {"forwarded": "for=1.2.3.4;host=evil.example"},
        {"x-forwarded-proto": "gopher"},
    )
    with front.client() as client:
        own = [client.get("/login", headers=claim) for claim in claims]
        foreign = client.get("/login", headers={"host": "evil.example"})

    assert [each.status_code for each in own] == [200] * 3
    assert all(each.headers["strict-transport-security"] for each in own)
    assert "evil.example" not in "".join(each.text for each in own)
    assert "password" not in foreign.text


def test_an_owner_signs_in_over_tls(front: Front) -> None:
    with front.client("127.0.0.9") as client:
        answer = _sign_in(client, email="bank@example.com", password=PASSWORD)
        inside = client.get("/webhooks")

    cookies = answer.headers.get_list("set-cookie")
    assert answer.status_code == 303
    assert all(each.startswith("__Host-") and "Secure" in each for each in cookies)
    assert inside.status_code == 200


def test_503_comes_with_when_to_try_again(front: Front) -> None:
    disk = FileLimit()
    event = [{"type": "delivered", "recipient": "ada@example.net", "message": {"id": "full"}}]
    with front.client() as client:
        disk.fill(front.pid)
        refused = client.post("/api/v1/events", json=event, auth=AUTH)
        disk.free(front.pid)

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["code"] == "storage"


def _sign_in(
    client: httpx.Client,
    email: str = "shop@example.com",
    password: str = "wrong horse battery",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    form = {"csrf": _token(client), "email": email, "password": password}
    return client.post("/login", data=form, headers=headers or {})


def _sign_in_raw(front: Front, client: httpx.Client, trailer: bytes) -> int:
    """Sign in with a chunked body and a trailer; return the status."""
    form = httpx.Request(
        "POST",
        "http://x",
        data={"csrf": _token(client), "email": "shop@example.com", "password": "no"},
    ).content
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    head = (
        f"POST /login HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookies}\r\n"
        "Transfer-Encoding: chunked\r\nTrailer: X-Forwarded-For\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        "Connection: close\r\n\r\n"
    )
    chunked = b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(form), form, trailer)
    (answer,) = answers(raw(front, head.encode() + chunked, address="127.0.0.5"))
    return answer.status


def _token(client: httpx.Client) -> str:
    page = client.get("/login")
    return page.text.split('name="csrf" value="')[1].split('"')[0]


def _connections(port: int) -> set[str]:
    """Return the far ends of connections to a port of loopback, those just closed included."""
    ends = (line.split()[1:3] for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    here = f"0100007F:{port:04X}"
    return {far for near, far in ends if near == here}
