"""Registration: no spelling of an inside address passes, and names are judged by all they have."""

import socket
from collections.abc import Sequence

import pytest

from postbell.errors import BadInput
from postbell.signals import heard
from postbell.wire.addresses import parse_networks
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from tests.wire.conftest import Names

INSIDE_HOSTS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "0127.0.0.1",
    "2130706433",
    "2130706433.",
    "017700000001",
    "00000000017700000001",
    "0x7f000001",
    "0X7F000001",
    "0x7f.1",
    "0x7f.0.0.0x1",
    "0177.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "127.0x000001",
    "0",
    "0x",
    "0.0.0.0",
    "00.00.00.00",
    "10.0.0.1",
    "167772161",
    "0xa.1",
    "172.16.0.1",
    "192.168.0.1",
    "192.168.257",
    "3232235777",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "224.0.0.1",
    "255.255.255.255",
    "4294967295",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:10.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:c0a8:101::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "localhost",
    "LocalHost",
    "localhost.",
    "api.localhost",
    "localhost.localdomain",
    "metadata.google.internal",
    "db.internal",
    "printer.local",
    "nas.home.arpa",
    "intranet",
    "intranet.",
    "com",
]


def guard(names: Names, *networks: str) -> Guard:
    return Guard(parse_networks(networks), Resolver(names))


@pytest.mark.parametrize("host", INSIDE_HOSTS)
@pytest.mark.parametrize("form", ["http://{}/", "https://user:pw@{}:8443/a?b=c"])
async def test_an_inside_host_is_refused_in_every_spelling(
    names: Names, host: str, form: str
) -> None:
    with pytest.raises(BadInput) as raised:
        await guard(names).check(form.format(host))

    assert (raised.value.code, raised.value.member) == ("url_inside", "url")
    assert "inside" in raised.value.message
    assert "pw" not in raised.value.message.split()


@pytest.mark.parametrize(
    "url", ["https://1.1.1.1/", "https://[2606:4700::1111]/", "http://134744072/"]
)
async def test_an_ordinary_literal_passes(names: Names, url: str) -> None:
    await guard(names).check(url)

    assert names.asked == []


async def test_a_name_with_ordinary_addresses_passes(names: Names) -> None:
    names.set("hooks.example", ["93.184.216.34", "2606:2800:21f::1"])

    await guard(names).check("https://hooks.example/")

    assert names.asked == ["hooks.example"]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["93.184.216.34", "::ffff:10.0.0.1"],
        ["64:ff9b::a9fe:a9fe"],
        ["fe80::1%eth0"],
    ],
)
async def test_a_name_with_any_inside_address_is_refused(
    names: Names, addresses: Sequence[str]
) -> None:
    names.set("hooks.example", addresses)

    logged: list[dict[str, object]] = []

    with (
        heard("host_refused", logged.append),
        pytest.raises(BadInput, match="resolves to an address that is not allowed") as raised,
    ):
        await guard(names).check("https://hooks.example/")

    told = raised.value.message + repr(raised.value.values)
    assert raised.value.code == "url_inside"
    assert not [address for address in addresses if address in told]
    assert [line["address"] in addresses for line in logged] == [True]


@pytest.mark.parametrize("addresses", [[], ["10.0.0.1"], ["169.254.169.254"], ["93.184.216.34"]])
async def test_a_name_of_the_inside_is_refused_alike_whether_there_is_one_or_not(
    names: Names, addresses: Sequence[str]
) -> None:
    if addresses:
        names.set("db.internal", addresses)

    with pytest.raises(BadInput) as raised:
        await guard(names).check("https://db.internal/")

    assert raised.value.reason == "url_inside_name"
    assert raised.value.values == {"given": "db.internal"}
    assert raised.value.message == (
        "host db.internal is a name of the inside; use a host that is reachable from the internet,"
        " or have the operator list its network in POSTBELL_ALLOW_NETWORKS"
    )


async def test_a_name_that_does_not_resolve_now_passes(names: Names) -> None:
    await guard(names).check("https://not-yet.example/")

    assert names.asked == ["not-yet.example"]


async def test_a_name_behind_dns64_passes(names: Names) -> None:
    names.set("hooks.example", ["64:ff9b::5db8:d822"])

    await guard(names).check("https://hooks.example/")

    assert names.asked == ["hooks.example"]


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://10.9.8.7/", []),
        ("http://0xa.9.8.7/", []),
        ("http://[::ffff:10.9.8.7]/", []),
        ("http://hooks.example/", ["10.1.1.1", "93.184.216.34"]),
        ("http://receiver:8080/", ["10.1.1.1"]),
        ("http://api.internal/", ["10.1.1.1", "10.1.1.2"]),
        ("http://localhost:9000/", ["10.1.1.1"]),
    ],
)
async def test_an_allowed_network_lets_literals_and_names_through(
    names: Names, url: str, addresses: Sequence[str]
) -> None:
    for host in ("hooks.example", "receiver", "api.internal", "localhost"):
        names.set(host, addresses)

    await guard(names, "10.0.0.0/8").check(url)

    assert len(names.asked) == (1 if addresses else 0)


@pytest.mark.parametrize(
    "addresses", [["10.1.1.1", "192.168.1.1"], ["10.1.1.1", "93.184.216.34"], ["93.184.216.34"]]
)
async def test_a_name_of_the_inside_needs_all_its_addresses_allowed(
    names: Names, addresses: Sequence[str]
) -> None:
    names.set("receiver", addresses)

    with pytest.raises(BadInput) as raised:
        await guard(names, "10.0.0.0/8").check("http://receiver/")

    assert raised.value.code == "url_inside"


async def test_metadata_needs_its_exact_address_in_the_allow_list(names: Names) -> None:
    url = "http://169.254.169.254/latest"

    with pytest.raises(BadInput):
        await guard(names, "169.254.0.0/16", "0.0.0.0/0").check(url)
    await guard(names, "169.254.169.254/32").check(url)

    assert names.asked == []


async def test_a_bad_port_is_refused_although_the_network_is_allowed(names: Names) -> None:
    with pytest.raises(BadInput) as raised:
        await guard(names, "127.0.0.0/8").check("http://127.0.0.1:25/")

    assert raised.value.code == "url_malformed"


async def test_the_systems_own_localhost_is_inside() -> None:
    resolver = Resolver()

    with pytest.raises(BadInput, match="localhost is a name of the inside"):
        await Guard((), resolver).check("http://localhost/")

    resolver.close()


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001", "127.1"])
async def test_our_reading_of_a_literal_is_the_systems(host: str) -> None:
    packed = socket.inet_aton(host)

    with pytest.raises(BadInput, match=socket.inet_ntoa(packed)):
        await Guard((), Resolver()).check(f"http://{host}/")
