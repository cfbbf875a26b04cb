"""Names that requests ask for: on every face only our own, where that is guarded."""

import pytest

from postbell.serving.arriving import Hosts, is_forwarded
from tests.api.service import running

HOSTS = Hosts("https://bell.example.com/", ["events.example.org", "bücher.example"])


@pytest.mark.parametrize(
    "host",
    [
        "bell.example.com",
        "BELL.example.com.:8443",
        "events.example.org",
        "xn--bcher-kva.example",
        "127.0.0.1:8025",
        "[::1]:8025",
        "[fe80::1%eth0]",
        "localhost",
        "postbell:80",
        "",
    ],
)
def test_our_names_addresses_and_names_without_a_dot_are_ours(host: str) -> None:
    assert HOSTS.foreign([(b"host", host.encode()), (b"accept", b"evil.example")]) == ""


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("host", "evil.example"),
        ("host", "evil.example:80"),
        ("host", "bell.example.com.evil.example"),
        ("host", "127.0.0.1.evil.example"),
        ("host", "127.0.0.1@evil.example"),
        ("host", "bell.example.com, evil.example"),
        ("host", "bell.example.com:80:evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-host", "127.0.0.1, evil.example, 10.0.0.1"),
        ("forwarded", "for=10.0.0.1;host=evil.example"),
        ("forwarded", 'for=10.0.0.1, for=10.0.0.2;Host = "evil.example:80"'),
    ],
)
def test_no_other_name_is_wherever_it_stands(header: str, value: str) -> None:
    head = [(b"host", b"bell.example.com"), (header.encode(), value.encode())]

    assert HOSTS.foreign(head) != ""


@pytest.mark.parametrize(
    "name", ["forwarded", "x-forwarded-for", "x-forwarded-anything", "via", "x-real-ip"]
)
def test_a_proxy_shows_by_its_headers(name: str) -> None:
    assert is_forwarded([(b"host", b"here"), (name.encode(), b"")])
    assert not is_forwarded([(b"host", b"here"), (b"x-forward", b"")])


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("GET", "/api/v1/webhooks", "application/problem+json"),
        ("POST", "/api/v1/events", "application/problem+json"),
        ("GET", "/api/v1/openapi.json", "application/problem+json"),
        ("GET", "/v1/webhooks", "text/plain; charset=utf-8"),
        ("POST", "/oauth/access_token", "application/json"),
        ("GET", "/v2/email-service/webhook", "application/json"),
        ("GET", "/readyz", "application/problem+json"),
        ("GET", "/healthz", "application/problem+json"),
        ("GET", "/nothing", "application/problem+json"),
    ],
)
async def test_every_face_refuses_a_foreign_name_in_its_own_form(
    method: str, path: str, content_type: str
) -> None:
    async with running(app={"hosts": HOSTS}) as service:
        foreign = await service.call(method, path, headers={"host": "evil.example"})
        told = await service.call(method, path, headers={"x-forwarded-host": "evil.example"})
        own = await service.call(method, path, headers={"host": "bell.example.com"})

        assert (foreign.status_code, told.status_code) == (421, 421)
        assert foreign.headers["content-type"] == content_type
        assert "evil.example" in foreign.text
        assert own.status_code != 421


async def test_without_a_guard_every_name_is_answered() -> None:
    async with running() as service:
        response = await service.call("GET", "/api/v1/webhooks", headers={"host": "any.example"})

        assert response.status_code == 200
