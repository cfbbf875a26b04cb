"""The memory engine: all ports over one set of Python lists and dicts."""

from collections.abc import Collection
from pathlib import Path

from postbell.clock import Clock
from postbell.errors import UsageError
from postbell.ports import Dropped, Space, WeakSetting
from postbell.storage.memory.answers import MemoryAnswers
from postbell.storage.memory.checkpoints import MemoryCheckpoints
from postbell.storage.memory.crew import MemoryCrew
from postbell.storage.memory.index import MemoryIndex
from postbell.storage.memory.ledger import MemoryJournal, MemoryLedger
from postbell.storage.memory.log import MemoryLog
from postbell.storage.memory.notices import MemoryNotices
from postbell.storage.memory.owners import MemoryOwners
from postbell.storage.memory.quarantine import MemoryQuarantine
from postbell.storage.memory.registry import MemoryRegistry
from postbell.storage.memory.second_factors import MemorySecondFactors
from postbell.storage.memory.suppressions import MemorySuppressions
from postbell.storage.memory.tables import Tables
from postbell.storage.memory.trail import MemoryTrail
from postbell.storage.memory.tries import MemoryTries


class MemoryEngine:
    """One installation; nothing of it survives the process."""

    def __init__(self, clock: Clock) -> None:
        self._tables = tables = Tables(clock)
        self.log = MemoryLog(tables)
        self.ledger = MemoryLedger(tables)
        self.journal = MemoryJournal(tables)
        self.registry = MemoryRegistry(tables)
        self.owners = MemoryOwners(tables)
        self.second_factors = MemorySecondFactors(tables)
        self.index = MemoryIndex(tables)
        self.answers = MemoryAnswers(tables)
        self.tries = MemoryTries(tables)
        self.trail = MemoryTrail(tables)
        self.checkpoints = MemoryCheckpoints(tables)
        self.quarantine = MemoryQuarantine(tables)
        self.suppressions = MemorySuppressions(tables)
        self.notices = MemoryNotices(tables)
        self.crew = MemoryCrew(tables)
        self.bell = tables.bell
        self.weak: list[WeakSetting] = []

    async def ready(self) -> None:
        """Return at once: memory always takes a write."""

    async def weak_settings(self) -> list[WeakSetting]:
        """Return what `weak` says: nothing here outlives the process anyway."""
        return self.weak

    async def space(self) -> Space:
        """Return that nothing is on disk."""
        return Space()

    async def shrink(self) -> bool:
        """Do nothing: Python does."""
        return False

    async def drop_blocks(self, before: int, *, counted: Collection[int]) -> Dropped:
        """Drop them at once: nobody waits for it."""
        tables = self._tables
        tables.check_term()
        lanes = (lane for lane in tables.lanes.values() if lane.webhook_id not in counted)
        batches = (each for each in tables.batches.values() if each.webhook_id not in counted)
        needed = [lane.cursor.block for lane in lanes] + [b.range.start.block for b in batches]
        edge = min([before, *needed])
        gone = [block_id for block_id in tables.blocks if block_id < edge]
        for block_id in gone:
            del tables.blocks[block_id], tables.hashes[block_id], tables.checksums[block_id]
        tables.corrections = [each for each in tables.corrections if each.block >= edge]
        return Dropped(len(gone), edge)

    async def backup(self, target: Path) -> None:
        """Refuse it: nothing is to be put back."""
        raise cannot("be backed up")

    async def close(self) -> None:
        """Forget nothing: what was stored goes with the engine itself."""


def cannot(what: str) -> UsageError:
    """Return the error that this engine cannot do *what* ("be backed up")."""
    return UsageError(f"the engine 'memory' cannot {what}: what it keeps ends with its process")
