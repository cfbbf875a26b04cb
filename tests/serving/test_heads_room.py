"""Long heads of all connections together, and of one network, have only so much room."""

import contextlib
import random
from pathlib import Path

import pytest

from postbell.serving.listening.framing import FREE_HEAD_BYTES
from postbell.serving.listening.refusals import Refusal
from postbell.serving.listening.room import HeadRoom, Heads
from tests.serving.raw import GET, Client, Served, a_network, served

ROOM_BYTES = 1 << 20
OF_ONE_BYTES = ROOM_BYTES // 16
LONG_BYTES = 30_000
LONG = GET.removesuffix(b"\r\n") + b"x: %b\r\n" % (b"y" * 15_000) * 2
MORE_BYTES = 2000
MIDDLING = GET.removesuffix(b"\r\n") + b"x: %b\r\n" % (b"y" * (FREE_HEAD_BYTES + MORE_BYTES))
HELD = 'postbell_http_connections{listener="main",state="head"}'
REFUSED = 'postbell_http_refused_total{listener="main",reason="heads_full"}'
OF_ONE = OF_ONE_BYTES // LONG_BYTES


def begin(service: Served, stack: contextlib.ExitStack, network: str, head: bytes = LONG) -> Client:
    """Connect, and send a long head but for its last line."""
    client = stack.enter_context(service.connect(network))
    client.send(head)
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


def test_the_network_that_holds_most_gives_way_to_one_that_holds_less(tmp_path: Path) -> None:
    with (
        served(tmp_path, "--http-heads-bytes", str(ROOM_BYTES)) as service,
        contextlib.ExitStack() as stack,
    ):
        oldest = begin(service, stack, a_network())
        while service.metric(HELD) < 1:
            pass
        while not service.metric(REFUSED):
            begin(service, stack, a_network())
        for _ in range(LONG_BYTES // MORE_BYTES + 1):
            begin(service, stack, a_network(), MIDDLING)

        gone = oldest.answer()
        with service.connect() as other:
            status = other.answer_to(MIDDLING + b"\r\n").status

        assert (gone.status, b"heads_full" in gone.body) == (503, True)
        assert status == 200


class Holding:
    """Heads of a test, and who was told to give way."""

    def __init__(self, max_bytes: int) -> None:
        self._heads = Heads(max_bytes)
        self.rooms: dict[str, HeadRoom] = {}
        self.gone: list[str] = []

    def hold(self, name: str, network: str, size_bytes: int) -> None:
        room = self.rooms.setdefault(name, HeadRoom(self._heads))

        def go(_refusal: Refusal) -> None:
            self.gone.append(name)
            assert room.leave()

        room.hold(FREE_HEAD_BYTES + size_bytes, network, go)

    @property
    def held_bytes(self) -> int:
        return self._heads.held_bytes


def test_what_we_work_on_and_what_holds_as_little_does_not_give_way() -> None:
    holding = Holding(1600)
    for number in range(16):
        holding.hold(f"{number}", f"{number}", 100)
    holding.rooms["0"].keep(may_go=False)

    with pytest.raises(Refusal):
        holding.hold("as much", "x", 64)
    assert not holding.gone
    holding.hold("less", "y", 63)
    holding.rooms["0"].keep(may_go=True)
    holding.hold("less still", "z", 40)
    holding.hold("last", "w", 50)

    assert holding.gone == ["1", "2"]


def test_all_that_was_held_is_given_back_in_whatever_order() -> None:
    chance = random.Random(1)
    holding = Holding(16_000)
    for step in range(5000):
        name = f"{chance.randrange(60)}"
        kept = holding.rooms.get(name)
        if kept is not None and chance.random() < 0.4:
            kept.leave()
            del holding.rooms[name]
            continue
        if kept is not None and chance.random() < 0.3:
            kept.keep(may_go=bool(step % 2))
        with contextlib.suppress(Refusal):
            holding.hold(name, f"{int(name) % 30}", chance.randrange(1000))
        assert holding.held_bytes <= 16_000
    assert holding.gone
    for room in holding.rooms.values():
        room.leave()

    assert holding.held_bytes == 0
