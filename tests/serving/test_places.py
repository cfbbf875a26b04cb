"""How many connections there may be, in all and of one network, and who has to go."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.raw import GET, Client, Served, a_network, served

IN_ALL = 12
OF_ONE = 4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    flags = ("--http-connections", str(IN_ALL), "--http-connections-per-network", str(OF_ONE))
    with served(tmp_path_factory.mktemp("places"), *flags) as found:
        yield found


@contextlib.contextmanager
def connected(service: Served, count: int, network: str = "") -> Iterator[list[Client]]:
    """Hold so many connections, each from a network of its own unless one is named."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(service.connect(network)) for _ in range(count)]


def is_served(client: Client) -> bool:
    client.send(GET)
    return client.answer().status == 200


def test_connections_of_one_network_are_limited_and_others_are_served(service: Served) -> None:
    network = a_network()
    with connected(service, OF_ONE, network) as mine, service.connect(network) as one_more:
        refusal = one_more.answer()

        assert (refusal.status, refusal.headers[b"retry-after"]) == (503, b"1")
        with service.connect() as other:
            assert is_served(other)
        assert all(is_served(each) for each in mine)
    assert service.metric('postbell_http_refused_total{listener="main",reason="network"}') > 0


def test_a_network_may_connect_again_when_its_connections_ended(service: Served) -> None:
    network = a_network()
    for _ in range(5):
        with connected(service, OF_ONE, network) as mine:
            assert all(is_served(each) for each in mine)
        status = 503
        for _ in range(1000):  # until it was seen that they ended
            with service.connect(network) as again:
                status = again.answer_to(GET).status
            if status == 200:
                break
        assert status == 200


def test_the_longest_idle_connection_makes_room_for_a_new_one(service: Served) -> None:
    with connected(service, IN_ALL) as idle:
        assert all(is_served(each) for each in idle[1:])

        with service.connect() as newest:
            assert is_served(newest)
            assert idle[0].rest() == b""
            assert is_served(idle[-1])


def test_the_newest_is_refused_where_all_others_are_at_work(service: Served) -> None:
    with connected(service, IN_ALL) as busy:
        for each in busy:
            each.send(b"GET /")
        status = 200
        for _ in range(1000):  # until all heads have begun
            with service.connect() as newest:
                status = newest.answer_to(GET).status
            if status == 503:
                break

        assert status == 503


def test_connections_of_a_trusted_proxy_are_limited_in_all_only(tmp_path: Path) -> None:
    network = a_network()
    flags = ("--http-connections-per-network", "2", "--trusted-proxies", network)
    with served(tmp_path, *flags) as service, connected(service, 10, network) as proxied:
        assert all(is_served(each) for each in proxied)
        with connected(service, 2, "127.0.0.3"), service.connect("127.0.0.3") as refused:
            assert refused.answer().status == 503


def test_an_ipv6_network_is_a_64(tmp_path: Path) -> None:
    with (
        served(tmp_path, "--listen", "[::]:0", "--http-connections-per-network", "2") as service,
        connected(service, 2, "127.0.0.4"),
        service.connect("127.0.0.4") as refused,
    ):
        assert refused.answer().status == 503  # IPv4 mapped into IPv6 is IPv4
        with service.connect("127.0.0.5") as other:
            assert is_served(other)
