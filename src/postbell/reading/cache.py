"""What is kept in memory because it may be wanted again, within bounds.  Used by `reading`."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

ENTRY_BYTES = 900
"""What a block or a body takes beside its bytes (objects, key, the mapping's own): at most so much,
which is three times a single event's bytes."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Room:
    """Memory that several mappings share, in bytes: what was used longest ago, in any of them, goes
    first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._bytes = 0
        self._uses = 0
        self._sharing: list[Cache[Any, Any]] = []

    def share(self, kept: "Cache[Any, Any]") -> None:
        """Let a mapping take part."""
        self._sharing.append(kept)

    def clear(self) -> None:
        """Forget everything."""
        for kept in self._sharing:
            while len(kept):
                self._bytes -= kept.forget()

    def use(self) -> int:
        """Return a number that rises with each use."""
        self._uses += 1
        return self._uses

    def take(self, size_bytes: int) -> None:
        """Make room for something that was just put, which itself stays."""
        self._bytes += size_bytes
        while self._bytes > self.max_bytes and sum(map(len, self._sharing)) > 1:
            oldest = min(filter(len, self._sharing), key=lambda kept: kept.oldest)
            self._bytes -= oldest.forget()


class Cache(Generic[Key, Value]):
    """A mapping that forgets what was used longest ago where its *room* is too small.

    *weigh* says how many bytes a value holds; what keeping it takes is added.

    What several want at the same moment is made once (`made`).
    """

    def __init__(self, room: Room, weigh: Callable[[Value], int]) -> None:
        self._room = room
        self._weigh = weigh
        self._found: OrderedDict[Key, tuple[int, Value]] = OrderedDict()
        self._coming: dict[Key, asyncio.Event] = {}
        room.share(self)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def oldest(self) -> int:
        """Return when what was used longest ago was used; there is something."""
        return next(iter(self._found.values()))[0]

    def forget(self) -> int:
        """Forget what was used longest ago; return its bytes."""
        return self._cost(self._found.popitem(last=False)[1][1])

    def coming(self, key: Key) -> asyncio.Event | None:
        """Return what is set once somebody who makes this value has done or failed to."""
        return self._coming.get(key)

    async def made(self, key: Key, make: Callable[[], Awaitable[Value]]) -> Value:
        """Return the value, which *make* makes where nobody has or is about to."""
        while (value := self.get(key)) is None:
            coming = self._coming.get(key)
            if coming is None:
                with self.announced((key,)):
                    value = await make()
                    self.put(key, value)
                return value
            await coming.wait()
        return value

    @contextmanager
    def announced(self, keys: Sequence[Key]) -> Iterator[None]:
        """Let others wait for these values while the block makes them."""
        arrived = asyncio.Event()
        self._coming.update(dict.fromkeys(keys, arrived))
        try:
            yield
        finally:
            for key in keys:
                del self._coming[key]
            arrived.set()

    def get(self, key: Key) -> Value | None:
        found = self._found.get(key)
        if found is None:
            return None
        self._found[key] = (self._room.use(), found[1])
        self._found.move_to_end(key)
        return found[1]

    def put(self, key: Key, value: Value) -> None:
        if key not in self._found:
            self._found[key] = (self._room.use(), value)
            self._room.take(self._cost(value))

    def _cost(self, value: Value) -> int:
        return self._weigh(value) + ENTRY_BYTES
