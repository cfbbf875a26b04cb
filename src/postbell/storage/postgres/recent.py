"""What this process knows without asking the server: the registry's version, for 50 ms, and what
the bell's last look found, as long as nobody rings."""

import time
from collections.abc import Sequence

from postbell.blocks import Block, BlockHeader, NewBlock
from postbell.clock import Clock
from postbell.storage.postgres.waking import BellLook, PostgresBell

KNOWN_S = 0.05
"""So late a process may see what another one changed."""
VERSION_S, ENDS_S = 0.5, 1.5
"""So late where the ring is lost; a look is made each second while nobody rings."""


class PostgresRecent:
    """`storage.sql.store.SqlRecent`; of blocks it remembers none."""

    def __init__(self, clock: Clock, bell: PostgresBell) -> None:
        self._clock = clock
        self._bell = bell
        self._epoch = 0
        self._version: tuple[int, int, float] | None = None

    def registry_changed(self) -> None:
        self._epoch += 1

    @property
    def epoch(self) -> int:
        return self._epoch

    def version(self) -> int | None:
        look = self._look(VERSION_S)
        if look is not None:
            return look.ends.registry
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

    def is_end(self, of: str, after: int) -> bool:
        look = self._look(ENDS_S)
        return look is not None and after >= getattr(look.ends, of)

    def _look(self, for_s: float) -> BellLook | None:
        """Return what the bell found so long ago at most, where it still holds."""
        look = self._bell.looked
        is_fresh = look is not None and time.monotonic() - look.asked_s < for_s
        return look if is_fresh else None
