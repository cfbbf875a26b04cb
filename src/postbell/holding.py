"""Memory for the bodies of requests: how much of it who may hold, counted as the bytes arrive.

Used by every face through `api.root`.  What a request holds is a stranger's until somebody is
known to have sent it (`claim`); strangers have a small part of their own, so that they cannot take
the customers', and no account can take another's.
"""

from collections.abc import Hashable
from contextvars import ContextVar, Token

from postbell.errors import Overloaded
from postbell.text.networks import network_of

OVERHEAD_BYTES = 4096
"""What a request costs beside its body, counted from the first byte of the body on."""

STRANGERS_PART = 16
NETWORK_PART = 16
ACCOUNT_PART = 4
LAST_PART = 8
LITTLE_PART = 64
RETRY_AFTER_S = 1


class Memory:
    """All of it: *max_bytes*, a sixteenth of them for strangers.

    A network (an IPv4 address, an IPv6 /64) holds at most a sixteenth of the strangers' part, an
    account at most a quarter of the whole.
    """

    def __init__(self, max_bytes: int) -> None:
        for_strangers = max_bytes // STRANGERS_PART
        self.strangers = MemoryPart(for_strangers, for_strangers // NETWORK_PART)
        self.accounts = MemoryPart(max_bytes - for_strangers, max_bytes // ACCOUNT_PART)

    @property
    def held_bytes(self) -> int:
        return self.strangers.held_bytes + self.accounts.held_bytes


class MemoryPart:
    """Memory that holders share: *max_bytes*, each of them at most *most_bytes*.

    Its last eighth is for those who hold little (a sixty-fourth of what one may hold): many that
    hold much leave something to the next one.
    """

    def __init__(self, max_bytes: int, most_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._most_bytes = most_bytes
        self._little_bytes = most_bytes // LITTLE_PART
        self._last_bytes = max_bytes // LAST_PART
        self._held: dict[Hashable, int] = {}
        self.held_bytes = 0

    def take(self, holder: Hashable, size_bytes: int) -> None:
        """Reserve bytes; raise Overloaded where the holder has its part, or none is left."""
        mine = self._held.get(holder, 0) + size_bytes
        total = self.held_bytes + size_bytes
        room = self._max_bytes if mine <= self._little_bytes else self._max_bytes - self._last_bytes
        if mine > self._most_bytes or total > room:
            raise Overloaded(
                "requests in flight hold as much memory as they may; send this again",
                retry_after_s=RETRY_AFTER_S,
            )
        self._held[holder] = mine
        self.held_bytes = total

    def give_back(self, holder: Hashable, size_bytes: int) -> None:
        """Return reserved bytes."""
        rest = self._held[holder] - size_bytes
        if rest:
            self._held[holder] = rest
        else:
            del self._held[holder]
        self.held_bytes -= size_bytes


class Share:
    """What one request holds, as long as its `with` block runs; `claim` reaches it there.

    It is the account's with *account_id*, else that of the peer's network until it is claimed.
    """

    __slots__ = ("_account_id", "_holder", "_memory", "_part", "_peer", "_token", "held_bytes")

    def __init__(self, memory: Memory, *, peer: str = "", account_id: int | None = None) -> None:
        self._memory = memory
        self._peer = peer
        self._account_id = account_id
        self._part = memory.strangers if account_id is None else memory.accounts
        self._holder: Hashable = account_id
        self.held_bytes = 0

    def __enter__(self) -> "Share":
        self._token: Token[Share | None] = _current.set(self)
        return self

    def __exit__(self, *_error: object) -> None:
        _current.reset(self._token)
        self.shrink_to(0)

    def add(self, size_bytes: int) -> None:
        """Hold so many bytes more; raise Overloaded where there is no room for them."""
        if not self.held_bytes:
            size_bytes += OVERHEAD_BYTES
            if self._holder is None:
                self._holder = network_of(self._peer)
        self._part.take(self._holder, size_bytes)
        self.held_bytes += size_bytes

    def shrink_to(self, size_bytes: int) -> None:
        """Hold no more than *size_bytes*."""
        if size_bytes < self.held_bytes:
            self._part.give_back(self._holder, self.held_bytes - size_bytes)
            self.held_bytes = size_bytes

    def belong_to(self, account_id: int) -> None:
        """Be the account's from now on; raise Overloaded where it has no room for what is held."""
        if account_id == self._account_id:
            return
        if self.held_bytes:
            self._memory.accounts.take(account_id, self.held_bytes)
            self._part.give_back(self._holder, self.held_bytes)
        self._account_id = self._holder = account_id
        self._part = self._memory.accounts


def claim(account_id: int) -> None:
    """Say whose request this task is answering: its body counts as that account's from now on.

    Raises Overloaded where the account has no room for what arrived already.
    """
    share = _current.get()
    if share is not None:
        share.belong_to(account_id)


_current: ContextVar[Share | None] = ContextVar("share", default=None)
