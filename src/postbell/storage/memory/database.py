"""Storage that ends with its process, as a URL names it: what it cannot do is said by name."""

from collections.abc import Container
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from postbell.clock import Clock
from postbell.errors import BadInput
from postbell.ports import MigrationPhase, Restored, Space
from postbell.ports.tables import OpenTables, TablesUse
from postbell.sealing import Sealer
from postbell.storage.memory.engine import MemoryEngine, cannot
from postbell.storage.reach import Reach


class MemoryDatabase:
    """Each `open` gives an installation of its own."""

    place = "memory"

    @classmethod
    def named(cls, url: str, folder: Path, reach: Reach | None = None) -> "MemoryDatabase":
        if url != "memory:":
            raise BadInput("nothing expected after memory:", member="database_url")
        return cls()

    def exists(self) -> bool:
        return False

    def lacks_room(self) -> bool:
        return False

    async def open(
        self,
        sealer: Sealer,
        clock: Clock,
        *,
        worker: bool = False,
        serves: bool = False,
        dialects: Container[str] | None = None,
    ) -> MemoryEngine:
        return MemoryEngine(clock)

    def pending(self) -> list[str]:
        return []

    def migrate(self, phase: MigrationPhase = MigrationPhase.ALL) -> list[str]:
        return []

    def compact(self) -> tuple[Space, Space]:
        raise cannot("be compacted")

    def restore(self, source: Path, sealer: Sealer, *, ignores_digest: bool = False) -> Restored:
        raise cannot("be restored")

    def tables(self, use: TablesUse) -> AbstractAsyncContextManager[OpenTables]:
        raise cannot("be copied")

    async def reopen(self) -> None:
        raise cannot("be copied")
