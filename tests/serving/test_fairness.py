"""One connection's many requests, and what others notice of them."""

import contextlib
import socket
import threading
from pathlib import Path

from postbell.serving.listening.states import RULES, SILENT, State
from tests.serving.raw import GET, LIMIT_S, Client, a_network, served

PIPELINED_BYTES = 5_000_000
FLOOD, EACH = 200, 99
KEPT = 2 * EACH
"""Requests of another, one after another: more than each of the flood's connections has."""
STORED = 80
"""Events of another, one after another; each waits for a thread that writes it."""


def count_answers(client: Client, counted: list[int]) -> None:
    with contextlib.suppress(OSError):
        while data := client.sock.recv(1 << 16):
            counted[0] += data.count(b"HTTP/1.1 200")


def send_all(client: Client, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sock.sendall(data)


def test_others_have_their_turn_while_one_connection_sends_megabytes_of_requests(
    tmp_path: Path,
) -> None:
    total = PIPELINED_BYTES // len(GET)
    counted = [0]
    with (
        served(tmp_path, "--http-in-row", "1000000") as service,
        service.connect() as flood,
        service.connect() as other,
    ):
        threads = [
            threading.Thread(target=send_all, args=(flood, GET * total)),
            threading.Thread(target=count_answers, args=(flood, counted)),
        ]
        for thread in threads:
            thread.start()
        while not counted[0]:
            other.send(GET)
            other.answer()
        for _ in range(20):
            other.send(service.post())
            assert other.answer().status == 202
        while_others_were_served = counted[0]
        flood.sock.shutdown(2)
        for thread in threads:
            thread.join()

    assert 0 < while_others_were_served < total


def test_another_network_has_its_turn_while_one_pipelines_on_hundreds_of_connections(
    tmp_path: Path,
) -> None:
    network = a_network()
    with served(tmp_path) as service, contextlib.ExitStack() as stack:
        kept = stack.enter_context(service.connect())
        assert kept.answer_to(GET).status == 200
        flood = [stack.enter_context(service.connect(network)) for _ in range(FLOOD)]
        for each in flood:
            each.send(GET * EACH)

        for _ in range(KEPT):
            assert kept.answer_to(GET).status == 200
        answered = sum(answers_here(each) for each in flood)
        for each in flood:
            assert all(each.answer().status == 200 for _ in range(EACH))

    assert answered < FLOOD * EACH


def test_what_threads_do_for_another_network_goes_on_while_one_pipelines(tmp_path: Path) -> None:
    network = a_network()
    with served(tmp_path) as service, contextlib.ExitStack() as stack:
        kept = stack.enter_context(service.connect())
        assert kept.answer_to(service.post()).status == 202
        flood = [stack.enter_context(service.connect(network)) for _ in range(FLOOD)]
        for each in flood:
            each.send(GET * EACH)

        for _ in range(STORED):
            assert kept.answer_to(service.post()).status == 202
        answered = sum(answers_here(each) for each in flood)

    assert answered < FLOOD * EACH


def answers_here(client: Client) -> int:
    """Count the answers that came so far, without taking them."""
    client.sock.setblocking(False)
    try:
        return client.sock.recv(1 << 20, socket.MSG_PEEK).count(b"HTTP/1.1 200")
    except BlockingIOError:
        return 0
    finally:
        client.sock.settimeout(LIMIT_S)


def test_every_state_has_a_limit_and_an_end() -> None:
    assert set(RULES) == set(State)
    assert {state for state in State if State.CLOSING not in RULES[state].then} == {State.CLOSING}
    assert set().union(*(rule.then for rule in RULES.values())) == set(State) - {State.HANDSHAKE}
    assert set(State) >= SILENT
