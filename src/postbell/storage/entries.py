"""Choosing journal entries: the same test for every engine."""

from collections.abc import Callable

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
