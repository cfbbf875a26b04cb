"""Long heads of all connections together, and of one network, have only so much room."""

import contextlib
from pathlib import Path

from postbell.listening.framing import FREE_HEAD_BYTES
from tests.serving.raw import GET, Client, Served, a_network, served

ROOM_BYTES = 1 << 20
OF_ONE_BYTES = ROOM_BYTES // 16
LONG_BYTES = 30_000
LONG = GET.removesuffix(b"\r\n") + b"x: %b\r\n" % (b"y" * 15_000) * 2
HELD = 'postbell_http_connections{listener="main",state="head"}'
REFUSED = 'postbell_http_refused_total{listener="main",reason="heads_full"}'
OF_ONE = OF_ONE_BYTES // LONG_BYTES


def begin(service: Served, stack: contextlib.ExitStack, network: str) -> Client:
    """Connect, and send a long head but for its last line."""
    client = stack.enter_context(service.connect(network))
    client.send(LONG)
    return client


def test_one_network_has_a_sixteenth_and_others_are_served(tmp_path: Path) -> None:
    network = a_network()
    with (
        served(tmp_path, "--http-heads-bytes", str(ROOM_BYTES)) as service,
        contextlib.ExitStack() as stack,
    ):
        begun = [begin(service, stack, network) for _ in range(OF_ONE)]
        while service.metric(HELD) < OF_ONE:
            pass

        refusal = begin(service, stack, network).answer()
        assert (refusal.status, refusal.headers[b"retry-after"]) == (503, b"1")
        assert b"heads_full" in refusal.body
        with service.connect(network) as short:
            assert short.answer_to(GET).status == 200
        with service.connect() as other:
            assert other.answer_to(LONG + b"\r\n").status == 200
        for each in begun:
            assert each.answer_to(b"\r\n").status == 200

        for _ in range(2 * OF_ONE):  # what was answered holds nothing any more
            with service.connect(network) as again:
                assert [again.answer_to(LONG + b"\r\n").status for _ in range(2)] == [200] * 2


def test_all_networks_have_so_much_together(tmp_path: Path) -> None:
    with (
        served(tmp_path, "--http-heads-bytes", str(ROOM_BYTES)) as service,
        contextlib.ExitStack() as stack,
    ):
        count = 2 * ROOM_BYTES // LONG_BYTES
        for _ in range(count):
            begin(service, stack, a_network())
        while service.metric(HELD) + service.metric(REFUSED) < count:
            pass

        assert service.metric(HELD) * (len(LONG) - FREE_HEAD_BYTES) < ROOM_BYTES
        with service.connect() as short:
            assert short.answer_to(GET).status == 200
