"""A SQLite file as tables, for a copy to another engine or from one."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw

from postbell.errors import Conflict, UsageError
from postbell.ports.tables import CopyState, Row, TableShape, TablesUse
from postbell.storage.sql.migrations import lacks
from postbell.storage.sql.tables import SqlTables, names
from postbell.storage.sqlite.connecting import connect
from postbell.storage.sqlite.entering import entered
from postbell.storage.sqlite.faults import FAULTS, as_storage_error
from postbell.storage.sqlite.locking import FilesLock, alone
from postbell.storage.sqlite.migrating import migrate_connection, missing
from postbell.storage.sqlite.threads import in_thread

T = TypeVar("T")
_KINDS = {"INTEGER": "integer", "REAL": "real", "TEXT": "text", "BLOB": "bytes"}
_CHECKPOINT = "PRAGMA wal_autocheckpoint = 2000"
_COLUMNS = """
SELECT tables.name, columns.name, columns.type, columns.pk
FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite!_%' ESCAPE '!'
ORDER BY tables.name, columns.cid
"""
_PARENTS = """
SELECT tables.name, parents."table"
FROM sqlite_schema AS tables, pragma_foreign_key_list(tables.name) AS parents
WHERE tables.type = 'table'
"""
_COUNTERS = """
SELECT tables.name, coalesce(seq, 0)
FROM sqlite_schema AS tables LEFT JOIN sqlite_sequence ON sqlite_sequence.name = tables.name
WHERE tables.type = 'table' AND tables.sql LIKE '%AUTOINCREMENT%'
"""


@contextlib.asynccontextmanager
async def opened(path: Path, use: TablesUse) -> AsyncIterator["SqliteTables"]:
    """Open the file at *path* as *use* says; raise Conflict, StorageError.

    It is held, or filled, by the locks that a restore takes: every process is out.
    """
    with contextlib.ExitStack() as stack:
        lock = None
        share = await in_thread(lambda: _entered(path, use), "postbell-copy-enter")
        if use is TablesUse.READ:
            stack.callback(share.leave)
        else:
            share.leave()
            lock = stack.enter_context(alone(path, "copies"))
        connection = await in_thread(lambda: connect(path), "postbell-copy-open")
        try:
            tables = SqliteTables(connection, path)
            await in_thread(lambda: _prepare(connection, path, use), "postbell-copy-open")
            yield tables
        finally:
            connection.close()
        if lock is not None:
            lock.note()


async def reopen(path: Path) -> None:
    """Let a file that was copied to another database be served again."""
    async with opened(path, TablesUse.HOLD) as tables:
        if await tables.state() is CopyState.FILLING:
            raise Conflict(f"{path} is a copy that is not finished; it cannot be served")
        await tables.set_state(CopyState.OPEN)


class SqliteTables(SqlTables):
    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self.place = str(path)

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        return await self._waited(lambda: self._connection.execute(statement, values).fetchall())

    async def execute(self, statement: str, *values: Any) -> None:
        await self._waited(lambda: self._connection.execute(statement, values).fetchall())

    async def insert(self, shape: TableShape, rows: list[Row]) -> None:
        columns = ", ".join(f'"{name}"' for name in names(shape))
        places = ", ".join("?" for _ in shape.columns)
        statement = f'INSERT INTO "{shape.name}" ({columns}) VALUES ({places})'
        await self._waited(lambda: self._connection.executemany(statement, rows).fetchall())

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        if self._connection.in_transaction:
            yield
            return
        await self.execute("BEGIN IMMEDIATE")
        try:
            yield
            await self.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        await self.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    async def shapes(self) -> dict[str, TableShape]:
        columns: dict[str, list[tuple[str, str]]] = {}
        keys: dict[str, dict[int, str]] = {}
        for table, name, kind, place in await self.fetch(_COLUMNS):
            columns.setdefault(table, []).append((name, _KINDS.get(kind) or str(kind)))
            if place:
                keys.setdefault(table, {})[place] = name
        parents: dict[str, set[str]] = {}
        for table, parent in await self.fetch(_PARENTS):
            parents.setdefault(table, set()).add(parent)
        return {
            table: TableShape(
                table,
                tuple(found),
                tuple(name for _, name in sorted(keys.get(table, {}).items())),
                frozenset(parents.get(table, ())),
            )
            for table, found in columns.items()
        }

    async def counters(self) -> dict[str, int]:
        return dict(await self.fetch(_COUNTERS))

    async def set_counters(self, counters: dict[str, int]) -> None:
        async with self.commit():
            for table, value in counters.items():
                await self.execute("DELETE FROM sqlite_sequence WHERE name = ?1", table)
                await self.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", table, value
                )

    async def _waited(self, work: Callable[[], T]) -> T:
        try:
            return await in_thread(work, "postbell-copy")
        except FAULTS as error:
            raise as_storage_error(error, f"cannot copy the database {self._path}") from error


def _entered(path: Path, use: TablesUse) -> FilesLock:
    if use is not TablesUse.FILL and not path.is_file():
        raise UsageError(f"there is no database {path}; name the one that is served")
    return entered(path)


def _prepare(connection: apsw.Connection, path: Path, use: TablesUse) -> None:
    """Give an empty file its tables where it is to be filled; refuse another release's."""
    if use is TablesUse.FILL:
        connection.execute(_CHECKPOINT)
        if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]:
            migrate_connection(connection, path)
    if lacking := missing(connection, path):
        raise lacks(lacking, path)
