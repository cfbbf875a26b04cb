"""Open and parked batches as people look at them: the newest first, and how many there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from postbell.ports import Engine
from postbell.records import OpenBatch
from postbell.reports.views import batch_view

MAX_READ = 20_000
PAGE = 1000


class Opened(NamedTuple):
    """Views of open batches, the last cut first; *is_partial* where there are more than MAX_READ.

    The order is that of `key_of`, largest first.
    """

    rows: Sequence[dict[str, Any]]
    is_partial: bool

    def count(self, state: str) -> int:
        """Return how many of them are in *state*: waiting or parked."""
        return sum(row["state"] == state for row in self.rows)


class OpenBatches:
    """Reads what the ledger has open.

    The ledger pages by id, which says nothing of time; an order by time is worth no index of its
    own on rows that are written for every batch, since what is open is little.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def newest(self, account_id: int | None, webhook_id: int | None = None) -> Opened:
        """Return the open and parked batches of an account or one of its webhooks."""
        found: list[OpenBatch] = []
        after, read = "", 0
        while read < MAX_READ:
            page = await self._engine.ledger.open_batches(
                webhook_id=webhook_id, account_id=account_id, after=after, limit=PAGE
            )
            found += [batch for batch in page if batch.done is None]
            read += len(page)
            if len(page) < PAGE:
                return _sorted(found, is_partial=False)
            after = page[-1].id
        return _sorted(found, is_partial=True)


def key_of(row: dict[str, Any]) -> tuple[str, str]:
    """Return what batches are ordered by, open and finished ones: a time, then the id."""
    return row.get("finished_at") or row["cut_at"], row["id"]


def _sorted(found: list[OpenBatch], *, is_partial: bool) -> Opened:
    rows = sorted((batch_view(batch) for batch in found), key=key_of, reverse=True)
    return Opened(rows, is_partial)
