"""A PostgreSQL database as tables, for a copy to another engine or from one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import asyncpg

from postbell.clock import from_us
from postbell.errors import Conflict, StorageError
from postbell.ports.tables import CopyState, Row, TableShape, TablesUse
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect, found
from postbell.storage.postgres.faults import FAULTS, as_storage_error
from postbell.storage.postgres.migrating import known, migrate, pending
from postbell.storage.postgres.silence import answered
from postbell.storage.reach import USUAL, Reach
from postbell.storage.sql.migrations import lacks
from postbell.storage.sql.tables import SqlTables, names

T = TypeVar("T")
LONG_S = 6 * 3600.0
"""Counting and comparing a large table is one statement."""
GONE_S = 10.0
"""So long others have to end once the database takes no writes of theirs any more."""
_STEP_S = 0.05
OWN = frozenset({"parts"})
"""Tables that say how this engine keeps others."""
_KEPT = {
    "blocks": "kept_blocks",
    "journal": "kept_journal",
    "journal_webhooks": """(
        SELECT * FROM journal_webhooks
        WHERE journal_id >= (SELECT value FROM meta WHERE name = 'journal_from')
    ) AS kept""",
}
"""What retention has not let go of."""
_DATED = {"blocks": "recorded_at", "journal": "last_at"}
"""Tables in parts, which hold a day: how fast they are filled is said by this column."""
_ROOM = "SELECT make_room(?1::text, ?2::bigint, ?3::bigint, ?4::bigint)"
_LIMITS = "; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
_WRITE = "BEGIN READ WRITE" + _LIMITS
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" + _LIMITS
_KINDS = {"bigint": "integer", "double precision": "real", "text": "text", "bytea": "bytes"}
_HERE = """
FROM pg_class AS tables
WHERE tables.relnamespace = current_schema()::regnamespace
    AND tables.relkind IN ('r', 'p') AND NOT tables.relispartition
"""
_COLUMNS = f"""
SELECT tables.relname::text, columns.attname::text,
    format_type(columns.atttypid, columns.atttypmod),
    (SELECT array_position(indkey::int2[], columns.attnum) FROM pg_index
     WHERE indrelid = tables.oid AND indisprimary)
FROM pg_attribute AS columns JOIN (SELECT tables.oid, tables.relname {_HERE}) AS tables
    ON columns.attrelid = tables.oid
WHERE columns.attnum > 0 AND NOT columns.attisdropped
ORDER BY tables.relname, columns.attnum
"""
_PARENTS = f"""
SELECT tables.relname::text, parents.relname::text
FROM pg_constraint JOIN (SELECT tables.oid, tables.relname {_HERE}) AS tables
    ON conrelid = tables.oid
JOIN pg_class AS parents ON confrelid = parents.oid
WHERE contype = 'f'
"""
_IDENTITIES = f"""
SELECT tables.relname::text, pg_get_serial_sequence(quote_ident(tables.relname), attname)
FROM pg_attribute JOIN (SELECT tables.oid, tables.relname {_HERE}) AS tables
    ON attrelid = tables.oid
WHERE attidentity <> ''
"""
_WORKERS = """
SELECT owner, count(*), max(lease_until) FROM lanes
WHERE lease_until > 1000000 * extract(epoch FROM now()) AND owner <> ''
GROUP BY owner ORDER BY owner
"""
_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' AND backend_start <= ?1
"""
_NOW = "SELECT clock_timestamp()"
_READ_ONLY = """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',
    current_database()); END $$
"""
_READ_WRITE = """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only',
    current_database()); END $$
"""


@contextlib.asynccontextmanager
async def opened(url: str, use: TablesUse, reach: Reach = USUAL) -> AsyncIterator["PostgresTables"]:
    """Open the database at *url* as *use* says; raise Conflict, StorageError.

    To hold it is to let it take no writes but its owner's own: others are sent away, and find a
    database that is read-only when they come back. What ends without an end lets it go again.
    """
    server = await found(url, reach)
    lacking = await pending(server)
    if use is TablesUse.FILL and lacking == known():
        await migrate(server)
        lacking = []
    if lacking:
        raise lacks(lacking, server.place)
    connection = await connect(server)
    tables = PostgresTables(connection, server)
    try:
        if use is not TablesUse.HOLD:
            yield tables
            return
        await tables.hold()
        try:
            yield tables
        except BaseException:
            if await tables.state() is CopyState.HELD:
                await tables.let_go()
            raise
    finally:
        await closed(connection)


async def reopen(url: str, reach: Reach = USUAL) -> None:
    """Let a database that was copied to another one be served again."""
    async with opened(url, TablesUse.READ, reach) as tables:
        if await tables.state() is CopyState.FILLING:
            raise Conflict(f"{tables.place} is a copy that is not finished; it cannot be served")
        await tables.let_go()


