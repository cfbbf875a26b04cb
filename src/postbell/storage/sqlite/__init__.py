"""The SQLite engine: one machine, no setup, durable at every commit."""

from postbell.storage.sqlite.backup import integrity_problems
from postbell.storage.sqlite.database import SqliteDatabase
from postbell.storage.sqlite.engine import SqliteEngine, open
from postbell.storage.sqlite.migrating import migrate, pending
from postbell.storage.sqlite.restoring import restore
from postbell.storage.sqlite.space import compact

__all__ = [
    "SqliteDatabase",
    "SqliteEngine",
    "compact",
    "integrity_problems",
    "migrate",
    "open",
    "pending",
    "restore",
]
