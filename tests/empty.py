"""Empty databases, of which one is made and the others are copies: making one takes 60 ms."""

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postbell.clock import Clock
from postbell.sealing import Sealer
from postbell.storage import sqlite
from postbell.storage.postgres import PostgresDatabase
from postbell.storage.sqlite import SqliteEngine
from tests.postgres import pooler, server

POOLED = bool(os.environ.get("POSTBELL_TEST_POOLED"))

LARGE_BYTES = 1 << 18
"""A table that has grown to this is made anew, lest the next test reads what is dead there."""

_folders: list[tempfile.TemporaryDirectory[str]] = []
_empty: list[str] = []


async def open_empty(path: Path, sealer: Sealer, clock: Clock) -> SqliteEngine:
    """Open a database at *path*, where there is none, as an engine."""
    if not _folders:
        folder = tempfile.TemporaryDirectory(prefix="postbell-empty-")
        await (await sqlite.open(Path(folder.name, "made.db"), sealer, clock)).close()
        _folders.append(folder)
    shutil.copy(Path(_folders[0].name, "made.db"), path)
    return await sqlite.open(path, sealer, clock)


@functools.cache
def made_postgres() -> str:
    """Return the name of a database on this process's server that has every table and no row."""
    database = server().database()
    PostgresDatabase.named(server().url(database), Path()).migrate()
    return database


@contextmanager
def empty_postgres() -> Iterator[str]:
    """Give the URL of a database that is empty, and make it so again: that is ten times as fast as
    a new one."""
    name = _empty.pop() if _empty else server().database(made_postgres())
    yield server().url(name) if not POOLED else pooler().url(name)
    server().psql(_emptying(), name)
    _empty.append(name)


@functools.cache
def _emptying() -> str:
    """Return what makes a database as `made_postgres` is: most of its tables have no row; parts
    of log and journal that were made stay, and are empty.

    It waits for whoever still writes.  Most tables are empty, and to truncate those, too, would
    take the server longer than most tests do.
    """
    tables = server().psql(
        "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public'",
        made_postgres(),
    )
    kept = server().psql("SELECT name, value FROM meta", made_postgres()).splitlines()
    rows = ", ".join("('{}', {})".format(*line.split("|")) for line in kept)
    return f"""
        DO $$ DECLARE filled RECORD; BEGIN
            LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;
            SET LOCAL session_replication_role = replica;  -- which asks for no foreign key
            FOR filled IN SELECT oid::regclass AS name, pg_table_size(oid) AS size FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND relname <> 'parts' AND pg_relation_size(oid) > 0
            LOOP
                IF filled.size > {LARGE_BYTES} THEN
                    EXECUTE format('TRUNCATE %s CASCADE', filled.name);
                ELSE
                    EXECUTE format('DELETE FROM %s', filled.name);
                END IF;
            END LOOP;
            PERFORM setval(quote_ident(sequencename), start_value, false) FROM pg_sequences
                WHERE last_value IS NOT NULL;
            INSERT INTO meta VALUES {rows};
            INSERT INTO heads VALUES (0, 1, 0);
        END $$"""
