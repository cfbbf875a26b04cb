"""A transaction on one SQLite connection: its statements, none of which waits."""

from collections.abc import Iterable, Mapping
from typing import Any

import apsw

from postbell.storage.sql.statements import statements_of
from postbell.storage.sql.transaction import Row, Taken, Transaction

SQL = statements_of(__package__)
_TAKEN_CODES = (apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY)


class SqliteTransaction(Transaction):
    """What goes wrong with the database itself is raised as apsw does."""

    def __init__(self, connection: apsw.Connection, statements: Mapping[str, str] = SQL) -> None:
        self.connection = connection
        self._statements = statements

    async def rows(self, name: str, *values: Any) -> list[Row]:
        try:
            return self.connection.execute(self._statements[name], values).fetchall()
        except apsw.ConstraintError as error:
            raise _taken(error) from error

    async def run(self, name: str, *values: Any) -> int:
        try:
            self.connection.execute(self._statements[name], values)
        except apsw.ConstraintError as error:
            raise _taken(error) from error
        return self.connection.changes()

    async def make_room(self, of: str, lowest: int, highest: int, now_us: int) -> None:
        """Do nothing: a table is one whole."""

    async def run_many(self, name: str, many: Iterable[tuple[Any, ...]]) -> None:
        self.connection.executemany(self._statements[name], many)


def _taken(error: apsw.ConstraintError) -> Exception:
    code: int = getattr(error, "extendedresult", 0)
    return Taken(str(error)) if code in _TAKEN_CODES else error
