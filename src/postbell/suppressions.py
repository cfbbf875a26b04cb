"""The suppression list's words: who is not to be mailed any more, why, and what makes it so.

An entry is of an account, or of one of its api users, and names an address.  `suppressing` makes
entries of what the log says, a person of what he wants; `storage.suppressing` decides what becomes
of the one that is there, so that every engine decides alike.
"""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec

MOST_ENTRIES = 10_000_000
"""So many entries an account has at most: they stay when the log's events are gone, 140 bytes each
on disk and 17 in memory, so that a customer who makes up events fills neither."""
MAX_NOTE_CHARS = 200
MAX_DAYS = 3650
EPOCH = date(1970, 1, 1).toordinal()


class SuppressionReason(StrEnum):
    """Why an address is suppressed."""

    SOFT_BOUNCE = "soft_bounce"
    UNSUBSCRIBE = "unsubscribe"
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"


STRENGTH = {reason: number for number, reason in enumerate(SuppressionReason)}
"""Of reasons that last as long the stronger one is there, whichever came first."""


class SuppressionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When events suppress an address, and for how long.

    They do once they came on *after* different days (UTC) of *within_days*; 0: never.  It ends
    *lasts_days* after that, 0: when somebody removes it.
    """

    after: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    within_days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] = 1
    lasts_days: Annotated[int, msgspec.Meta(ge=0, le=MAX_DAYS)] = 0


class SuppressionRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What puts an address on an account's list by itself: nothing, until it *is_on*."""

    is_on: bool = False
    hard_bounce: SuppressionRule = SuppressionRule()
    soft_bounce: SuppressionRule = SuppressionRule(after=5, within_days=30, lasts_days=30)
    complaint: SuppressionRule = SuppressionRule()
    unsubscribe: SuppressionRule = SuppressionRule()

    def of(self, reason: SuppressionReason) -> SuppressionRule:
        """Return the rule for a reason that events have."""
        rule: SuppressionRule = getattr(self, reason.value)
        return rule


def ruled_reasons() -> list[SuppressionReason]:
    """Return the reasons that have a rule: those of events."""
    return [reason for reason in SuppressionReason if reason is not SuppressionReason.MANUAL]


class AccountRules(NamedTuple):
    """An account's rules, in force for blocks above *since_block*, and its *entries* in force."""

    rules: SuppressionRules = SuppressionRules()
    since_block: int = 0
    entries: int = 0


class SuppressionKey(NamedTuple):
    """Which entry: *api_user_id* 0 stands for the whole account, *key* is `recipients.key_of`."""

    account_id: int
    key: str
    api_user_id: int


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is not to be mailed, or that somebody took off the list.

    *event_id* in *block* is what caused it, empty and 0 for a person.  *until* None means until it
    is removed.  One that was *removed_at* stays so that nothing up to *removed_block* causes it
    again, then or after it was in force for something later.  *revision* rises with every change
    of any entry; *generation* is that of the last rebuild that found a cause.
    """

    account_id: int
    api_user_id: int
    key: str
    address: str
    reason: SuppressionReason
    since: datetime
    until: datetime | None = None
    block: int = 0
    event_id: str = ""
    note: str = ""
    removed_at: datetime | None = None
    removed_block: int = 0
    revision: int = 0
    generation: int = 0

    @property
    def place(self) -> SuppressionKey:
        return SuppressionKey(self.account_id, self.key, self.api_user_id)

    def is_in_force(self, now: datetime) -> bool:
        return self.removed_at is None and (self.until is None or self.until > now)


class Ending(StrEnum):
    """Why an entry is no more in force."""

    REMOVED = "removed"
    RESUBSCRIBED = "resubscribed"
    EXPIRED = "expired"
    REBUILT = "rebuilt"


class SuppressionChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the list, to be told as an event: *entry* is in force now, or *ending* says
    why no more.  *told_as* is the api user whose event that is, 0 for any of the account's."""

    revision: int
    at: datetime
    entry: Suppression
    ending: Ending | None = None
    told_as: int = 0


class FindingKind(StrEnum):
    """What an event means for the list."""

    CAUSE = "cause"
    RESUBSCRIBED = "resubscribed"
    DELIVERED = "delivered"
    UNREADABLE = "unreadable"
    """Nobody can say what the block held: what came of it once stays."""


class Finding(NamedTuple):
    """What an event of the log says of an address; *entry* is what it causes once *rule* is met.

    *told_as* is the api user whose event it was.
    """

    kind: FindingKind
    entry: Suppression
    rule: SuppressionRule
    told_as: int


class FollowedUpTo(NamedTuple):
    """How far the list has read: the newest *block* that is in; a rebuild of this *generation* is
    done once that is *rebuild_to*, 0 where none is under way."""

    block: int = 0
    generation: int = 0
    rebuild_to: int = 0


def ends_at(since: datetime, rule: SuppressionRule) -> datetime | None:
    """Return when an entry that begins then ends by its rule."""
    return since + timedelta(days=rule.lasts_days) if rule.lasts_days else None


def day_of(moment: datetime) -> int:
    """Return the day of *moment* (UTC) as a number."""
    return moment.toordinal() - EPOCH


def with_day(days: tuple[int, ...], day: int, within_days: int) -> tuple[int, ...]:
    """Return *days* and *day*, each once, without those that are too old to count with it."""
    return tuple(sorted({each for each in (*days, day) if abs(day - each) < within_days}))
