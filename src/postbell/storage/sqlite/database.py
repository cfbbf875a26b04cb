"""The file that a URL names, and what is done with it from outside."""

import os
from collections.abc import Container
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from postbell.clock import Clock
from postbell.errors import BadInput, UsageError
from postbell.ports import MigrationPhase, Restored, Space
from postbell.ports.tables import OpenTables, TablesUse
from postbell.sealing import Sealer
from postbell.storage.folders import lacks_room, make_folder
from postbell.storage.reach import Reach
from postbell.storage.sqlite import tables
from postbell.storage.sqlite.engine import SqliteEngine, open
from postbell.storage.sqlite.migrating import migrate, pending
from postbell.storage.sqlite.restoring import restore
from postbell.storage.sqlite.space import compact

PROBE_BYTES = 64 << 10
"""Twice what SQLite needs to open a database."""


class SqliteDatabase:
    """A database in the file at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def named(cls, url: str, folder: Path, reach: Reach | None = None) -> "SqliteDatabase":
        """Return the file that *url* names, or the one that a link there leads to: what lies beside
        it, locks and WAL, is the same by whatever name it is opened."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _not_a_file() from None
        file = unquote(parts.path.removeprefix("/"))
        if parts.netloc or not file or "\0" in file:
            raise _not_a_file()
        path = folder / file
        return cls(Path(os.path.realpath(path)) if path.is_symlink() else path)

    @property
    def place(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size > 0

    def lacks_room(self) -> bool:
        return lacks_room(self.path.parent, PROBE_BYTES)

    async def open(
        self,
        sealer: Sealer,
        clock: Clock,
        *,
        worker: bool = False,
        serves: bool = False,
        dialects: Container[str] | None = None,
    ) -> SqliteEngine:
        make_folder(self.path.parent)
        return await open(self.path, sealer, clock, worker=worker, serves=serves, dialects=dialects)

    def pending(self) -> list[str]:
        return pending(self.path)

    def migrate(self, phase: MigrationPhase = MigrationPhase.ALL) -> list[str]:
        if phase is not MigrationPhase.ALL:
            raise UsageError(
                "processes on one file are of one release: stop them, then 'postbell migrate'"
                " without --phase"
            )
        make_folder(self.path.parent)
        return migrate(self.path)

    def compact(self) -> tuple[Space, Space]:
        return compact(self.path)

    def restore(self, source: Path, sealer: Sealer, *, ignores_digest: bool = False) -> Restored:
        make_folder(self.path.parent)
        return restore(source, self.path, sealer, ignores_digest=ignores_digest)

    def tables(self, use: TablesUse) -> AbstractAsyncContextManager[OpenTables]:
        make_folder(self.path.parent)
        return tables.opened(self.path, use)

    async def reopen(self) -> None:
        await tables.reopen(self.path)


def _not_a_file() -> BadInput:
    return BadInput(
        "three slashes and a file expected, as in sqlite:///postbell.db", member="database_url"
    )
