"""The suppression list as it is shown: to APIs, pages and the command line."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import NotFound
from postbell.events import Moment
from postbell.plain import plain
from postbell.ports import Engine, SuppressionQuery
from postbell.records import ALL
from postbell.reports.marks import no_mark
from postbell.reports.views import Number, Page
from postbell.suppressions import (
    AccountRules,
    Suppression,
    SuppressionKey,
    SuppressionReason,
    SuppressionRules,
)
from postbell.text.recipients import key_of

PAGE = 1000
SLICE = 50
"""Addresses between two pauses: at the very worst some 30 ms."""
COLUMNS = ("address", "api_user", "reason", "since", "until", "event_id", "note")


class SuppressionView(Struct, frozen=True):
    """An address that is not to be mailed."""

    address: Annotated[str, Meta(description="as it came first; case does not count")]
    api_user: Annotated[str, Meta(description="whose mail it is kept from, `all`: the account's")]
    reason: SuppressionReason
    since: Moment
    until: Annotated[Moment | None, Meta(description="null: until somebody removes it")]
    event_id: Annotated[str | None, Meta(description="which event caused it; null: a person")]
    note: Annotated[str, Meta(description="what the person said")]


class CheckedAddress(Struct, frozen=True):
    """What the list says of an address."""

    address: str
    is_suppressed: bool
    suppressions: Annotated[
        list[SuppressionView], Meta(description="of the account, and of the api user asked for")
    ]


class SuppressionRulesView(SuppressionRules, frozen=True, kw_only=True):
    """What puts addresses on the list by itself, and how many are on it."""

    entries: Number = 0


_AFTER = msgspec.json.Decoder(tuple[str, Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]]).decode


class SuppressionsReport:
    """Reading the list of an account."""

    def __init__(self, engine: Engine, directory: Directory, clock: Clock) -> None:
        self._engine = engine
        self._directory = directory
        self._clock = clock

    async def page(
        self, wanted: SuppressionQuery, *, after: str = "", limit: int = 100
    ) -> Page[SuppressionView]:
        """Return entries in force by address; *after* is `next` of the page before.

        A page may have fewer rows than asked for, or none, and a next one: a search looks at
        `ports.ENTRIES_LOOKED_AT` at once.  A whole address that is on the list is found alone, and
        at once.
        """
        exact = [] if after else await self._exactly(wanted)
        if exact:
            return Page(await self.views(exact), None)
        place = _place(wanted.account_id, after)
        now = self._clock.now()
        rows, more = await self._engine.suppressions.entries(wanted, now, after=place, limit=limit)
        return Page(await self.views(rows), _mark(more))

    async def _exactly(self, wanted: SuppressionQuery) -> list[Suppression]:
        if "@" not in wanted.search:
            return []
        now = self._clock.now()
        return [
            each
            for each in await self._engine.suppressions.find(wanted.account_id, [wanted.search])
            if each.is_in_force(now)
            and wanted.reason in (None, each.reason)
            and wanted.api_user_id in (None, each.api_user_id)
        ]

    async def every(self, wanted: SuppressionQuery) -> AsyncIterator[list[SuppressionView]]:
        """Yield all entries that fit, in pages."""
        after: str | None = ""
        while after is not None:
            page = await self.page(wanted, after=after, limit=PAGE)
            yield page.rows
            after = page.next

    async def check(
        self, account_id: int, addresses: Sequence[str], api_user_id: int | None = None
    ) -> list[CheckedAddress]:
        """Say of each address whether it is suppressed: for the account, or for this api user (0:
        for the account alone); with None for anybody."""
        keys: list[str] = []
        for address in addresses:
            keys.append(key_of(address))
            if len(keys) % SLICE == 0:
                await asyncio.sleep(0)
        now = self._clock.now()
        found = await self._engine.suppressions.find(account_id, list(dict.fromkeys(keys)))
        counting = [
            each
            for each in found
            if each.is_in_force(now) and api_user_id in (None, each.api_user_id or api_user_id)
        ]
        of_key: dict[str, list[SuppressionView]] = {}
        for each, view in zip(counting, await self.views(counting), strict=True):
            of_key.setdefault(each.key, []).append(view)
        return [
            CheckedAddress(address, key in of_key, of_key.get(key, []))
            for address, key in zip(addresses, keys, strict=True)
        ]

    async def one(self, account_id: int, address: str) -> CheckedAddress:
        """Return what the list says of an address that is on it; raise NotFound."""
        (found,) = await self.check(account_id, [address])
        if not found.is_suppressed:
            raise NotFound(f"{address[:80]!r} is not suppressed", reason="not_suppressed")
        return found

    async def rules(self, account_id: int) -> SuppressionRulesView:
        """Return an account's rules."""
        rules = await self._engine.suppressions.rules()
        return rules_view(rules.get(account_id, AccountRules()))

    async def views(self, entries: Sequence[Suppression]) -> list[SuppressionView]:
        """Return entries of one account as they are shown."""
        if not entries:
            return []
        users = await self._engine.registry.api_users(entries[0].account_id)
        names = {user.id: user.name for user in users}
        return [
            SuppressionView(
                address=each.address,
                api_user=names.get(each.api_user_id, ALL),
                reason=each.reason,
                since=each.since,
                until=each.until,
                event_id=each.event_id or None,
                note=each.note,
            )
            for each in entries
        ]


def rules_view(account: AccountRules) -> SuppressionRulesView:
    """Return an account's rules as they are shown."""
    return SuppressionRulesView(**msgspec.structs.asdict(account.rules), entries=account.entries)


def cells_of(view: SuppressionView) -> dict[str, str]:
    """Return an entry as the cells of COLUMNS."""
    return {name: str(value or "") for name, value in plain(view).items()}


def _mark(place: SuppressionKey | None) -> str | None:
    if place is None:
        return None
    return urlsafe_b64encode(msgspec.json.encode(place[1:])).decode().rstrip("=")


def _place(account_id: int, after: str) -> SuppressionKey | None:
    if not after:
        return None
    try:
        key, user = _AFTER(urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    except (ValueError, msgspec.MsgspecError):
        raise no_mark() from None
    return SuppressionKey(account_id, key, user)