class PostgresTables(SqlTables):
    locked = " FOR SHARE"

    def __init__(self, connection: asyncpg.Connection, server: DatabaseServer) -> None:
        self._connection = connection
        self._server = server
        self.place = server.place

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        async with self._begun(_SNAPSHOT):
            answer = self._connection.fetch(_sent(statement), *values, timeout=LONG_S)
            return list(map(tuple, await self._answered(answer)))

    async def execute(self, statement: str, *values: Any) -> None:
        async with self._begun(_WRITE):
            answer = self._connection.execute(_sent(statement), *values, timeout=LONG_S)
            await self._answered(answer)

    def kept(self, table: str) -> str:
        return _KEPT.get(table) or super().kept(table)

    async def insert(self, shape: TableShape, rows: list[Row]) -> None:
        async with self._begun(_WRITE):
            if column := _DATED.get(shape.name):
                place = names(shape).index
                ids = [row[place(shape.key[0])] for row in (rows[0], rows[-1])]
                at = rows[-1][place(column)]
                await self.execute(_ROOM, shape.name, *ids, at)
            sent = self._connection.copy_records_to_table(
                shape.name, records=rows, columns=names(shape), timeout=LONG_S
            )
            await self._answered(sent)

    def writing(self) -> contextlib.AbstractAsyncContextManager[None]:
        return self._begun(_WRITE)

    def snapshot(self) -> contextlib.AbstractAsyncContextManager[None]:
        return self._begun(_SNAPSHOT)

    def fitted(self, rows: list[Row]) -> list[Row]:
        if not any("\0" in value for row in rows for value in row if isinstance(value, str)):
            return rows
        return [
            tuple(v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in row)
            for row in rows
        ]

    async def shapes(self) -> dict[str, TableShape]:
        columns: dict[str, list[tuple[str, str]]] = {}
        keys: dict[str, dict[int, str]] = {}
        for table, name, kind, place in await self.fetch(_COLUMNS):
            columns.setdefault(table, []).append((name, _KINDS.get(kind) or str(kind)))
            if place is not None:
                keys.setdefault(table, {})[place] = name
        parents: dict[str, set[str]] = {}
        for table, parent in await self.fetch(_PARENTS):
            parents.setdefault(table, set()).add(parent)
        return {
            table: TableShape(
                table,
                tuple(each),
                tuple(name for _, name in sorted(keys.get(table, {}).items())),
                frozenset(parents.get(table, ())),
            )
            for table, each in columns.items()
            if table not in OWN
        }

    async def counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
        for table, sequence in await self.fetch(_IDENTITIES):
            [(value, is_called)] = await self.fetch(f"SELECT last_value, is_called FROM {sequence}")
            counters[table] = value if is_called else value - 1
        [(counters["journal"],)] = await self.fetch(
            "SELECT value FROM meta WHERE name = 'journal_id'"
        )
        return counters

    async def set_counters(self, counters: dict[str, int]) -> None:
        async with self.commit():
            for table, sequence in await self.fetch(_IDENTITIES):
                value = counters.get(table, 0)
                await self.execute(
                    f"SELECT setval('{sequence}', greatest(?1::bigint, 1), ?1 > 0)", value
                )
            journal = counters["journal"]
            await self.execute("UPDATE meta SET value = ?1 WHERE name = 'journal_id'", journal)
            await self.execute(_ROOM, "journal", journal + 1, journal + 1, 0)

    async def hold(self) -> None:
        """Let nobody else write; raise Conflict where workers hold lanes."""
        if await self.state() is CopyState.FILLING:
            raise Conflict(
                f"{self.place} is a copy that is not finished; nothing is copied from it"
            )
        if await self.state() is not CopyState.MOVED:
            await self._refuse_workers()
            async with self.commit():
                await self.set_state(CopyState.HELD)
                await self.execute(_READ_ONLY)
        try:
            await self._send_away()
            await self._refuse_workers()
        except BaseException:
            if await self.state() is CopyState.HELD:
                await self.let_go()
            raise

    async def let_go(self) -> None:
        """Let everybody write again."""
        async with self.commit():
            await self.set_state(CopyState.OPEN)
            await self.execute(_READ_WRITE)
        # They go on being read-only until they are connected anew.
        await self._send_away()

    async def _refuse_workers(self) -> None:
        for owner, lanes, until in await self.fetch(_WORKERS):
            raise Conflict(
                f"worker {owner} holds {lanes} webhooks of {self.place} until"
                f" {from_us(until):%H:%M:%S} UTC; stop every worker first, or wait so long for one"
                " that is gone"
            )

    async def _send_away(self) -> None:
        """End the connections of before: what they were told of the database is of then."""
        until = time.monotonic() + GONE_S
        [(now,)] = await self.fetch(_NOW)
        while await self.fetch(_OTHERS, now):
            if time.monotonic() > until:
                raise StorageError(
                    f"others who have {self.place} open do not end; stop every process of the"
                    " service first"
                )
            await asyncio.sleep(_STEP_S)

    async def _answered(self, answer: Coroutine[Any, Any, T]) -> T:
        return await answered(self._server, self._connection, answer)

    @contextlib.asynccontextmanager
    async def _begun(self, begin: str) -> AsyncIterator[None]:
        """Be in a transaction: the one that there is, or one of its own."""
        if self._connection.is_in_transaction():
            yield
            return
        try:
            await self._answered(self._connection.execute(begin))
            try:
                yield
            except BaseException:
                if not self._connection.is_closed():
                    await self._connection.execute("ROLLBACK")
                raise
            commit = self._connection.execute("COMMIT", timeout=LONG_S)
            if await self._answered(commit) == "ROLLBACK":
                raise StorageError(f"{self.place} undid a transaction of the copy; try again")
        except FAULTS as error:
            raise as_storage_error(error, f"cannot copy the database {self.place}") from error


def _sent(statement: str) -> str:
    return statement.replace("?", "$")
