"""Whose headers are believed: those of named networks, and of no one else; never for the host."""

from ipaddress import ip_network
from typing import Any

import pytest

from postbell.serving.proxying import TELL_EVERY_S, Trusting, Unnamed
from postbell.signals import heard
from tests.fakes import FakeClock

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
Seen = tuple[str, str, str]


async def seen(peer: str, *headers: tuple[str, str], unnamed: Unnamed | None = None) -> Seen:
    """Return client, scheme and host as an application behind it sees them."""
    found: list[Seen] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        host = next(value.decode() for name, value in scope["headers"] if name == b"host")
        found.append((scope["client"][0], scope["scheme"], host))

    raw = [(b"host", b"inside"), *((n.encode(), v.encode("latin-1")) for n, v in headers)]
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": raw}

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await Trusting(app, NETWORKS, unnamed or Unnamed(FakeClock()))(scope, nothing, nothing)
    return found[0]


FOR = "x-forwarded-for"
PROTO = ("x-forwarded-proto", "https")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], ("10.0.0.1", "http", "inside")),
        ([(FOR, "203.0.113.7")], ("203.0.113.7", "http", "inside")),
        ([(FOR, "203.0.113.7"), PROTO], ("203.0.113.7", "https", "inside")),
        (
            [(FOR, "203.0.113.7"), PROTO, ("x-forwarded-host", "bell.example.com")],
            ("203.0.113.7", "https", "inside"),
        ),
        ([(FOR, "6.6.6.6, 203.0.113.7")], ("203.0.113.7", "http", "inside")),
        ([(FOR, "6.6.6.6"), (FOR, "203.0.113.7")], ("203.0.113.7", "http", "inside")),
        ([(FOR, "6.6.6.6, 203.0.113.7, 10.1.1.1")], ("203.0.113.7", "http", "inside")),
        ([(FOR, "203.0.113.7:4711")], ("203.0.113.7", "http", "inside")),
        ([(FOR, "[2001:db8::7]:4711")], ("2001:db8::7", "http", "inside")),
        ([(FOR, "unknown")], ("10.0.0.1", "http", "inside")),
        (
            [(FOR, "203.0.113.7"), ("x-forwarded-proto", "gopher")],
            ("203.0.113.7", "http", "inside"),
        ),
        ([PROTO], ("10.0.0.1", "http", "inside")),
        (
            [("forwarded", 'for="[2001:db8::7]:47";proto=https;host="bell.example.com"')],
            ("2001:db8::7", "https", "inside"),
        ),
        (
            [("forwarded", "for=6.6.6.6;proto=http, For=203.0.113.7;Proto=https")],
            ("203.0.113.7", "https", "inside"),
        ),
        (
            [("forwarded", "for=6.6.6.6, for=203.0.113.7;proto=https, for=10.2.2.2;proto=http")],
            ("203.0.113.7", "https", "inside"),
        ),
        ([("forwarded", "for=unknown;proto=https")], ("10.0.0.1", "https", "inside")),
        ([("forwarded", '"",,;;=x')], ("10.0.0.1", "http", "inside")),
        (
            [("forwarded", "for=6.6.6.6"), (FOR, "203.0.113.7"), PROTO],
            ("10.0.0.1", "http", "inside"),
        ),
        (
            [("forwarded", "for=203.0.113.7"), (FOR, "203.0.113.7"), PROTO],
            ("203.0.113.7", "https", "inside"),
        ),
    ],
)
async def test_a_trusted_proxy_is_believed(headers: list[tuple[str, str]], expected: Seen) -> None:
    assert await seen("10.0.0.1", *headers) == expected


@pytest.mark.parametrize("peer", ["203.0.113.9", "192.168.0.1", "::2", ""])
async def test_nobody_else_is(peer: str) -> None:
    told = [(FOR, "127.0.0.1"), PROTO, ("forwarded", "for=127.0.0.1;proto=https;host=evil")]

    assert await seen(peer, *told) == (peer, "http", "inside")


async def test_an_ipv4_peer_of_an_ipv6_socket_is_recognised() -> None:
    assert (await seen("::ffff:10.0.0.1", (FOR, "203.0.113.7")))[0] == "203.0.113.7"


async def test_a_proxy_that_is_not_named_is_told_of_once_an_hour() -> None:
    clock = FakeClock()
    unnamed, told = Unnamed(clock), list[dict[str, Any]]()
    with heard("proxy_unnamed", lambda fields: told.append(dict(fields))):
        await seen("10.0.0.1", (FOR, "203.0.113.7"), unnamed=unnamed)
        await seen("203.0.113.9", unnamed=unnamed)
        nobody = unnamed.peer()
        for number in range(5):
            await seen("2001:db8::9", (FOR, f"203.0.113.{number}"), unnamed=unnamed)
        clock.advance(TELL_EVERY_S)
        await seen("203.0.113.9", PROTO, unnamed=unnamed)

    who = unnamed.peer()
    clock.advance(86_400)

    assert nobody == ""
    assert [(each["peer"], each["requests"]) for each in told] == [
        ("2001:db8::/64", 1),
        ("203.0.113.9", 5),
    ]
    assert (who, unnamed.peer()) == ("203.0.113.9", "")
