"""The bell: who waits is woken by what was committed."""

import asyncio

from postbell.records import LaneChange
from tests.contract.making import Shop, block

LONG_S = 20.0
SHORT_S = 0.01


async def test_silence_ends_with_false(shop: Shop) -> None:
    await shop.engine.bell.wait(SHORT_S)

    assert await shop.engine.bell.wait(SHORT_S) is False


async def test_an_append_wakes_everyone_who_waits(shop: Shop) -> None:
    async def listen() -> bool:
        while await shop.engine.log.head() == 0:
            await shop.engine.bell.wait(LONG_S)
        return True

    async with asyncio.timeout(LONG_S / 2), asyncio.TaskGroup() as group:
        listeners = [group.create_task(listen()) for _ in range(3)]
        await asyncio.sleep(0)
        await shop.append(block())

    assert [listener.result() for listener in listeners] == [True] * 3


async def test_a_ring_between_two_waits_is_heard(shop: Shop) -> None:
    await shop.engine.bell.wait(SHORT_S)
    shop.engine.bell.ring()

    assert await shop.engine.bell.wait(LONG_S) is True
    assert await shop.engine.bell.wait(SHORT_S) is False


async def test_one_who_listens_takes_no_ring_from_another(shop: Shop) -> None:
    bell = shop.engine.bell
    heard: list[bool] = []
    turn = asyncio.Event()

    async def busy() -> None:
        while await bell.wait(SHORT_S):
            pass
        await turn.wait()
        heard.append(await bell.wait(LONG_S))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(busy())
        while await bell.wait(SHORT_S * 5):
            pass
        bell.ring()
        assert await bell.wait(LONG_S) is True
        turn.set()
        await task

    assert heard == [True]


async def test_changes_from_outside_ring(shop: Shop) -> None:
    webhook = await shop.webhook()
    bell, now = shop.engine.bell, shop.clock.now()
    await bell.wait(SHORT_S)
    rung = []

    await shop.engine.ledger.intervene(LaneChange(webhook_id=webhook.id, epoch=0))
    rung.append(await bell.wait(LONG_S))
    await shop.engine.ledger.add_replay(shop.replay(webhook))
    rung.append(await bell.wait(LONG_S))
    await shop.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=2, pause="gone")])
    rung.append(await bell.wait(LONG_S))
    await shop.engine.registry.delete_webhook(webhook.id, now)
    rung.append(await bell.wait(LONG_S))

    assert rung == [True] * 4


async def test_the_workers_own_notes_do_not_ring(shop: Shop) -> None:
    webhook = await shop.webhook()
    [claim] = await shop.claim()
    await shop.engine.bell.wait(SHORT_S)

    await shop.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=1, lane=claim.lane)])

    assert await shop.engine.bell.wait(0.12) is False
