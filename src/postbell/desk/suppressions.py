"""What a person does to the suppression list: add, remove, import; set rules, rebuild."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from postbell.desk import forms, noting
from postbell.desk.core import Core
from postbell.errors import BadInput, NotFound, UsageError
from postbell.records import ALL, Account
from postbell.suppressions import (
    MAX_NOTE_CHARS,
    AccountRules,
    Suppression,
    SuppressionReason,
    SuppressionRules,
    ruled_reasons,
)
from postbell.text.recipients import is_address, key_of
from postbell.trail import Change

MAX_ADDRESS_CHARS = 998
AT_ONCE = 1000
"""So many entries are added in one commit."""
SLICE = 50
"""Lines between two pauses: at the very worst some 30 ms."""
ADD_MEMBERS = ("address", "api_user", "reason", "note", "until")
REBUILT = "suppression.rebuilt"


class RefusedLine(NamedTuple):
    """A line of an import that was not taken, by its number, and why."""

    line: int
    message: str


class Imported(NamedTuple):
    """What became of an import: *added* entries, *known* ones that were there already."""

    added: int
    known: int
    refused: list[RefusedLine]


class SuppressionsDesk(Core):
    """Changes of the list; each is told as an event, by the api user *told_as*, 0 for any."""

    async def add_suppression(
        self, account_id: int, form: Mapping[str, Any], *, told_as: int = 0
    ) -> Suppression:
        """Put an address on the list and return the entry that is in force.

        *form* has ADD_MEMBERS; one in force stays if it lasts longer, or as long for as strong a
        reason.
        """
        forms.known_members(form, ADD_MEMBERS)
        entry = self._entry(account_id, form, await self._suppression_scopes(account_id))
        add = self.engine.suppressions.add([entry], self.clock.now(), told_as)
        added = noting.of_suppression("suppression.added", entry)
        await self.trailed(add, lambda kept: None if kept else added)
        found = await self.engine.suppressions.find(account_id, [entry.key])
        return next((each for each in found if each.place == entry.place), entry)

    async def check_suppression_terms(self, account_id: int, form: Mapping[str, Any]) -> None:
        """Raise BadInput where something is wrong in a form of ADD_MEMBERS that several addresses
        share."""
        forms.check_api_user(form.get("api_user"), await self._suppression_scopes(account_id))
        _until(form.get("until"), self.clock.now())
        _note(form.get("note"))

    async def import_suppressions(
        self,
        account_id: int,
        lines: Iterable[tuple[int, Mapping[str, Any]]],
        *,
        told_as: int = 0,
    ) -> Imported:
        """Put the addresses of *lines* on the list, each with its number and ADD_MEMBERS, AT_ONCE
        in a commit; a line that is wrong keeps no other out."""
        scopes = await self._suppression_scopes(account_id)
        entries: list[Suppression] = []
        refused: list[RefusedLine] = []
        added = known = 0
        for done, (number, form) in enumerate(lines):
            if done % SLICE == 0:
                await asyncio.sleep(0)
            try:
                entries.append(self._entry(account_id, form, scopes))
            except UsageError as error:
                refused.append(RefusedLine(number, error.message))
        for first in range(0, len(entries), AT_ONCE):
            part = entries[first : first + AT_ONCE]
            kept = await self._import(account_id, part, told_as)
            added, known = added + len(part) - kept, known + kept
        return Imported(added, known, refused)

    async def remove_suppression(
        self, account_id: int, address: str, api_user: str | None = None, *, told_as: int = 0
    ) -> list[Suppression]:
        """Take an address off the list, for an api user (ALL: for the whole account alone; None:
        wherever it is); return the entries that were in force.

        Nothing that the log holds by now brings it back.  Raises NotFound where there is none.
        """
        scopes, key = await self._suppression_scopes(account_id), key_of(address)
        user = None if api_user is None else scopes[forms.check_api_user(api_user, scopes)]
        found = await self.engine.suppressions.find(account_id, [key])
        places = [each.place for each in found if user in (None, each.api_user_id)]
        gone = await self.trailed(
            self.engine.suppressions.remove(places, self.clock.now(), told_as), _removed
        )
        if not gone:
            raise NotFound(f"{address[:80]!r} is not suppressed", reason="not_suppressed")
        return gone

    async def set_suppression_rules(
        self, account_id: int, form: Mapping[str, Any]
    ) -> SuppressionRules:
        """Change members of an account's rules, from the log's end on (RFC 7396)."""
        account = await self.directory.account(account_id)
        before = await self.suppression_rules(account_id)
        rules = _changed(before.rules, form)
        set_rules = self.engine.suppressions.set_rules(account_id, rules)
        await self.trailed(
            set_rules, lambda was: noting.of_suppression_rules(account, was.rules, rules)
        )
        return rules

    async def suppression_rules(self, account_id: int) -> AccountRules:
        """Return an account's rules; they are off where it never set any."""
        return (await self.engine.suppressions.rules()).get(account_id, AccountRules())

    async def rebuild_suppressions(self) -> None:
        """Let the list be made anew from the log, of every account, less what people removed."""
        await self.trailed(
            self.engine.suppressions.rebuild(), lambda _: noting.of_installation(REBUILT)
        )

    async def _import(self, account_id: int, part: Sequence[Suppression], told_as: int) -> int:
        account: Account = await self.directory.account(account_id)

        def note(kept: int) -> Change | None:
            new = {"added": len(part) - kept}
            return noting.of_account("suppression.imported", account, new) if new["added"] else None

        add = self.engine.suppressions.add(part, self.clock.now(), told_as)
        return await self.trailed(add, note)

    async def _suppression_scopes(self, account_id: int) -> dict[str, int]:
        """Return the ids of the account's api users by name, and that of all of them, 0."""
        users = await self.engine.registry.api_users(account_id)
        return {ALL: 0} | {user.name: user.id for user in users}

    def _entry(
        self, account_id: int, form: Mapping[str, Any], scopes: Mapping[str, int]
    ) -> Suppression:
        address = _address(form.get("address"))
        now = self.clock.now()
        return Suppression(
            account_id=account_id,
            api_user_id=scopes[forms.check_api_user(form.get("api_user"), scopes)],
            key=key_of(address),
            address=address,
            reason=_reason(form.get("reason")),
            since=now,
            until=_until(form.get("until"), now),
            note=_note(form.get("note")),
        )


