"""Parts of log and journal: made as they fill, dropped whole once all of one is too old.

What retention lets go of is hidden first, by a mark: nothing of it is deleted row by row, which
would cost as much as writing it did and leave its space to a vacuum. Only where a part takes much
longer than it was made for, since hardly anything comes in any more, are its oldest rows deleted.
"""

from datetime import datetime
from functools import partial
from typing import NamedTuple

from postbell.clock import to_us
from postbell.storage.postgres.connecting import DatabaseServer, closed, connect
from postbell.storage.postgres.faults import FAULTS, as_storage_error
from postbell.storage.postgres.readers import PostgresReaders
from postbell.storage.postgres.transaction import PostgresTransaction
from postbell.storage.postgres.writer import PostgresWriter
from postbell.storage.sql.transaction import Transaction

HIDE_BLOCKS = 4096
"""So many in one commit, in which no lane moves: it takes a few milliseconds."""
OVERDUE_US = 86_400_000_000
"""A part that has been too old in parts for so long is emptied row by row."""
DELETED_IDS = {"blocks": 32, "journal": 1000}


class OldPart(NamedTuple):
    """A part of the log or the journal, *of* which something lies below *edge*, and is too old."""

    of: str
    first: int
    beyond: int
    old_at: int | None
    edge: int


async def hide_blocks(db: Transaction, edge: int) -> int:
    """Let some blocks below *edge* be too old; return how many."""
    hidden: int = await db.scalar("hide_blocks", edge, HIDE_BLOCKS)
    return hidden


async def give_back(
    server: DatabaseServer, readers: PostgresReaders, writer: PostgresWriter, now: datetime
) -> bool:
    """Drop a part that nobody needs any more, or a few rows that are overdue; say whether there may
    be more to do at once."""
    for old in map(OldPart._make, await readers.rows("old_parts")):
        is_more = False
        if old.beyond <= old.edge:
            is_more = await _drop(server, old)
        elif old.old_at is None:
            await writer.run(partial(_found, old, to_us(now)), is_reserved=True)
        elif to_us(now) - old.old_at > OVERDUE_US:
            is_more = await writer.run(partial(_delete, old), is_reserved=True)
        if is_more:
            return True
    return False


async def _drop(server: DatabaseServer, old: OldPart) -> bool:
    """Drop it on a connection of its own, so that its lock ends with it; say whether it went."""
    connection = await connect(server)
    try:
        async with connection.transaction():
            gone: bool = await PostgresTransaction(connection).scalar("drop_part", old.of, old.edge)
        await closed(connection)
        return gone
    except FAULTS as error:
        raise as_storage_error(error) from error
    finally:
        if not connection.is_closed():
            connection.terminate()


async def _found(old: OldPart, now_us: int, db: Transaction) -> None:
    """Write down since when something of it is too old."""
    await db.run("set_old_at", old.of, old.first, now_us)


async def _delete(old: OldPart, db: Transaction) -> bool:
    """Delete some of its rows that are too old; say whether there were any."""
    oldest: int | None = await db.scalar(f"left_{old.of}")
    if oldest is None or oldest >= old.edge:
        return False
    edge = min(old.edge, oldest + DELETED_IDS[old.of])
    await db.run(f"delete_{old.of}", edge)
    if old.of == "journal":
        await db.run("delete_journal_webhooks", edge)
    return True
