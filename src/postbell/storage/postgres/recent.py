"""What this process knows without asking the server: the registry's version, for 50 ms."""

from collections.abc import Sequence

from postbell.blocks import Block, BlockHeader, NewBlock
from postbell.clock import Clock

KNOWN_S = 0.05
"""So late a process may see what another one changed."""


class PostgresRecent:
    """`storage.sql.store.SqlRecent`; of blocks it remembers none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch = 0
        self._version: tuple[int, int, float] | None = None

    def registry_changed(self) -> None:
        self._epoch += 1

    @property
    def epoch(self) -> int:
        return self._epoch

    def version(self) -> int | None:
        if self._version is None:
            return None
        epoch, version, at_s = self._version
        is_fresh = epoch == self._epoch and self._clock.monotonic_s() - at_s < KNOWN_S
        return version if is_fresh else None

    def keep_version(self, epoch: int, version: int) -> None:
        self._version = (epoch, version, self._clock.monotonic_s())

    def keep(self, headers: Sequence[BlockHeader], blocks: Sequence[NewBlock]) -> None:
        pass

    def drop(self, before: int) -> None:
        pass

    def block(self, block_id: int) -> Block | None:
        return None

    def tail(self, after: int, limit: int) -> list[BlockHeader] | None:
        return None
