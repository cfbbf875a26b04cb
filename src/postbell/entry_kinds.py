"""What the kinds of journal entries mean: one row a kind, asked by everybody who reads the journal.

Who makes an entry names its kind; who reads one asks the kind's row, never which kind it is.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

Ending = Literal["delivered", "expired", "split", ""]


class CountsAs(StrEnum):
    """Where the accounting has an entry: three places of events, and what stands beside them."""

    DELIVERED = "delivered"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    SPLIT = "split"
    RECUT = "recut"
    TEST = "test"

    @property
    def is_loss(self) -> bool:
        """Say whether its events are never sent."""
        return self in (CountsAs.SKIPPED, CountsAs.EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """What one kind means.

    *counts_as* is for all events of the entry, of an attempt for those that it delivered.
    *ends_batch_as* is how its batch ended, empty where it goes on; an attempt ends it only with
    success.  *is_attempt* says that a batch was really sent: in one request, or, where *is_run*,
    in one for each event that was delivered.  *is_counted* says that figures, search and the
    history of events have it.
    """

    counts_as: CountsAs
    ends_batch_as: Ending = ""
    is_attempt: bool = False
    is_run: bool = False
    is_counted: bool = True


class EntryKind(StrEnum):
    """What a journal entry records of a range."""

    row: KindRow

    def __new__(cls, name: str, row: KindRow) -> Self:
        """Make a kind, which cannot be without a row."""
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.row = row
        return kind

    ATTEMPT = (
        "attempt",
        KindRow(counts_as=CountsAs.DELIVERED, ends_batch_as="delivered", is_attempt=True),
    )
    RUN = (
        "run",
        KindRow(
            counts_as=CountsAs.DELIVERED, ends_batch_as="delivered", is_attempt=True, is_run=True
        ),
    )
    SKIPPED = "skipped", KindRow(counts_as=CountsAs.SKIPPED)
    EXPIRED = "expired", KindRow(counts_as=CountsAs.EXPIRED, ends_batch_as="expired")
    SPLIT = "split", KindRow(counts_as=CountsAs.SPLIT, ends_batch_as="split")
    RECUT = "recut", KindRow(counts_as=CountsAs.RECUT)
    TEST = "test", KindRow(counts_as=CountsAs.TEST, is_counted=False)
