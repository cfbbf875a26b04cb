"""What is parked may be any number: it is counted, and read by pages, never with a lane."""

import random
from typing import Any

from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.ports import MOST_CLAIMED, Parked
from postbell.records import BatchState, LaneChange, OpenBatch, Webhook
from tests.contract.making import Shop, span

PARKED = BatchState.PARKED


async def counted(shop: Shop, webhook: Webhook) -> Parked:
    claim = await shop.engine.ledger.lane(webhook.id)
    assert claim is not None
    return claim.parked


async def test_every_way_to_read_a_lane_leaves_out_what_is_parked_but_the_snapshot(
    shop: Shop,
) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    parked = shop.batch(webhook, "b1", state=PARKED, count=7)
    waiting = shop.batch(webhook, "b2")
    await shop.put(webhook, parked, waiting)
    ledger = shop.engine.ledger

    looked_at = await ledger.lane(webhook.id)
    [again] = await ledger.reload("w1", [webhook.id])
    await ledger.release("w1")
    [claimed] = await shop.claim()
    whole = await ledger.snapshot(webhook.id)

    for claim in (looked_at, again, claimed):
        assert claim is not None
        assert (claim.batches, claim.parked, claim.has_more) == ([waiting], Parked(1, 7), False)
    assert whole is not None
    assert (whole[0].batches, whole[0].parked) == ([parked, waiting], Parked(1, 7))


async def test_the_count_follows_every_change(shop: Shop) -> None:
    webhook, other = await shop.webhook(), await shop.webhook()
    await shop.claim()
    chance = random.Random(9)
    stored: dict[str, OpenBatch] = {}

    for _ in range(60):
        put, drop = {}, set()
        for name in (f"b{number}" for number in chance.sample(range(12), 4)):
            if name in stored and chance.random() < 0.3:
                drop.add(name)
                del stored[name]
                continue
            state = chance.choice(list(BatchState))
            put[name] = shop.batch(webhook, name, state=state, count=chance.randint(1, 9))
        stored |= put
        change = LaneChange(
            webhook_id=webhook.id, epoch=1, put=tuple(put.values()), drop=tuple(drop)
        )
        await shop.engine.ledger.record([change])
        kept = [batch.count for batch in stored.values() if batch.state is PARKED]
        assert await counted(shop, webhook) == Parked(len(kept), sum(kept))

    assert await counted(shop, other) == Parked()


async def test_an_account_s_count_is_that_of_its_webhooks_which_are_there(shop: Shop) -> None:
    first, second, foreign = (
        await shop.webhook(),
        await shop.webhook(),
        await shop.webhook(account_id=shop.accounts[1].id),
    )
    await shop.claim()
    for webhook, count in ((first, 2), (second, 3), (foreign, 5)):
        await shop.put(webhook, shop.batch(webhook, f"b{webhook.id}", state=PARKED, count=count))

    both = await shop.engine.ledger.count_parked(shop.accounts[0].id)
    await shop.engine.registry.delete_webhook(second.id, shop.clock.now(), expect=second)

    assert both == Parked(2, 5)
    assert await shop.engine.ledger.count_parked(shop.accounts[0].id) == Parked(1, 2)
    assert await shop.engine.ledger.count_parked(99) == Parked()


async def test_a_claim_brings_runs_and_the_first_in_the_log_and_says_that_there_is_more(
    shop: Shop,
) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    last = 2 * MOST_CLAIMED
    places = random.Random(4).sample(range(1, last), MOST_CLAIMED)
    batches = [shop.batch(webhook, f"b{place}", range=span(place, place + 1)) for place in places]
    run = shop.batch(webhook, "run", range=span(last, last + 1), done=b"\x00")
    await shop.put(webhook, *batches, run)

    claim = await shop.engine.ledger.lane(webhook.id)

    assert claim is not None and claim.has_more
    expected = sorted(batches, key=lambda batch: batch.range.start)[:-1]
    assert claim.batches == [run, *expected]


async def test_what_is_parked_is_paged_by_time_the_newest_first(shop: Shop) -> None:
    mine, second = await shop.webhook(), await shop.webhook()
    foreign = await shop.webhook(account_id=shop.accounts[1].id)
    await shop.claim()
    for webhook, name in ((mine, "z"), (second, "a"), (mine, "y"), (mine, "x"), (foreign, "f")):
        await shop.put(
            webhook,
            shop.batch(webhook, name, state=PARKED),
            shop.batch(webhook, name + "2", state=BatchState.WAITING),
        )
        if name != "y":
            shop.clock.advance(1)
    parked = shop.engine.ledger.parked

    pages: list[list[str]] = []
    before = None
    while found := await parked(shop.accounts[0].id, before=before, limit=2):
        pages.append([batch.id for batch in found])
        before = found[-1].cut_at, found[-1].id

    assert pages == [["y", "x"], ["a", "z"]]
    assert [b.id for b in await parked(shop.accounts[0].id, webhook_id=mine.id)] == ["y", "x", "z"]
    assert [b.id for b in await parked(webhook_id=second.id)] == ["a"]
    assert await parked(shop.accounts[1].id, webhook_id=mine.id) == []


async def test_open_batches_are_narrowed_by_their_state(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    await shop.put(
        webhook,
        *(shop.batch(webhook, f"p{number}", state=PARKED) for number in range(3)),
        *(shop.batch(webhook, f"w{number}") for number in range(2)),
    )
    opened = shop.engine.ledger.open_batches

    owners: tuple[dict[str, Any], ...] = (
        {},
        {"account_id": webhook.account_id},
        {"webhook_id": webhook.id},
    )
    for owner in owners:
        parked = await opened(**owner, state=PARKED, after="p0")
        waiting = await opened(**owner, state=BatchState.WAITING)
        assert [batch.id for batch in parked] == ["p1", "p2"]
        assert [batch.id for batch in waiting] == ["w0", "w1"]


async def test_the_parked_batch_that_holds_a_position_is_found(shop: Shop) -> None:
    webhook, other = await shop.webhook(), await shop.webhook()
    await shop.claim()
    part = Range(Position(3, 2), Position(4, 1))
    mine = shop.batch(webhook, "mine", state=PARKED, range=part)
    first = shop.batch(webhook, "first", state=PARKED, range=span(1, 2))
    replayed = shop.batch(webhook, "replayed", state=PARKED, range=span(3, 4), replay_id=1)
    await shop.put(webhook, mine, first, replayed)
    waiting = replace(mine, id="waiting", state=BatchState.WAITING, cut_at=shop.clock.now())
    await shop.put(other, replace(waiting, webhook_id=other.id))

    async def found(block: int, offset: int, of: Webhook = webhook) -> OpenBatch | None:
        return await shop.engine.ledger.parked_at(of.id, Position(block, offset))

    assert [await found(1, 0), await found(3, 2), await found(4, 0)] == [first, mine, mine]
    assert [await found(2, 0), await found(3, 1), await found(4, 1)] == [None, None, None]
    assert await found(3, 3, other) is None
