"""A transaction on one connection to the server: its statements, each of which waits."""

import re
from typing import Any

import asyncpg

from postbell.storage.sql.statements import load, statements_of
from postbell.storage.sql.transaction import Row, Taken, Transaction
from postbell.text.numerals import whole

PARTS = load(__package__, "parts.sql")
"""Statements that no other engine has."""
SQL = {
    name: re.sub(r"\?(\d+)", r"$\1", statement)
    for name, statement in {**statements_of(__package__), **PARTS}.items()
}


class PostgresTransaction(Transaction):
    """What goes wrong with the database itself is raised as asyncpg does.

    *rooms* is what is known to be committed of how far log and journal have room.
    """

    def __init__(self, connection: asyncpg.Connection, rooms: dict[str, int] | None = None) -> None:
        self.connection = connection
        self._rooms = {} if rooms is None else rooms
        self._is_extended = False

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

    async def make_room(self, of: str, lowest: int, highest: int, now_us: int) -> None:
        if highest < self._rooms.get(of, 0):
            return
        found = await self.row("room", of)
        if found is None or found[0] <= highest:
            self._is_extended = True  # which may yet be undone
            await self.rows("make_room", of, lowest, highest, now_us)
        elif not self._is_extended:
            self._rooms[of] = found[0]


def _sent(value: Any) -> Any:
    """Return *value* as the server takes it: a text there holds everything but U+0000."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
