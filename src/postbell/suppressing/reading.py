"""What the events of a block say of addresses, by the rules of its account."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from postbell.blocks import Block, BlockHeader
from postbell.events import NUMBER_OF, OUT_OF_BAND, Complaint, EventType
from postbell.suppressions import (
    AccountRules,
    Finding,
    FindingKind,
    Suppression,
    SuppressionReason,
    SuppressionRule,
    ends_at,
)
from postbell.text.recipients import key_of

NO_COMPLAINT = "not-spam"
"""A feedback type that takes a complaint back (RFC 6430)."""


class Meaning(NamedTuple):
    """What an event type means: a *kind* of finding, of which *reason*; *is_of_user* where it
    concerns the api user's mail only: who left a newsletter still wants receipts."""

    kind: FindingKind
    reason: SuppressionReason
    is_of_user: bool = False


MEANINGS: Mapping[EventType, Meaning] = {
    EventType.HARD_BOUNCE: Meaning(FindingKind.CAUSE, SuppressionReason.HARD_BOUNCE),
    EventType.SOFT_BOUNCE: Meaning(FindingKind.CAUSE, SuppressionReason.SOFT_BOUNCE),
    EventType.SPAM_REPORT: Meaning(FindingKind.CAUSE, SuppressionReason.COMPLAINT),
    EventType.UNSUBSCRIBE: Meaning(FindingKind.CAUSE, SuppressionReason.UNSUBSCRIBE, True),
    EventType.RESUBSCRIBE: Meaning(FindingKind.RESUBSCRIBED, SuppressionReason.UNSUBSCRIBE, True),
    EventType.DELIVERED: Meaning(FindingKind.DELIVERED, SuppressionReason.SOFT_BOUNCE),
}


class _Glance(msgspec.Struct, gc=False):
    event_id: str
    recipient: str
    complaint: Complaint | None = None


_glance = msgspec.json.Decoder(_Glance).decode


def concerns(header: BlockHeader, account: AccountRules) -> bool:
    """Say whether something in this block may count by these rules."""
    if not account.rules.is_on or header.id <= account.since_block:
        return False
    return any(_meaning(code, account) is not None for code in set(header.codes))


def findings(block: Block, account: AccountRules, first: int, last: int) -> Iterator[Finding]:
    """Yield what the events [first, last) of a block mean; one that cannot be read means nothing.

    What a scanner or a prefetching proxy unsubscribed is nobody's wish.
    """
    header = block.header
    for number in range(first, min(last, header.count)):
        meaning = _meaning(header.codes[number], account)
        if meaning is None:
            continue
        try:
            seen = _glance(block.events(number, number + 1)[0])
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if seen.complaint is not None and seen.complaint.feedback_type == NO_COMPLAINT:
            continue
        yield _finding(header, meaning, account, seen)


def settled(found: Iterable[Finding]) -> list[Finding]:
    """Return what all events of a block mean without what somebody undid in it: of unsubscriptions
    and resubscriptions for one entry the last, since places in a block are not kept."""
    wanted = SuppressionReason.UNSUBSCRIBE
    every = list(found)
    last = {
        each.entry.place: number for number, each in enumerate(every) if each.entry.reason is wanted
    }
    return [
        each
        for number, each in enumerate(every)
        if each.entry.reason is not wanted or last[each.entry.place] == number
    ]


def unreadable(header: BlockHeader) -> Finding:
    """Return what is known of a block that cannot be read."""
    entry = Suppression(
        account_id=header.account_id,
        api_user_id=0,
        key="",
        address="",
        reason=SuppressionReason.HARD_BOUNCE,
        since=header.recorded_at,
        block=header.id,
    )
    return Finding(FindingKind.UNREADABLE, entry, SuppressionRule(), header.api_user_id)


def _meaning(code: int, account: AccountRules) -> Meaning | None:
    meaning = _MEANINGS.get(code & ~OUT_OF_BAND)  # one of a machine has none
    if meaning is None:
        return None
    rule = account.rules.of(meaning.reason)
    match meaning.kind:
        case FindingKind.CAUSE:
            return meaning if rule.after else None
        case FindingKind.DELIVERED:
            return meaning if rule.after > 1 else None
        case FindingKind.RESUBSCRIBED | FindingKind.UNREADABLE:
            return meaning


def _finding(
    header: BlockHeader, meaning: Meaning, account: AccountRules, seen: _Glance
) -> Finding:
    rule: SuppressionRule = account.rules.of(meaning.reason)
    entry = Suppression(
        account_id=header.account_id,
        api_user_id=header.api_user_id if meaning.is_of_user else 0,
        key=key_of(seen.recipient),
        address=seen.recipient,
        reason=meaning.reason,
        since=header.recorded_at,
        until=ends_at(header.recorded_at, rule),
        block=header.id,
        event_id=seen.event_id,
    )
    return Finding(meaning.kind, entry, rule, header.api_user_id)


_MEANINGS = {NUMBER_OF[kind]: meaning for kind, meaning in MEANINGS.items()}
