"""What all connections of one listener share: who may come in, who has to go, and the counts."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from functools import lru_cache
from typing import Protocol

from postbell.fences import fence
from postbell.serving import process
from postbell.serving.listening.connects import Connects
from postbell.serving.listening.room import Heads
from postbell.serving.listening.states import RULES, WAITING, WORKING, State
from postbell.serving.listening.turns import Turns
from postbell.settings.limits import PeerLimits
from postbell.signals import log
from postbell.text.networks import Networks, is_in, network_of

LOOK_S = 0.5
"""How often deadlines are looked at."""
TELL_S = 10.0
"""How often at most a line of the log tells of refusals and limits."""
AT_ONCE = 4
"""Connections ended in one turn of the loop."""
LATE_S = 1.0
LEAVE_S = 2.0
"""For how long a service that ends waits for a peer that takes no answer."""
READ_BYTES = 64 << 10
HEAD_READ_BYTES = 16 << 10
UNTOLD = frozenset({"idle", "fresh"})
"""Ends that are the rule, and of no interest to a reader of the log."""


class Guest(Protocol):
    """A connection, as its door knows it."""

    state: State
    deadline_s: float

    def expire(self) -> None:
        """End it: its time is over."""

    def make_room(self) -> None:
        """End it, since it only waits for its peer, for a new one's sake."""


class Door:
    """Admits connections within *limits*; networks in *trusted* are not counted singly."""

    def __init__(self, limits: PeerLimits, *, trusted: Networks = (), name: str = "main") -> None:
        self.name = name
        self.limits = limits
        self._places = process.places(limits.http_connections)
        self.seconds = {state: rule.limit_s(limits) for state, rule in RULES.items()}
        self.last_seconds = {
            state: seconds if state in WORKING else min(seconds, LEAVE_S)
            for state, seconds in self.seconds.items()
        }
        """The same while the service ends."""
        self.inside: set[Guest] = set()
        self._by_state: dict[State, dict[Guest, None]] = {state: {} for state in State}
        """Those inside; of each state the one that has been in it longest first."""
        self.refused: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        rate_s = limits.http_connects_per_network_s
        self._connects = Connects(rate_s, limits.http_connections_per_network + rate_s)
        self.turns = Turns()
        self.heads = Heads(limits.http_heads_bytes)
        self.date = _date()
        self._told = 0
        self._told_at_s = float("-inf")
        self._is_trusted = lru_cache(maxsize=4096)(lambda host: is_in(host, trusted))
        buffer = memoryview(bytearray(READ_BYTES))
        self.body_view = buffer
        self.head_view = buffer[:HEAD_READ_BYTES]

    def admit(self, guest: Guest, host: str) -> str:
        """Let *guest* in and return the network that it counts for ("" for none).

        Raises LookupError, with the reason, where there is no place for it.
        """
        network = "" if self._is_trusted(host) else network_of(host)
        if network and not self._connects.may(network, time.monotonic()):
            raise self._full("connects")
        if network and self._networks[network] >= self.limits.http_connections_per_network:
            raise self._full("network")
        if len(self.inside) >= self._places:
            self._make_room()
        if network:
            self._networks[network] += 1
        self.inside.add(guest)
        self._by_state[guest.state][guest] = None
        return network

    def moved(self, guest: Guest, before: State) -> None:
        """Take note that *guest* is in another state now."""
        if guest in self.inside:
            self._by_state[before].pop(guest, None)
            self._by_state[guest.state][guest] = None

    def leave(self, guest: Guest, network: str) -> None:
        """Forget *guest*, which is gone or about to be."""
        self.inside.discard(guest)
        self._by_state[guest.state].pop(guest, None)
        if network:
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]

    def states(self) -> Iterator[tuple[str, int]]:
        """Yield how many connections are in each state."""
        yield from ((state.value, len(guests)) for state, guests in self._by_state.items())

    async def watch(self) -> None:
        """End what is over its time, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            late_s = loop.time() - due_s
            if late_s > LATE_S:  # nobody was heard meanwhile: it is nobody's fault
                for guest in self.inside:
                    guest.deadline_s += late_s
            self.date = _date()
            with fence("door", item="looking around"):
                self._connects.forget(time.monotonic())
                await self._end_late(loop.time())
                self._tell(loop.time())

    async def _end_late(self, now_s: float) -> None:
        """End those that are over their time, in a quarter of ours: thousands may be so at once,
        and what answers their requests ends with them."""
        late = [guest for guest in self.inside if guest.deadline_s <= now_s]
        for first in range(0, len(late), AT_ONCE):
            began_s = time.monotonic()  # uvloop's own time stands still while it works
            for guest in late[first : first + AT_ONCE]:
                if guest.deadline_s <= now_s and guest in self.inside:
                    guest.expire()
            await asyncio.sleep(0)
            await asyncio.sleep(3 * (time.monotonic() - began_s))

    def _make_room(self) -> None:
        """End the connection that has been longest in the most crowded state: where thousands
        do the same and come no further, one of them has to go, not one of those that do.

        Raises LookupError where no connection waits for its peer.
        """
        crowd = max((self._by_state[state] for state in WAITING), key=len)
        if not crowd:
            raise self._full("all")
        self.ended["room"] += 1
        next(iter(crowd)).make_room()

    def _full(self, reason: str) -> LookupError:
        self.refused[reason] += 1
        return LookupError(reason)

    def _tell(self, now_s: float) -> None:
        ended = {name: count for name, count in self.ended.items() if name not in UNTOLD}
        count = sum(ended.values()) + sum(self.refused.values())
        if count > self._told and now_s - self._told_at_s >= TELL_S:
            self._told, self._told_at_s = count, now_s
            log(
                "connections_limited",
                listener=self.name,
                open=len(self.inside),
                refused=dict(self.refused),
                ended=ended,
            )


def _date() -> bytes:
    return formatdate(usegmt=True).encode()
