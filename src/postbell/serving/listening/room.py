"""Room for heads that are long: all of them together have only so much of it.

Where it is full, the network that holds most gives way: many networks that fill it leave one more
what each of them has.
"""

from collections.abc import Callable, Hashable

from postbell.serving.listening.framing import FREE_HEAD_BYTES
from postbell.serving.listening.refusals import Refusal, heads_full

NETWORK_PART = 16


class Heads:
    """The room of all connections: *max_bytes*, a sixteenth of them at most one network's."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._most_bytes = max_bytes // NETWORK_PART
        self.held_bytes = 0
        self._networks: dict[Hashable, _Network] = {}
        self._by_size: tuple[dict[_Network, None], ...] = tuple(
            {} for _ in range(self._most_bytes.bit_length() + 1)
        )
        """Those who hold something that may go, by the bits of how much they hold."""

    def take(self, room: "HeadRoom", of: Hashable, size_bytes: int) -> None:
        """Reserve bytes for *room*, of the network *of*, from one that holds more if need be.

        Raises Refusal where the network has its part, or none that may go holds far more.
        """
        network = self._networks.get(of) or _Network()
        mine_bytes = network.held_bytes + size_bytes
        if mine_bytes > self._most_bytes:
            raise heads_full()
        while self.held_bytes + size_bytes > self._max_bytes:
            self._largest(mine_bytes).refuse(heads_full())
        self._networks[of] = network
        network.rooms.setdefault(room)
        self._change(network, size_bytes)

    def keep(self, room: "HeadRoom", *, may_go: bool) -> None:
        """Say whether *room*, which holds something, may be told to give way."""
        network = self._networks[room.network]
        if may_go:
            network.rooms.setdefault(room)
        else:
            network.rooms.pop(room, None)
        self._change(network, 0)

    def give_back(self, room: "HeadRoom", size_bytes: int) -> None:
        """Return all that *room* holds."""
        network = self._networks[room.network]
        network.rooms.pop(room, None)
        self._change(network, -size_bytes)
        if not network.held_bytes:
            del self._networks[room.network]

    def _largest(self, than_bytes: int) -> "HeadRoom":
        """Return the oldest of a network that holds most, and far more *than_bytes*."""
        for networks in reversed(self._by_size[than_bytes.bit_length() + 1 :]):
            for network in networks:
                return next(iter(network.rooms))
        raise heads_full()

    def _change(self, network: "_Network", more_bytes: int) -> None:
        self._by_size[network.held_bytes.bit_length()].pop(network, None)
        network.held_bytes += more_bytes
        self.held_bytes += more_bytes
        if network.rooms:
            self._by_size[network.held_bytes.bit_length()].setdefault(network)


class HeadRoom:
    """What the head of one connection's request has of *heads*."""

    __slots__ = ("_heads", "_held_bytes", "network", "refuse")

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._held_bytes = 0
        self.network: Hashable
        self.refuse: Callable[[Refusal], object]

    def hold(self, head_bytes: int, network: Hashable, refuse: Callable[[Refusal], object]) -> None:
        """Take room of *network* for a head that is so long now; raise Refusal where there is
        none.  Where it has to give way later, *refuse* is called, and has to `leave` at once."""
        more_bytes = head_bytes - FREE_HEAD_BYTES - self._held_bytes
        if more_bytes > 0:
            self._heads.take(self, network, more_bytes)
            self._held_bytes += more_bytes
            self.network, self.refuse = network, refuse

    def keep(self, *, may_go: bool) -> None:
        """Say whether it may be told to give way: not while we work on an answer."""
        if self._held_bytes:
            self._heads.keep(self, may_go=may_go)

    def leave(self) -> bool:
        """Give it back, and return whether there was any."""
        if not self._held_bytes:
            return False
        self._heads.give_back(self, self._held_bytes)
        self._held_bytes = 0
        del self.network, self.refuse
        return True


class _Network:
    """What one network holds, and whose part of it may go, the oldest first."""

    __slots__ = ("held_bytes", "rooms")

    def __init__(self) -> None:
        self.held_bytes = 0
        self.rooms: dict[HeadRoom, None] = {}
