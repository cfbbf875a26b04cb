"""What becomes of the suppression list's entries: decided here for every engine, in the commit that
writes it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol, assert_never

from msgspec.structs import replace

from postbell.errors import Conflict
from postbell.suppressions import (
    MOST_ENTRIES,
    STRENGTH,
    AccountRules,
    Ending,
    Finding,
    FindingKind,
    Suppression,
    SuppressionChange,
    SuppressionKey,
    SuppressionReason,
    day_of,
    with_day,
)

FOREVER = datetime.max.replace(tzinfo=UTC)


class Rows(Protocol):
    """The tables of an engine, inside a commit."""

    async def entry(self, place: SuppressionKey) -> Suppression | None: ...
    async def put(self, entry: Suppression) -> None: ...
    async def drop(self, place: SuppressionKey) -> None: ...
    async def keep(self, account_id: int, block: int, generation: int) -> None:
        """Let all entries that *block* caused be of this generation."""
        ...

    async def days(self, place: SuppressionKey) -> dict[SuppressionReason, tuple[int, ...]]:
        """Return the days on which something came that does not suppress the address yet."""
        ...

    async def set_days(
        self,
        place: SuppressionKey,
        days: dict[SuppressionReason, tuple[int, ...]],
        until_day: int,
    ) -> None:
        """Keep these days, none for empty ones, until *until_day* at least."""
        ...

    async def next_revision(self) -> int: ...
    async def tell(self, change: SuppressionChange) -> None: ...
    async def count(self, account_id: int, more: int) -> int:
        """Return how many entries of the account are in force, *more* than before."""
        ...


class Book:
    """Changes entries; *generation* is that of the rebuild that is under way, or was last."""

    def __init__(self, rows: Rows, now: datetime, generation: int) -> None:
        self._rows = rows
        self._now = now
        self._generation = generation

    async def take_in(self, findings: Iterable[Finding]) -> None:
        """Do what the log says, in its order; what an account has no room for is left out."""
        for each in findings:
            match each.kind:
                case FindingKind.CAUSE:
                    await self._cause(each)
                case FindingKind.RESUBSCRIBED:
                    await self._resubscribed(each)
                case FindingKind.DELIVERED:
                    await self._delivered(each.entry)
                case FindingKind.UNREADABLE:
                    place = (each.entry.account_id, each.entry.block)
                    await self._rows.keep(*place, self._generation)
                case never:
                    assert_never(never)

    async def add(self, entries: Sequence[Suppression], told_as: int) -> int:
        """Put what a person wants on the list; return how many are there already."""
        kept = 0
        for entry in entries:
            before = await self._rows.entry(entry.place)
            if self._stands(before, entry):
                kept += 1
                continue
            if not await self._put(before, entry, told_as):
                raise Conflict(
                    f"the list is full: an account has at most {MOST_ENTRIES:,} suppressed"
                    " addresses; remove some first",
                    reason="suppressions_full",
                    most=MOST_ENTRIES,
                )
        return kept

    async def remove(
        self, places: Iterable[SuppressionKey], block: int, told_as: int
    ) -> list[Suppression]:
        """Take entries off the list, so that nothing up to *block* causes them again; return those
        that were in force."""
        known = [await self._rows.entry(place) for place in places]
        found = [each for each in known if each is not None and each.is_in_force(self._now)]
        for entry in found:
            await self._take_off(entry, block, Ending.REMOVED, told_as)
            await self._rows.set_days(entry.place, {}, 0)
        return found

    async def expire(self, entry: Suppression) -> None:
        """Forget an entry whose time is over, but not that somebody took it off before."""
        if entry.removed_block:
            await self._take_off(entry, 0, Ending.EXPIRED, 0)
            return
        await self._rows.drop(entry.place)
        await self._rows.count(entry.account_id, -1)
        await self._tell(
            replace(entry, revision=await self._rows.next_revision()), Ending.EXPIRED, 0
        )

    async def judge(self, entry: Suppression, account: AccountRules, first_block: int) -> None:
        """End an entry that a rebuild found no cause of, unless that is gone from the log, or none
        was looked for since the rules are off."""
        if entry.block < first_block or not account.rules.is_on:
            await self._rows.put(replace(entry, generation=self._generation))
        else:
            await self._take_off(entry, 0, Ending.REBUILT, 0)

    async def _cause(self, finding: Finding) -> None:
        entry = finding.entry
        before = await self._rows.entry(entry.place)
        if before is not None and entry.block <= before.removed_block:
            return
        if not await self._is_enough(finding):
            return
        if before is not None and _lasts_otherwise(before, entry):
            if entry.is_in_force(self._now):
                await self._put(before, entry, finding.told_as)
            else:
                await self._take_off(before, 0, Ending.REBUILT, finding.told_as)
        elif self._stands(before, entry):
            if before is not None and before.generation != self._generation:
                await self._rows.put(replace(before, generation=self._generation))
        elif entry.is_in_force(self._now):
            await self._put(before, entry, finding.told_as)

    async def _is_enough(self, finding: Finding) -> bool:
        """Count a cause, and say whether there were enough on different days."""
        rule, entry = finding.rule, finding.entry
        if rule.after <= 1:
            return True
        days = await self._rows.days(entry.place)
        today = day_of(entry.since)
        days[entry.reason] = with_day(days.get(entry.reason, ()), today, rule.within_days)
        is_enough = len(days[entry.reason]) >= rule.after
        if is_enough:
            del days[entry.reason]
        await self._rows.set_days(entry.place, days, today + rule.within_days)
        return is_enough

    def _stands(self, before: Suppression | None, entry: Suppression) -> bool:
        """Say whether the entry that there is stays as it is: it lasts longer, or as long and its
        reason is as strong.  So what lasts longest is there, in whatever order they came."""
        return (
            before is not None
            and before.is_in_force(self._now)
            and _weight(before) >= _weight(entry)
        )

    async def _resubscribed(self, finding: Finding) -> None:
        entry = finding.entry
        before = await self._rows.entry(entry.place)
        if (
            before is not None
            and before.is_in_force(self._now)
            and before.reason is SuppressionReason.UNSUBSCRIBE
            and before.block < entry.block
        ):
            await self._take_off(before, entry.block, Ending.RESUBSCRIBED, finding.told_as)

    async def _delivered(self, entry: Suppression) -> None:
        """Begin anew to count soft bounces: the address takes mail."""
        days = await self._rows.days(entry.place)
        if days.pop(SuppressionReason.SOFT_BOUNCE, None):
            await self._rows.set_days(entry.place, days, 0)

    async def _put(self, before: Suppression | None, entry: Suppression, told_as: int) -> bool:
        """Put an entry in force; say whether there was room."""
        is_counted = before is not None and before.removed_at is None
        if not is_counted and await self._rows.count(entry.account_id, 1) > MOST_ENTRIES:
            await self._rows.count(entry.account_id, -1)
            return False
        revision = await self._rows.next_revision()
        put = replace(
            entry,
            removed_block=0 if before is None else before.removed_block,
            revision=revision,
            generation=self._generation,
        )
        await self._rows.put(put)
        await self._tell(put, None, told_as)
        return True

    async def _take_off(self, entry: Suppression, block: int, ending: Ending, told_as: int) -> None:
        taken = replace(
            entry,
            removed_at=self._now,
            removed_block=max(block, entry.removed_block),
            revision=await self._rows.next_revision(),
        )
        await self._rows.put(taken)
        await self._rows.count(entry.account_id, -1)
        await self._tell(taken, ending, told_as)

    async def _tell(self, entry: Suppression, ending: Ending | None, told_as: int) -> None:
        await self._rows.tell(
            SuppressionChange(
                revision=entry.revision,
                at=self._now,
                entry=entry,
                ending=ending,
                told_as=told_as,
            )
        )


def _lasts_otherwise(before: Suppression, entry: Suppression) -> bool:
    """Say whether a rebuild found the cause of an entry again, which lasts longer or shorter by the
    rules that there are now."""
    is_same = (before.block, before.event_id) == (entry.block, entry.event_id)
    return is_same and before.removed_at is None and before.until != entry.until


def _weight(entry: Suppression) -> tuple[datetime, int]:
    """Return how long an entry lasts, then how strong its reason is."""
    return entry.until or FOREVER, STRENGTH[entry.reason]
