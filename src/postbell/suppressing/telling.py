"""Tells each change of the suppression list as an event, exactly once.

A change waits in the engine from the commit that made it until the commit of its event, which lets
it go: whatever ends the process in between, it is neither lost nor told twice.  Where two processes
tell the same one, the id, a pure function of the change, lets ingest know the second.
"""

import asyncio
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import groupby
from typing import Protocol

import msgspec

from postbell.clock import rfc3339
from postbell.directory import Directory, Known
from postbell.errors import Overloaded, StorageError
from postbell.events import Draft, EventType, Suppressed
from postbell.fences import fence
from postbell.ports import Suppressions
from postbell.records import Account
from postbell.signals import log
from postbell.suppressions import SuppressionChange

AT_ONCE = 500
IDLE_S = 0.5
RETRY_S = 2.0
changed: Counter[tuple[str, ...]] = Counter()
"""How many changes this process told, by what each is (`suppressed`, or its ending) and reason."""


class TellingIngest(Protocol):
    """`ingest.ingest`, as far as this needs it."""

    async def tell(self, account: Account, drafts: Sequence[Draft], told: int) -> "ToldChanges": ...


class RefusedChange(Protocol):
    @property
    def message(self) -> str: ...


class ToldChanges(Protocol):
    """What became of the events."""

    @property
    def accepted(self) -> int: ...
    @property
    def rejected(self) -> Sequence[RefusedChange]: ...


class SuppressionTeller:
    """Hands the changes over to ingest, in their order."""

    def __init__(
        self, suppressions: Suppressions, ingest: TellingIngest, directory: Directory
    ) -> None:
        self._suppressions = suppressions
        self._ingest = ingest
        self._directory = directory

    async def run(self) -> None:
        """Tell until cancelled; what cannot be written now is told later."""
        while True:
            try:
                wait_s = 0.0 if await self.step() else IDLE_S
            except (StorageError, Overloaded) as error:
                log("suppressing_failed", error=f"{type(error).__name__}: {error.message}")
                wait_s = RETRY_S
            await asyncio.sleep(wait_s)

    async def step(self) -> bool:
        """Tell the next changes; return whether there were any."""
        changes = await self._suppressions.changes(0, AT_ONCE)
        for account_id, group in groupby(changes, lambda each: each.entry.account_id):
            part = list(group)
            with fence("suppressions", item="changes", account=account_id) as telling:
                await self._tell(account_id, part)
            if telling.has_failed:  # or they would be in the way for ever
                await self._suppressions.told(part[-1].revision, len(part))
        return bool(changes)

    async def _tell(self, account_id: int, changes: list[SuppressionChange]) -> None:
        account = await self._directory.account(account_id)
        users = await self._directory.find(partial(_users_of, account_id)) or {}
        drafts = [_draft(each, users) for each in changes] if users else []
        answer = await self._ingest.tell(account, drafts, changes[-1].revision)
        if answer.accepted:
            changed.update(map(_named, changes))
        if answer.rejected or len(drafts) < len(changes):
            untold = len(changes) - len(drafts) + len(answer.rejected)
            why = answer.rejected[0].message if answer.rejected else "it has no api user"
            log("suppressions_untold", account=account.name, changes=untold, error=why)


def _users_of(account_id: int, known: Known) -> dict[int, str] | None:
    return {user.id: user.name for user in known.api_users_of(account_id)} or None


def _draft(change: SuppressionChange, users: Mapping[int, str]) -> Draft:
    """Return a change's event, of one of the account's api users."""
    entry = change.entry
    user = users.get(change.told_as) or users.get(entry.api_user_id) or users[min(users)]
    return Draft(
        event_id=id_of(change),
        type=EventType.SUPPRESSED if change.ending is None else EventType.UNSUPPRESSED,
        occurred_at=rfc3339(change.at),
        api_user=user,
        recipient=entry.address,
        suppression=Suppressed(
            reason=entry.reason.value,
            scope="api_user" if entry.api_user_id else "account",
            event_id=entry.event_id or None,
            since=entry.since,
            until=entry.until,
            ending=None if change.ending is None else change.ending.value,
        ),
    )


def _named(change: SuppressionChange) -> tuple[str, str]:
    kind = EventType.SUPPRESSED if change.ending is None else change.ending
    return kind.value, change.entry.reason.value


def id_of(change: SuppressionChange) -> str:
    """Return the id of a change's event: a hash of the change."""
    digest = blake2b(msgspec.json.encode(change), digest_size=15, person=b"suppression").digest()
    return "ev_" + urlsafe_b64encode(digest).decode()
