"""A transaction on one connection to the server: its statements, each of which waits."""

import re
from typing import Any

import asyncpg

from postbell.storage.sql.statements import statements_of
from postbell.storage.sql.transaction import Row, Taken, Transaction
from postbell.text.numerals import whole

SQL = {
    name: re.sub(r"\?(\d+)", r"$\1", statement)
    for name, statement in statements_of(__package__).items()
}


class PostgresTransaction(Transaction):
    """What goes wrong with the database itself is raised as asyncpg does."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def rows(self, name: str, *values: Any) -> list[Row]:
        try:
            found = await self.connection.fetch(SQL[name], *map(_sent, values))
        except asyncpg.UniqueViolationError as error:
            raise Taken(str(error)) from error
        return list(map(tuple, found))

    async def run(self, name: str, *values: Any) -> int:
        try:
            status = await self.connection.execute(SQL[name], *map(_sent, values))
        except asyncpg.UniqueViolationError as error:
            raise Taken(str(error)) from error
        return whole(status.rpartition(" ")[2]) or 0


def _sent(value: Any) -> Any:
    """Return *value* as the server takes it: a text there holds everything but U+0000."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
