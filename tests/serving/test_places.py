"""How many connections there may be, in all and of one network, and who has to go."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from postbell.serving.listening import Door
from postbell.serving.listening.connects import Connects
from postbell.serving.listening.states import State
from postbell.settings.limits import PeerLimits
from tests.serving.raw import GET, OFTEN, Client, Served, a_network, served

IN_ALL = 12
OF_ONE = 4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    flags = ("--http-connections", str(IN_ALL), "--http-connections-per-network", str(OF_ONE))
    with served(tmp_path_factory.mktemp("places"), *flags, *OFTEN) as found:
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
    while "connections_limited" not in service.log.read_text():
        with service.connect(network) as client:  # told at most every 10 s, of what is new
            client.send(GET)
            client.answer()


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
        assert all(is_served(each) for each in idle)

        with service.connect() as newest:
            assert is_served(newest)
            assert all(is_served(each) for each in idle[1:])
            assert idle[0].rest() == b""


HALF = {
    "head": b"POST /login HTTP/1.1\r\nHost: x\r\nX-Half: ",
    "body": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\na",
    "draining": b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na",
}


@pytest.mark.parametrize("state", HALF)
def test_those_that_come_no_further_make_room_before_those_that_do(
    service: Served, state: str
) -> None:
    with connected(service, 2) as good, connected(service, IN_ALL - 2) as stuck:
        assert all(is_served(each) for each in good)
        for each in stuck:
            each.send(HALF[state])
        held = f'postbell_http_connections{{listener="main",state="{state}"}}'
        for _ in range(1000):
            if service.metric(held) >= IN_ALL - 4:  # the metrics' own connection took a place
                break

        for _ in range(5):
            with service.connect() as newest:
                assert is_served(newest)
        assert all(is_served(each) for each in good)


def test_the_newest_is_refused_where_all_others_are_at_work() -> None:
    class AtWork:
        state = State.ANSWERING
        deadline_s = 0.0

        def expire(self) -> None:
            raise AssertionError

        def make_room(self) -> None:
            raise AssertionError

    door = Door(PeerLimits(http_connections=2))
    for number in range(2):
        door.admit(AtWork(), f"198.51.100.{number}")

    with pytest.raises(LookupError, match="all"):
        door.admit(AtWork(), "198.51.100.7")


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


def is_heard(service: Served, network: str) -> bool:
    """Connect, ask and end; return whether there was an answer."""
    with service.connect(network) as client:
        try:
            client.send(GET)
            return client.answer().status == 200
        except (OSError, EOFError):
            return False


def test_a_network_that_connects_too_often_is_closed_unheard_and_others_are_served(
    tmp_path: Path,
) -> None:
    network = a_network()
    flags = ("--http-connections-per-network", "6", "--http-connects-per-network-s", "1")
    with served(tmp_path, *flags) as service:
        with service.connect(network) as kept:
            heard = [is_heard(service, network) for _ in range(40)]

            assert heard[:5] == [True] * 5
            assert heard.count(False) > 20
            assert is_served(kept)
        with service.connect() as other:
            assert is_served(other)
        refused = 'postbell_http_refused_total{listener="main",reason="connects"}'
        assert service.metric(refused) == heard.count(False)
        while not is_heard(service, network):
            """Until a second has filled the bucket by one."""


def test_a_trusted_proxy_connects_as_often_as_it_likes(tmp_path: Path) -> None:
    network = a_network()
    flags = ("--http-connections-per-network", "2", "--http-connects-per-network-s", "1")
    with served(tmp_path, *flags, "--trusted-proxies", network) as service:
        assert all(is_heard(service, network) for _ in range(40))


def test_a_bucket_of_connects_fills_again_at_its_rate_and_is_forgotten_when_full() -> None:
    connects = Connects(rate_s=50, burst=3)

    assert [connects.may("a", 100.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert connects.may("b", 100.0)
    assert [connects.may("a", 100.021) for _ in range(2)] == [True, False]
    connects.forget(100.021)
    assert len(connects) == 1
    connects.forget(100.1)
    assert len(connects) == 0
    assert [connects.may("a", 1000.0) for _ in range(5)] == [True] * 3 + [False] * 2


def test_a_listener_for_metrics_is_limited_and_counted_by_itself(tmp_path: Path) -> None:
    flags = ("--metrics-listen", "127.0.0.1:0", "--http-connections-per-network", "3")
    with served(tmp_path, *flags) as service:
        lines = service.log.read_text().splitlines()
        started = next(line for line in lines if '"started"' in line)
        host, _, port = json.loads(started)["metrics"].rpartition(":")
        metrics = service._replace(host=host, port=int(port))
        network = a_network()

        with connected(service, 3, network), connected(metrics, 3, network) as mine:
            with metrics.connect(network) as refused:
                assert refused.answer().status == 503
            text = mine[0].answer_to(GET.replace(b"/healthz", b"/metrics")).body

    assert b'postbell_http_connections{listener="main",state="fresh"} 3.0' in text
    assert b'postbell_http_connections{listener="metrics",state="fresh"} 2.0' in text
    assert b'postbell_http_refused_total{listener="metrics",reason="network"} 1.0' in text
