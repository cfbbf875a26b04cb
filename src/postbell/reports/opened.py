"""Open and parked batches as people look at them: the newest first, and how many there are."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from postbell.clock import rfc3339
from postbell.ports import Engine
from postbell.reading.paging import PAGE, batch_pages
from postbell.records import BatchState, OpenBatch
from postbell.reports.batch_views import BatchView, batch_view

MAX_READ = 20_000
ENOUGH = 50


class Opened(NamedTuple):
    """Views of open batches, the last cut first: in the order of `key_of`, largest first.

    *rows* are all that waits, and some of what is parked; *parked* says how much of that there is
    in all, *has_more* that some comes after those.  *is_partial* where more than MAX_READ wait.
    """

    rows: Sequence[BatchView]
    parked: int
    has_more: bool
    is_partial: bool

    def count(self, state: str) -> int:
        """Return how many there are in *state*: waiting or parked."""
        if state == BatchState.PARKED:
            return self.parked
        return sum(row.state == state for row in self.rows)


class OpenBatches:
    """Reads what the ledger has open.

    What waits is little, and paged by id, which says nothing of time: an order by time is worth
    no index of its own on rows that are written for every batch.  What is parked may be any
    number: the ledger has it by time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def newest(
        self,
        account_id: int,
        webhook_id: int | None = None,
        *,
        before: str = "",
        fits: Callable[[BatchView], bool] = lambda _: True,
        enough: int = ENOUGH,
    ) -> Opened:
        """Return the open and parked batches of an account or one of its webhooks.

        Of what is parked *enough* that fit are looked for, among MAX_READ, after the mark *before*:
        the parts of a `key_of` joined by a point, or "" for the newest.
        """
        waiting, is_partial = await self._waiting(account_id, webhook_id)
        parked, has_more = await self._parked(account_id, webhook_id, before, fits, enough)
        rows = sorted((*map(batch_view, waiting), *parked), key=key_of, reverse=True)
        count = await self._count(account_id, webhook_id)
        return Opened(rows, count, has_more, is_partial)

    async def _waiting(
        self, account_id: int, webhook_id: int | None
    ) -> tuple[list[OpenBatch], bool]:
        found: list[OpenBatch] = []
        read = 0
        pages = batch_pages(
            self._engine.ledger,
            webhook_id=webhook_id,
            account_id=account_id,
            state=BatchState.WAITING,
        )
        async for page in pages:
            found += [batch for batch in page if batch.done is None]
            read += len(page)
            if read >= MAX_READ and len(page) == PAGE:
                return found, True
        return found, False

    async def _parked(
        self,
        account_id: int,
        webhook_id: int | None,
        before: str,
        fits: Callable[[BatchView], bool],
        enough: int,
    ) -> tuple[list[BatchView], bool]:
        """Return views of parked batches, and whether there may be more that fit."""
        found: list[BatchView] = []
        mark, read, limit = _moment(before), 0, enough
        while len(found) < enough and read < MAX_READ:
            page = await self._engine.ledger.parked(
                account_id, webhook_id=webhook_id, before=mark, limit=limit
            )
            found += [row for row in map(batch_view, page) if fits(row)]
            read += len(page)
            if len(page) < limit:
                return found, False
            mark, limit = (page[-1].cut_at, page[-1].id), PAGE
        return found, 0 < enough <= len(found)

    async def _count(self, account_id: int, webhook_id: int | None) -> int:
        """Return how many batches are parked."""
        if webhook_id is None:
            return (await self._engine.ledger.count_parked(account_id)).batches
        claim = await self._engine.ledger.lane(webhook_id, most=0)
        is_ours = claim is not None and claim.lane.account_id == account_id
        return claim.parked.batches if claim is not None and is_ours else 0


def key_of(row: BatchView) -> tuple[datetime, str]:
    """Return what batches are ordered by, open and finished ones: a time, then the id."""
    return row.at, row.id


def mark_of(row: BatchView) -> str:
    """Return the mark after a row, as an address has it."""
    return f"{rfc3339(row.at)}.{row.id}"


def _moment(mark: str) -> tuple[datetime, str] | None:
    """Return the time and the id of a mark, None where it holds none."""
    text, _, batch_id = mark.rpartition(".")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment, batch_id) if moment.tzinfo is not None and batch_id.isascii() else None