def _address(given: Any) -> str:
    address = given.strip() if isinstance(given, str) else ""
    if not is_address(address) or len(address) > MAX_ADDRESS_CHARS:
        shown = str(given)[:80]
        raise BadInput(
            f"{shown!r} is not an e-mail address; write it as name@example.com",
            member="address",
            reason="email_malformed",
            given=shown,
        )
    return address


def _reason(given: Any) -> SuppressionReason:
    try:
        return SuppressionReason.MANUAL if given is None else SuppressionReason(given)
    except ValueError:
        known = ", ".join(SuppressionReason)
        raise BadInput(
            f"reason: {str(given)[:40]!r} is none; known: {known}",
            member="reason",
            reason="choice",
            given=str(given)[:40],
            known=known,
        ) from None


def _until(given: Any, now: datetime) -> datetime | None:
    until = None if given is None else forms.check_moment(given, "until")
    if until is not None and until <= now:
        raise BadInput(
            "until is over already; give a later time, or leave it out",
            member="until",
            reason="until_over",
        )
    return until


def _note(given: Any) -> str:
    text = "" if given is None else given
    if not isinstance(text, str) or len(text) > MAX_NOTE_CHARS:
        raise BadInput(
            f"note: a text of at most {MAX_NOTE_CHARS} characters expected",
            member="note",
            reason="text_length",
            most=MAX_NOTE_CHARS,
        )
    return text


def _changed(rules: SuppressionRules, form: Mapping[str, Any]) -> SuppressionRules:
    members = msgspec.to_builtins(rules)
    for name, value in form.items():
        whole = members.get(name)
        is_part = isinstance(whole, dict) and isinstance(value, Mapping)
        members[name] = {**whole, **value} if is_part else value
    try:
        changed = msgspec.convert(members, SuppressionRules)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        member = path.rstrip("`")
        raise BadInput(
            f"{member or 'the rules'}: {text[:1].lower()}{text[1:]}",
            member=member,
            reason="rule_number",
        ) from None
    for reason in ruled_reasons():
        rule = changed.of(reason)
        if rule.after > rule.within_days:
            raise BadInput(
                f"{reason}.within_days: {rule.after} different days do not fit into"
                f" {rule.within_days}; give at least {rule.after}",
                member=f"{reason}.within_days",
                reason="days_too_few",
                least=rule.after,
            )
    return changed


def _removed(gone: Sequence[Suppression]) -> Change | None:
    """Say what was taken off: of several entries of one address how many, beside the first."""
    if not gone:
        return None
    change = noting.of_suppression("suppression.removed", gone[0])
    many = {"entries": len(gone)} if len(gone) > 1 else {}
    return change._replace(old={**(change.new or {}), **many}, new=None)
