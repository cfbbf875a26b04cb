"""What every engine keeps of the suppression list, and what becomes of its entries."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.errors import Conflict, HeadMoved
from postbell.ports import SuppressionQuery
from postbell.storage import suppressing
from postbell.suppressions import (
    Ending,
    Finding,
    FindingKind,
    FollowedUpTo,
    Suppression,
    SuppressionKey,
    SuppressionReason,
    SuppressionRule,
    SuppressionRules,
)
from tests.contract.making import Shop, block

HARD, SOFT = SuppressionReason.HARD_BOUNCE, SuppressionReason.SOFT_BOUNCE
DAY = timedelta(days=1)
ADA = SuppressionKey(1, "ada@example.net", 0)
AT_ONCE = SuppressionRule()


def entry(shop: Shop, name: str = "ada", **members: Any) -> Suppression:
    defaults: dict[str, Any] = {
        "account_id": 1,
        "api_user_id": 0,
        "key": f"{name}@example.net",
        "address": f"{name.title()}@example.net",
        "reason": SuppressionReason.MANUAL,
        "since": shop.clock.now(),
    }
    return Suppression(**(defaults | members))


def cause(
    shop: Shop, block: int, reason: SuppressionReason = HARD, rule: SuppressionRule = AT_ONCE,
    **members: Any,
) -> Finding:  # fmt: skip
    made = entry(shop, reason=reason, block=block, event_id=f"e{block}", **members)
    return Finding(FindingKind.CAUSE, made, rule, 1)


async def take_in(shop: Shop, *findings: Finding, block: int | None = None) -> bool:
    suppressions = shop.engine.suppressions
    at = findings[-1].entry.block if block is None else block
    return await suppressions.take_in(await suppressions.followed(), at, findings, shop.clock.now())


async def found(shop: Shop, *keys: str) -> list[Suppression]:
    return await shop.engine.suppressions.find(1, keys or ("ada@example.net",))


async def listed(shop: Shop, **narrow: Any) -> list[str]:
    wanted = SuppressionQuery(1, **narrow)
    rows, _ = await shop.engine.suppressions.entries(wanted, shop.clock.now())
    return [row.key.partition("@")[0] for row in rows]


async def told(shop: Shop) -> list[tuple[str, SuppressionReason, Ending | None]]:
    changes = await shop.engine.suppressions.changes(0, 100)
    return [(c.entry.key.partition("@")[0], c.entry.reason, c.ending) for c in changes]


async def add(shop: Shop, *entries: Suppression) -> int:
    return await shop.engine.suppressions.add(entries, shop.clock.now(), 0)


async def remove(shop: Shop, *places: SuppressionKey) -> list[Suppression]:
    return await shop.engine.suppressions.remove(places, shop.clock.now(), 0)


async def test_a_cause_is_on_the_list_with_the_mark_that_found_it(shop: Shop) -> None:
    before = await shop.engine.suppressions.followed()

    moved = await take_in(shop, cause(shop, 3))

    assert (before, moved) == (FollowedUpTo(), True)
    assert await shop.engine.suppressions.followed() == FollowedUpTo(3)
    assert await found(shop) == [replace(entry(shop, reason=HARD, block=3, event_id="e3"),
                                         revision=1)]  # fmt: skip
    assert await told(shop) == [("ada", HARD, None)]


async def test_who_follows_from_elsewhere_writes_nothing(shop: Shop) -> None:
    suppressions, now = shop.engine.suppressions, shop.clock.now()
    await take_in(shop, cause(shop, 3))

    again = await suppressions.take_in(FollowedUpTo(), 4, [cause(shop, 4, key="b@x")], now)

    assert not again
    assert await found(shop, "b@x") == []
    assert await suppressions.followed() == FollowedUpTo(3)


async def test_the_same_cause_changes_nothing_twice(shop: Shop) -> None:
    await take_in(shop, cause(shop, 3))

    await take_in(shop, cause(shop, 3), cause(shop, 4))

    assert len(await told(shop)) == 1


async def test_a_stronger_reason_takes_the_place_of_a_weaker_one(shop: Shop) -> None:
    await take_in(shop, cause(shop, 3, SOFT))
    await take_in(shop, cause(shop, 4, HARD))
    await take_in(shop, cause(shop, 5, SOFT))

    (row,) = await found(shop)
    assert (row.reason, row.event_id) == (HARD, "e4")
    assert await told(shop) == [("ada", SOFT, None), ("ada", HARD, None)]


@pytest.mark.parametrize("is_turned", [False, True])
async def test_what_ends_sooner_hides_nothing_that_lasts(shop: Shop, is_turned: bool) -> None:
    """A complaint while somebody had the address off the list until tomorrow was forgotten then."""
    tomorrow = shop.clock.now() + DAY
    if is_turned:
        await take_in(shop, cause(shop, 1))
    await add(shop, entry(shop, until=tomorrow))
    if not is_turned:
        await take_in(shop, cause(shop, 1))
    shop.clock.advance(DAY.total_seconds())
    await shop.engine.suppressions.end(shop.clock.now(), 9)

    (row,) = await found(shop)
    assert (row.reason, row.until, row.event_id) == (HARD, None, "e1")


async def test_what_happens_again_lasts_from_then(shop: Shop) -> None:
    now = shop.clock.now()
    await take_in(shop, cause(shop, 1, until=now + 9 * DAY), cause(shop, 2, until=now + 30 * DAY))
    await take_in(shop, cause(shop, 3, until=now + 9 * DAY))

    (row,) = await found(shop)
    assert (row.until, row.event_id) == (now + 30 * DAY, "e2")
    assert len(await told(shop)) == 2


async def test_what_must_come_on_several_days_counts_days_in_a_row_of_time(shop: Shop) -> None:
    rule = SuppressionRule(after=3, within_days=5)
    kept = []
    for number, days in enumerate((0, 0, 1, 1, 6, 7, 8), 1):
        await take_in(shop, cause(shop, number, SOFT, rule, since=shop.clock.now() + days * DAY))
        kept.append(len(await found(shop)))

    assert kept == [0, 0, 0, 0, 0, 0, 1]


async def test_a_delivery_lets_bounces_be_counted_anew(shop: Shop) -> None:
    rule = SuppressionRule(after=2, within_days=5)
    first, second = cause(shop, 1, SOFT, rule), cause(
        shop, 3, SOFT, rule, since=shop.clock.now() + DAY
    )  # fmt: skip
    await take_in(shop, first)
    counted = await shop.engine.suppressions.counted(1, ["ada@example.net", "eve@x"])

    await take_in(shop, Finding(FindingKind.DELIVERED, entry(shop, block=2), rule, 1), second)

    assert counted == {"ada@example.net"}
    assert await found(shop) == []


async def test_a_delivery_and_the_end_of_a_count_leave_other_counts(shop: Shop) -> None:
    long, short = SuppressionRule(2, 90), SuppressionRule(2, 5)
    delivered = Finding(FindingKind.DELIVERED, entry(shop, block=3), short, 1)
    await take_in(shop, cause(shop, 1, HARD, long), cause(shop, 2, SOFT, short), delivered)
    await take_in(shop, cause(shop, 4, SOFT, short))
    shop.clock.advance(60 * DAY.total_seconds())
    await shop.engine.suppressions.sweep(9, shop.clock.now(), 9)

    await take_in(shop, cause(shop, 5, HARD, long))

    assert [row.event_id for row in await found(shop)] == ["e5"]


async def test_what_ended_by_its_rule_already_is_not_put_on_the_list(shop: Shop) -> None:
    await take_in(shop, cause(shop, 3, until=shop.clock.now()))

    assert await found(shop) == []


async def test_what_a_person_removed_the_log_up_to_then_does_not_bring_back(shop: Shop) -> None:
    await take_in(shop, cause(shop, 1))
    await shop.append(block(), block(), block())

    gone = await remove(shop, ADA)
    again = await remove(shop, ADA)
    await take_in(shop, cause(shop, 3))
    quiet = await listed(shop)
    await take_in(shop, cause(shop, 4))

    assert ([row.key for row in gone], again) == (["ada@example.net"], [])
    assert (quiet, await listed(shop)) == ([], ["ada"])
    assert await told(shop) == [
        ("ada", HARD, None), ("ada", HARD, Ending.REMOVED), ("ada", HARD, None),
    ]  # fmt: skip


async def test_a_removal_outlives_what_came_after_it_and_ended(shop: Shop) -> None:
    """Bounced, removed, then added for a day: a rebuild brought the old bounce back."""
    await shop.append(block(), block(), block())
    await take_in(shop, cause(shop, 1))
    await remove(shop, ADA)
    await add(shop, entry(shop, until=shop.clock.now() + DAY))
    shop.clock.advance(DAY.total_seconds())
    ended = await shop.engine.suppressions.end(shop.clock.now(), 9)

    await shop.engine.suppressions.rebuild()
    await take_in(shop, cause(shop, 1), cause(shop, 3))
    quiet = await listed(shop)
    await take_in(shop, cause(shop, 4))

    assert (ended, quiet, await listed(shop)) == (1, [], ["ada"])
    assert (await shop.engine.suppressions.rules())[1].entries == 1


@pytest.mark.parametrize(("reason", "is_left"), [
    (SuppressionReason.UNSUBSCRIBE, False), (SuppressionReason.MANUAL, True),
])  # fmt: skip
async def test_who_subscribes_again_undoes_an_unsubscription_only(
    shop: Shop, reason: SuppressionReason, is_left: bool
) -> None:
    await take_in(shop, cause(shop, 1, reason))

    back = Finding(FindingKind.RESUBSCRIBED, entry(shop, block=2), AT_ONCE, 1)
    await take_in(shop, back)
    await take_in(shop, cause(shop, 1, reason), block=3)

    assert await listed(shop) == (["ada"] if is_left else [])


async def test_entries_end_by_their_time(shop: Shop) -> None:
    await add(shop, entry(shop, until=shop.clock.now() + DAY), entry(shop, "bob"))
    before = await listed(shop)
    shop.clock.advance(DAY.total_seconds())

    at_once = await listed(shop)
    ended = [await shop.engine.suppressions.end(shop.clock.now(), 9) for _ in range(2)]

    assert (before, at_once, ended) == (["ada", "bob"], ["bob"], [1, 0])
    assert (await told(shop))[2:] == [("ada", SuppressionReason.MANUAL, Ending.EXPIRED)]
    assert await found(shop) == []
    assert (await shop.engine.suppressions.rules())[1].entries == 1


async def test_entries_are_listed_by_address_and_narrowed(shop: Shop) -> None:
    eve = entry(shop, "eve", account_id=2)
    await add(shop, entry(shop, "bob", api_user_id=1), entry(shop, "ann"), entry(shop, "bob"))
    await add(shop, eve)
    await take_in(shop, cause(shop, 1))

    assert await listed(shop) == ["ada", "ann", "bob", "bob"]
    assert await listed(shop, search="nn@ex") == ["ann"]
    assert await listed(shop, reason=HARD) == ["ada"]
    assert await listed(shop, api_user_id=1) == ["bob"]


async def test_a_list_is_read_page_by_page(shop: Shop) -> None:
    await add(shop, *(entry(shop, f"u{n}", api_user_id=n % 2) for n in range(5)))
    suppressions, now, after, pages = shop.engine.suppressions, shop.clock.now(), None, []
    for _ in range(3):
        rows, after = await suppressions.entries(SuppressionQuery(1), now, after=after, limit=2)
        pages.append([row.key[:2] for row in rows])

    assert (pages, after) == ([["u0", "u1"], ["u2", "u3"], ["u4"]], None)


async def test_all_of_what_a_person_adds_is_on_the_list_or_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppressing, "MOST_ENTRIES", 2)
    kept = await add(shop, entry(shop), entry(shop))

    with pytest.raises(Conflict, match="full"):
        await add(shop, entry(shop, "bob"), entry(shop, "cat"))
    await take_in(shop, cause(shop, 1, key="bob@x"), cause(shop, 2, key="cat@x"))

    assert kept == 1
    assert await listed(shop) == ["ada", "bob"]


async def test_a_rebuild_finds_again_and_ends_what_it_finds_no_cause_of(shop: Shop) -> None:
    suppressions, now = shop.engine.suppressions, shop.clock.now()
    await shop.append(*(block() for _ in range(6)))
    await take_in(shop, cause(shop, 1, key="old@x"), cause(shop, 4), cause(shop, 5, key="b@x"))
    await add(shop, entry(shop, "man"))
    await suppressions.set_rules(1, SuppressionRules(is_on=True))

    begun = await suppressions.rebuild()
    early = await suppressions.drop_unfounded(3, now, 9)
    await take_in(shop, cause(shop, 4), block=6)
    judged = [await suppressions.drop_unfounded(3, now, 9) for _ in range(2)]

    assert begun == FollowedUpTo(0, 1, 6)
    assert (early, judged) == (0, [2, 0])
    assert await suppressions.followed() == FollowedUpTo(6, 1, 0)
    assert sorted(await listed(shop)) == ["ada", "man", "old"]
    assert (await told(shop))[4:] == [("b", HARD, Ending.REBUILT)]
    assert (await suppressions.rules())[1].since_block == 0


async def test_a_rebuild_keeps_what_came_of_a_block_that_cannot_be_read(shop: Shop) -> None:
    suppressions, now = shop.engine.suppressions, shop.clock.now()
    await shop.append(*(block() for _ in range(3)))
    await suppressions.set_rules(1, SuppressionRules(is_on=True))
    await take_in(shop, cause(shop, 1), cause(shop, 2, key="b@x"), cause(shop, 3, key="c@x"))
    await suppressions.rebuild()

    unreadable = Finding(FindingKind.UNREADABLE, entry(shop, block=2), AT_ONCE, 1)
    await take_in(shop, unreadable, cause(shop, 3, key="c@x"))
    gone = await suppressions.drop_unfounded(1, now, 9)

    assert gone == 1
    assert await listed(shop) == ["b", "c"]


async def test_rules_are_in_force_from_the_logs_end_on(shop: Shop) -> None:
    await shop.append(block(), block())
    rules = SuppressionRules(is_on=True, soft_bounce=SuppressionRule(after=0))

    before = await shop.engine.suppressions.set_rules(2, rules)

    found = await shop.engine.suppressions.rules()
    assert before.rules == SuppressionRules()
    assert (found[2].rules, found[2].since_block) == (rules, 2)


async def test_removed_entries_stay_while_the_log_could_bring_them_back(shop: Shop) -> None:
    suppressions = shop.engine.suppressions
    await shop.append(block(), block())
    await take_in(shop, cause(shop, 1))
    await take_in(shop, cause(shop, 2, SOFT, SuppressionRule(2, 9), key="b@x"))
    await remove(shop, ADA)

    soon = await suppressions.sweep(3, shop.clock.now(), 9)
    shop.clock.advance(2 * DAY.total_seconds())
    too_low = await suppressions.sweep(2, shop.clock.now(), 9)
    then = await suppressions.sweep(3, shop.clock.now(), 9)
    shop.clock.advance(9 * DAY.total_seconds())
    counted = await suppressions.sweep(3, shop.clock.now(), 9)

    assert (soon, too_low, then, counted) == (0, 0, 1, 1)
    assert await suppressions.counted(1, ["b@x"]) == set()


async def test_changes_are_followed_by_revision_until_they_were_told(shop: Shop) -> None:
    suppressions = shop.engine.suppressions
    await add(shop, entry(shop), entry(shop, "bob"))
    await remove(shop, ADA)

    since = [(e.key[:3], e.removed_at is None) for e in await suppressions.since(1, 9)]
    gone = await suppressions.told(2, 9)

    assert since == [("bob", True), ("ada", False)]
    assert (gone, [c.revision for c in await suppressions.changes(0, 9)]) == (2, [3])


async def test_a_change_goes_with_the_event_that_tells_it(shop: Shop) -> None:
    await add(shop, entry(shop), entry(shop, "bob"))
    log, now = shop.engine.log, shop.clock.now()

    with pytest.raises(HeadMoved):
        await log.append([block()], [], head=7, now=now, told=1)
    before = len(await told(shop))
    await log.append([block()], [], head=0, now=now, told=1)

    assert before == 2
    assert [name for name, *_ in await told(shop)] == ["bob"]
