"""PostgreSQL: one database for any number of processes on any number of machines.

In the order of reading: `connecting` (a connection, and what it is behind), `transaction`,
`writer` and `readers`, `waking`, `migrating`, `engine`, `database`. The ports are those of
`storage.sql`.
"""

from postbell.storage.postgres.database import PostgresDatabase
from postbell.storage.postgres.engine import PostgresEngine, open

__all__ = ["PostgresDatabase", "PostgresEngine", "open"]
