"""The SQLite engine: one machine, no setup, durable at every commit."""

from postbell.storage.sqlite.backup import integrity_problems
from postbell.storage.sqlite.engine import SqliteEngine, open
from postbell.storage.sqlite.migrating import migrate, pending
from postbell.storage.sqlite.restoring import Restored, restore
from postbell.storage.sqlite.space import compact, lacks_room

__all__ = [
    "Restored",
    "SqliteEngine",
    "compact",
    "integrity_problems",
    "lacks_room",
    "migrate",
    "open",
    "pending",
    "restore",
]
