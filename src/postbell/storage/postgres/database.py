"""The database that a URL names, and what is done with it from outside."""

import asyncio
import threading
from collections.abc import Container, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from postbell.clock import Clock
from postbell.errors import BadInput
from postbell.ports import MigrationPhase, Restored, Space
from postbell.ports.tables import OpenTables, TablesUse
from postbell.sealing import Sealer
from postbell.storage.postgres import migrating, tables
from postbell.storage.postgres.connecting import DatabaseServer, found
from postbell.storage.postgres.engine import PostgresEngine, cannot, open
from postbell.storage.postgres.urls import check, without_password
from postbell.storage.reach import POLL, USUAL, Reach
from postbell.storage.sql.migrations import Migration

T = TypeVar("T")


class PostgresDatabase:
    """A database on a server; its URL is one of libpq's: several hosts, TLS, a password file."""

    def __init__(self, url: str, reach: Reach) -> None:
        self._url = url
        self._reach = reach

    @classmethod
    def named(cls, url: str, folder: Path, reach: Reach = USUAL) -> "PostgresDatabase":
        """Return the database that *url* names; raise BadInput where it names none."""
        check(url)
        bell = reach.bell_url
        if bell not in ("", POLL) and urlsplit(bell).scheme != urlsplit(url).scheme:
            raise BadInput(
                f"{POLL}, or the server's URL as in postgresql://postbell@db.example/postbell"
                " expected",
                member="bell_url",
            )
        return cls(url, reach)

    @property
    def place(self) -> str:
        return without_password(self._url)

    def exists(self) -> bool:
        return self._lacking() != migrating.known()

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
    ) -> PostgresEngine:
        return await open(
            self._url, sealer, clock, dialects=dialects, reach=self._reach, serves=serves
        )

    def pending(self) -> list[str]:
        return [migration.name for migration in self._lacking()]

    def migrate(self, phase: MigrationPhase = MigrationPhase.ALL) -> list[str]:
        async def work() -> list[str]:
            done = await migrating.migrate(await found(self._url, self._reach), phase)
            return [migration.name for migration in done]

        return _waited(work())

    def _lacking(self) -> list[Migration]:
        server = DatabaseServer(self._url, self._reach, is_pooled=True)
        return _waited(migrating.pending(server))

    def compact(self) -> tuple[Space, Space]:
        raise cannot("be compacted", "VACUUM; what is dropped gives its space back by itself")

    def restore(self, source: Path, sealer: Sealer, *, ignores_digest: bool = False) -> Restored:
        raise cannot(
            "be restored from a file", "what made the backup: pg_basebackup, or pg_restore"
        )

    def tables(self, use: TablesUse) -> AbstractAsyncContextManager[OpenTables]:
        return tables.opened(self._url, use, self._reach)

    async def reopen(self) -> None:
        await tables.reopen(self._url, self._reach)


def _waited(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on a loop of its own, whatever runs in this thread; blocks."""
    made: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            made.append(asyncio.run(work))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="postbell-postgres-outside")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
