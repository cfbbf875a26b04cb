"""The suppression list as an engine keeps it: a cursor over the log, and what it fills."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from postbell.suppressions import (
    AccountRules,
    Finding,
    FollowedUpTo,
    Suppression,
    SuppressionChange,
    SuppressionKey,
    SuppressionReason,
    SuppressionRules,
)

ENTRIES_LOOKED_AT = 10_000
"""So many entries are looked at for one page of a list that is searched."""
REMOVED_KEPT = timedelta(days=1)
"""So long a removed entry is there at least, for who follows the list."""


class SuppressionQuery(NamedTuple):
    """Which entries in force of an account: empty members want everything.

    *search* is a part of `recipients.key_of`; *api_user_id* 0 those of the whole account.
    """

    account_id: int
    search: str = ""
    reason: SuppressionReason | None = None
    api_user_id: int | None = None


class Suppressions(Protocol):
    """Entries by account, address and api user; each change of one is in `changes` until it was
    told.  What ended stays readable: who asks compares with the time."""

    async def rules(self) -> dict[int, AccountRules]:
        """Return the rules of accounts that have some, by account id."""
        ...

    async def set_rules(self, account_id: int, rules: SuppressionRules) -> AccountRules:
        """Put these rules in force and return those before: from the log's head on where these were
        off, else for all that was not read yet."""
        ...

    async def followed(self) -> FollowedUpTo:
        """Return how far the list has read."""
        ...

    async def take_in(
        self, before: FollowedUpTo, block: int, findings: Sequence[Finding], now: datetime
    ) -> bool:
        """Move the cursor from *before* to *block* with what was found up to there, in order.

        What becomes of an entry is decided in the same commit (`storage.suppressing`).  False, and
        nothing is written, where the cursor stands elsewhere.
        """
        ...

    async def counted(self, account_id: int, keys: Sequence[str]) -> set[str]:
        """Return which of these keys have something counted for them."""
        ...

    async def rebuild(self) -> FollowedUpTo:
        """Let the cursor begin anew, for every rule as if it had always been in force.  Entries
        stay as they are until it comes to where the log ends now."""
        ...

    async def drop_unfounded(self, first_block: int, now: datetime, limit: int) -> int:
        """Once a rebuild came to its end, end up to *limit* entries that it found no cause of
        though their block is not below *first_block* and their account's rules are on; return how
        many went.  0: it is done."""
        ...

    async def find(self, account_id: int, keys: Sequence[str]) -> list[Suppression]:
        """Return all entries with these keys, of the account and its api users, removed ones
        too."""
        ...

    async def entries(
        self,
        wanted: SuppressionQuery,
        now: datetime,
        *,
        after: SuppressionKey | None = None,
        limit: int = 100,
    ) -> tuple[list[Suppression], SuppressionKey | None]:
        """Return up to *limit* entries in force, by key and api user, and after which the next
        ones come, None after the last.  At most ENTRIES_LOOKED_AT are looked at."""
        ...

    async def add(self, entries: Sequence[Suppression], now: datetime, told_as: int) -> int:
        """Put *entries* of one account on the list, all or none; return how many were not.

        One in force stays if it lasts longer, or as long for as strong a reason.  Raises
        Conflict where the account would have more than MOST_ENTRIES.
        """
        ...

    async def remove(
        self, places: Sequence[SuppressionKey], now: datetime, told_as: int
    ) -> list[Suppression]:
        """Take these off the list, and let nothing in the log up to now put them there again;
        return those that were in force."""
        ...

    async def end(self, now: datetime, limit: int) -> int:
        """End up to *limit* entries whose time is over; return how many."""
        ...

    async def sweep(self, first_block: int, now: datetime, limit: int) -> int:
        """Forget up to *limit* removed entries that only blocks below *first_block* could cause,
        and as many counts that no rule needs any more; return how many went."""
        ...

    async def since(self, revision: int, limit: int) -> list[Suppression]:
        """Return up to *limit* entries above *revision*, removed ones too, by revision."""
        ...

    async def changes(self, after: int, limit: int) -> list[SuppressionChange]:
        """Return up to *limit* changes above a revision, by revision; those that others made may be
        missing for two seconds."""
        ...

    async def told(self, revision: int, limit: int) -> int:
        """Forget up to *limit* changes up to this revision, which were told; return how many."""
        ...
