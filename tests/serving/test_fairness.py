"""One connection's many requests, and what others notice of them."""

import contextlib
import threading
from pathlib import Path

from postbell.listening.states import RULES, SILENT, State
from tests.serving.raw import GET, Client, served

PIPELINED_BYTES = 5_000_000


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


def test_every_state_has_a_limit_and_an_end() -> None:
    assert set(RULES) == set(State)
    assert {state for state in State if State.CLOSING not in RULES[state].then} == {State.CLOSING}
    assert set().union(*(rule.then for rule in RULES.values())) == set(State) - {State.HANDSHAKE}
    assert set(State) >= SILENT
