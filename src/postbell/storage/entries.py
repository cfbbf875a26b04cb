"""Choosing journal entries: the same tests for every engine."""

from collections.abc import Callable

from postbell.blocks import Position, Range
from postbell.records import Entry


def entry_filter(
    webhook_id: int | None, account_id: int | None, batch_id: str
) -> Callable[[Entry], bool]:
    """Return the test that `Journal.recent` puts entries to; None and "" fit all."""

    def fits(entry: Entry) -> bool:
        return (
            webhook_id in (None, entry.webhook_id)
            and account_id in (None, entry.account_id)
            and batch_id in ("", entry.batch_id)
        )

    return fits


def is_first_attempt(entry: Entry) -> bool:
    """Say whether nothing older can speak of the entry's batch."""
    kind = entry.kind.row
    return kind.is_attempt and not kind.is_run and entry.attempt == 1 and not entry.note


def reaches(part: Range, block: int | None) -> bool:
    """Say whether *part* holds something of this block or of one behind it; None: never."""
    return block is not None and part.start < part.end and part.end > Position(block, 0)
