"""The journal: append-only, paged both ways, dropped by age."""

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.ports import JournalBlock
from postbell.records import Entry, LaneChange, Webhook
from tests.contract.making import Shop, span


async def settle(shop: Shop, *entries: Entry) -> None:
    """Record these entries of freshly read lanes in one commit."""
    changes = []
    for entry in entries:
        claim = await shop.engine.ledger.lane(entry.webhook_id)
        assert claim is not None
        epoch = claim.lane.epoch
        changes.append(LaneChange(webhook_id=entry.webhook_id, epoch=epoch, entries=(entry,)))
    assert await shop.engine.ledger.record(changes) == []


def batch_ids(blocks: list[JournalBlock]) -> list[list[str]]:
    return [[entry.batch_id for entry in block.entries] for block in blocks]


async def two_webhooks(shop: Shop) -> tuple[Webhook, Webhook]:
    """Return webhooks of two accounts with five commits in the journal."""
    mine, theirs = await shop.webhook(), await shop.webhook(account_id=2)
    await settle(shop, shop.entry(mine, "m1"))
    await settle(shop, shop.entry(mine, "m2"), shop.entry(theirs, "t1"), shop.entry(mine, "m3"))
    await settle(shop, shop.entry(theirs, "t2"))
    await settle(shop, shop.entry(mine, "m1"))
    await settle(shop, shop.entry(theirs, "t3"))
    return mine, theirs


async def test_a_scan_goes_forward_by_id(shop: Shop) -> None:
    await two_webhooks(shop)

    first = await shop.engine.journal.scan(0, 2)
    rest = await shop.engine.journal.scan(first[-1].id, 10)

    assert batch_ids(first + rest) == [["m1"], ["m2", "t1", "m3"], ["t2"], ["m1"], ["t3"]]
    assert [b.id for b in first + rest] == sorted(b.id for b in first + rest)


async def test_recent_goes_back_and_shows_only_entries_that_match(shop: Shop) -> None:
    mine, _ = await two_webhooks(shop)
    recent = shop.engine.journal.recent

    assert batch_ids(await recent()) == [["t3"], ["m1"], ["t2"], ["m2", "t1", "m3"], ["m1"]]
    assert batch_ids(await recent(webhook_id=mine.id)) == [["m1"], ["m2", "m3"], ["m1"]]
    assert batch_ids(await recent(account_id=2)) == [["t3"], ["t2"], ["t1"]]
    assert batch_ids(await recent(batch_id="m1")) == [["m1"], ["m1"]]
    assert batch_ids(await recent(account_id=1, batch_id="m2")) == [["m2"]]
    assert await recent(webhook_id=mine.id, account_id=2) == []


async def test_recent_ends_at_its_limit_but_cuts_no_block(shop: Shop) -> None:
    mine, _ = await two_webhooks(shop)

    page = await shop.engine.journal.recent(webhook_id=mine.id, limit=2)
    rest = await shop.engine.journal.recent(webhook_id=mine.id, before=page[-1].id, limit=2)

    assert batch_ids(page) == [["m1"], ["m2", "m3"]]
    assert batch_ids(rest) == [["m1"]]


async def test_recent_finds_a_rare_batch_behind_many_others(shop: Shop) -> None:
    webhook = await shop.webhook()
    await settle(shop, shop.entry(webhook, "rare"))
    for _ in range(130):
        await settle(shop, shop.entry(webhook, "often"))

    found = await shop.engine.journal.recent(webhook_id=webhook.id, batch_id="rare", limit=1)

    assert batch_ids(found) == [["rare"]]


async def test_drop_takes_blocks_whose_newest_entry_is_old(shop: Shop) -> None:
    webhook = await shop.webhook()
    old = shop.entry(webhook, "old")
    shop.clock.advance(60)
    edge, new = shop.entry(webhook, "edge"), shop.entry(webhook, "new")
    await settle(shop, old)
    await settle(shop, old, new)
    await settle(shop, old, old)
    await settle(shop, edge)

    dropped = await shop.engine.journal.drop(shop.clock.now())

    assert dropped == 2
    assert batch_ids(await shop.engine.journal.scan(0, 10)) == [["old", "new"], ["edge"]]
    assert batch_ids(await shop.engine.journal.recent(webhook_id=webhook.id)) == [
        ["edge"],
        ["old", "new"],
    ]


async def test_drop_leaves_what_speaks_of_blocks_that_are_kept(shop: Shop) -> None:
    webhook = await shop.webhook()
    for name, part in (("2-3", span(2, 4)), ("1", span(1, 2)), ("1-2", span(1, 3))):
        await settle(shop, shop.entry(webhook, name, range=part))
    tail = Range(Position(2, 5), Position(3, 1))
    await settle(shop, shop.entry(webhook, "none", range=span(7, 7)))
    await settle(shop, shop.entry(webhook, "2-", range=tail), shop.entry(webhook, "1"))
    shop.clock.advance(60)

    dropped = await shop.engine.journal.drop(shop.clock.now(), below=3)

    assert dropped == 3
    assert batch_ids(await shop.engine.journal.scan(0, 10)) == [["2-3"], ["2-", "1"]]


async def test_ids_go_on_after_everything_was_dropped(shop: Shop) -> None:
    webhook = await shop.webhook()
    await settle(shop, shop.entry(webhook))
    [before] = await shop.engine.journal.scan(0, 10)
    shop.clock.advance(1)
    await shop.engine.journal.drop(shop.clock.now())

    await settle(shop, shop.entry(webhook))

    [after] = await shop.engine.journal.scan(0, 10)
    assert after.id > before.id


async def test_the_journal_outlives_its_webhook(shop: Shop) -> None:
    mine, _ = await two_webhooks(shop)

    await shop.engine.registry.delete_webhook(mine.id, shop.clock.now())

    assert len(await shop.engine.journal.recent(webhook_id=mine.id)) == 3


async def test_recent_has_the_attempts_before_a_parked_batch_was_tried_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postbell.storage.sql.journal.SEARCHED_ROWS", 3)
    webhook = await shop.webhook()
    for attempt, note in ((1, ""), (2, ""), (1, "anew, after it was parked")):
        await settle(shop, replace(shop.entry(webhook, "b"), attempt=attempt, note=note))
        for _ in range(3):
            await settle(shop, shop.entry(webhook, "others"))

    found = await shop.engine.journal.recent(batch_id="b")

    assert [entry.attempt for block in found for entry in block.entries] == [1, 2, 1]
