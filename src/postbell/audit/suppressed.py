"""The suppression list against the log, as far as that reaches: what the rules say is on it, and
what is on it for an event has that event."""

from collections.abc import Mapping

from postbell.audit.findings import Problem
from postbell.audit.marks import Window
from postbell.ports import Engine, SuppressionQuery
from postbell.ports.path import NEVER
from postbell.suppressing.reading import concerns, findings, settled
from postbell.suppressions import (
    MOST_ENTRIES,
    AccountRules,
    Finding,
    FindingKind,
    Suppression,
    SuppressionKey,
    SuppressionRule,
    SuppressionRules,
)

PAGE = 512
LISTED = 1000
ALL_RULES = AccountRules(SuppressionRules(is_on=True))


async def check_suppressions(engine: Engine, window: Window, most: int) -> list[Problem]:
    """Return up to *most* places where the list is not what the log says.

    What a rule puts there that takes several days, or that lets it end, is not recomputed: of such
    an entry it is seen that its last event is there.
    """
    return [*await _missing(engine, window, most), *await _unfounded(engine, window, most)]


async def _missing(engine: Engine, window: Window, most: int) -> list[Problem]:
    """Look for causes that are not on the list, up to where it has read."""
    rules = await engine.suppressions.rules()
    end = min(window.end, (await engine.suppressions.followed()).block + 1)
    found: list[Problem] = []
    after = max(window.first - 1, 0)
    while len(found) < most:
        headers = [each for each in await engine.log.tail(after, PAGE) if each.id < end]
        for header in headers:
            account = rules.get(header.account_id, AccountRules())
            if concerns(header, account) and account.entries < MOST_ENTRIES:
                found += await _missing_of_block(engine, header.id, account)
        if not headers:
            break
        after = headers[-1].id
    return found


async def _missing_of_block(engine: Engine, block_id: int, account: AccountRules) -> list[Problem]:
    causes: list[Finding] = []
    for block in await engine.log.load([block_id], is_choosy=False):
        every = settled(findings(block, account, 0, block.header.count))
        causes = [e for e in every if e.kind is FindingKind.CAUSE and _is_lasting(e.rule)]
    if not causes:
        return []
    keys = list(dict.fromkeys(each.entry.key for each in causes))
    listed = await engine.suppressions.find(causes[0].entry.account_id, keys)
    known = {each.place: each for each in listed}
    return [
        _problem("an event suppresses an address that is not on the list", each.entry)
        for each in causes
        if not _accounts_for(known, each.entry)
    ]


def _is_lasting(rule: SuppressionRule) -> bool:
    """Say whether one event suppresses, until somebody removes the address."""
    return rule.after == 1 and not rule.lasts_days


def _accounts_for(known: Mapping[SuppressionKey, Suppression], cause: Suppression) -> bool:
    """Say whether an entry stands for this cause: it is in force, or it ended after it."""
    entry = known.get(cause.place)
    if entry is None:
        return False
    return entry.removed_at is None or cause.block <= entry.removed_block


async def _unfounded(engine: Engine, window: Window, most: int) -> list[Problem]:
    """Look for entries whose event is not in the log, though its block is."""
    found: list[Problem] = []
    oldest = await engine.log.tail(0, 1)
    first = max(window.first, oldest[0].id) if oldest else window.end
    for account in await engine.registry.accounts():
        place: SuppressionKey | None = None
        while len(found) < most:
            entries, place = await engine.suppressions.entries(
                SuppressionQuery(account.id), NEVER, after=place, limit=LISTED
            )
            caused = [each for each in entries if first <= each.block < window.end]
            found += await _without_event(engine, caused)
            if place is None:
                break
    return found


async def _without_event(engine: Engine, entries: list[Suppression]) -> list[Problem]:
    by_block: dict[int, list[Suppression]] = {}
    for each in entries:
        by_block.setdefault(each.block, []).append(each)
    found: list[Problem] = []
    for block_id, caused in by_block.items():
        blocks = await engine.log.load([block_id], is_choosy=False)
        for block in blocks:
            events = {
                (each.entry.place, each.entry.event_id)
                for each in findings(block, ALL_RULES, 0, block.header.count)
            }
            found += [
                _problem("an address is suppressed for an event that is not in the log", each)
                for each in caused
                if (each.place, each.event_id) not in events
            ]
    return found


def _problem(what: str, entry: Suppression) -> Problem:
    return Problem(
        what=what, account_id=entry.account_id, block=entry.block, event_id=entry.event_id
    )
