"""The journal in PostgreSQL, whose oldest rows are hidden, not deleted."""

from datetime import datetime
from functools import partial
from itertools import takewhile

from postbell.clock import to_us
from postbell.storage.sql.journal import DROP_ROWS, OldRow, SqlJournal
from postbell.storage.sql.transaction import Transaction


class PostgresJournal(SqlJournal):
    async def drop(self, before: datetime, *, below: int | None = None) -> int:
        """Hide what comes before the first row that is kept; what is old behind it, as after a
        clock that was wrong, is deleted."""
        at = to_us(before)
        hidden, edge, is_over = 0, 0, False
        while not is_over:
            rows = await self._store.readers.rows("oldest_journal", edge, DROP_ROWS)
            page = list(map(OldRow.read, rows))
            old = list(takewhile(lambda row: row.newest_at < at and not row.reaches(below), page))
            is_over = len(old) < DROP_ROWS
            if old:
                hidden += len(old)
                edge = page[len(old)].row_id if len(old) < len(page) else old[-1].row_id + 1
                await self._store.writer.run(partial(_hide, edge), is_reserved=True)
        return hidden + await super().drop(before, below=below)


async def _hide(edge: int, db: Transaction) -> None:
    await db.run("hide_journal", edge)
