"""No block goes that a lane needs, unless what it loses was counted."""

import asyncio

import pytest
from msgspec.structs import replace

from postbell.blocks import START, Position
from postbell.records import BatchState, LaneChange, Webhook
from tests.contract.making import Shop, block, span


async def kept(shop: Shop) -> list[int]:
    return [header.id for header in await shop.engine.log.tail(0, 1000)]


async def webhook_at(shop: Shop, block_id: int) -> Webhook:
    """Return a webhook whose lane stands at the beginning of this block."""
    return await shop.webhook(start=Position(block_id, 0))


async def test_blocks_from_a_cursor_on_stay_until_their_loss_is_counted(shop: Shop) -> None:
    ids = [header.id for header in await shop.append(*(block() for _ in range(6)))]
    webhook = await webhook_at(shop, ids[2])

    guarded = await shop.engine.drop_blocks(ids[5], counted=())
    left = await kept(shop)
    counted = await shop.engine.drop_blocks(ids[5], counted={webhook.id})

    assert (guarded, left) == ((2, ids[2]), ids[2:])
    assert (counted, await kept(shop)) == ((3, ids[5]), ids[5:])


@pytest.mark.parametrize("state", BatchState)
@pytest.mark.parametrize("done", [None, bytes(1)], ids=["batch", "run"])
async def test_blocks_of_whatever_is_open_or_parked_stay(
    shop: Shop, state: BatchState, done: bytes | None
) -> None:
    ids = [header.id for header in await shop.append(*(block() for _ in range(6)))]
    webhook = await webhook_at(shop, ids[5])
    await shop.claim()
    batches = [
        shop.batch(webhook, name, range=span(ids[at], ids[at] + 1), state=state, done=done)
        for name, at in (("b1", 3), ("b2", 4))
    ]
    await shop.put(webhook, *batches)

    dropped = await shop.engine.drop_blocks(ids[5], counted=())

    assert (dropped, await kept(shop)) == ((3, ids[3]), ids[3:])


async def test_the_lane_that_needs_the_lowest_decides(shop: Shop) -> None:
    ids = [header.id for header in await shop.append(*(block() for _ in range(8)))]
    lanes = [await webhook_at(shop, ids[at]) for at in (6, 1, 4)]

    dropped = await shop.engine.drop_blocks(ids[7], counted={lanes[1].id})

    assert dropped == (4, ids[4])
    assert await kept(shop) == ids[4:]


async def test_a_lane_that_moved_on_and_one_that_is_deleted_need_nothing_any_more(
    shop: Shop,
) -> None:
    ids = [header.id for header in await shop.append(*(block() for _ in range(4)))]
    moved, deleted = [await webhook_at(shop, ids[0]) for _ in range(2)]
    await shop.claim()
    claim = await shop.engine.ledger.lane(moved.id)
    assert claim is not None
    lane = replace(claim.lane, cursor=Position(ids[3], 0))
    await shop.engine.ledger.record([LaneChange(webhook_id=moved.id, epoch=1, lane=lane)])
    await shop.engine.registry.delete_webhook(deleted.id, shop.clock.now())

    dropped = await shop.engine.drop_blocks(ids[3], counted=())

    assert dropped == (3, ids[3])


async def test_what_a_webhook_that_is_made_while_blocks_go_needs_is_not_among_them(
    shop: Shop,
) -> None:
    ids = [header.id for header in await shop.append(*(block() for _ in range(400)))]

    async def make() -> list[int]:
        for _ in range(3):
            await shop.engine.log.head()
        await shop.webhook(start=START)
        return await kept(shop)

    left, dropped = await asyncio.gather(make(), shop.engine.drop_blocks(ids[399], counted=()))

    assert await kept(shop) == left
    assert dropped.blocks == len(ids) - len(left)
