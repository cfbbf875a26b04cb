"""The engine as a whole: ready, concurrent, closed."""

import asyncio

from postbell.errors import HeadMoved
from tests.contract.making import Shop, block


async def test_a_fresh_engine_is_ready(shop: Shop) -> None:
    await shop.engine.ready()

    assert await shop.engine.log.head() == 0


async def test_of_appends_after_the_same_head_one_wins(shop: Shop) -> None:
    async def append() -> bool:
        try:
            await shop.engine.log.append([block()], [], head=0, now=shop.clock.now())
        except HeadMoved:
            return False
        return True

    won = await asyncio.gather(*(append() for _ in range(8)))

    assert won.count(True) == 1
    assert len(await shop.engine.log.tail(0, 10)) == 1


async def test_one_refused_write_leaves_those_beside_it(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()

    names = ["one", "acme", "two", "bolt", "three"]
    results = await asyncio.gather(
        *(registry.add_account(name, now) for name in names), return_exceptions=True
    )

    refused = [isinstance(result, Exception) for result in results]
    assert refused == [False, True, False, True, False]
    assert [a.name for a in await registry.accounts()] == ["acme", "bolt", "one", "two", "three"]


async def test_closing_twice_is_harmless(shop: Shop) -> None:
    await shop.engine.close()

    await shop.engine.close()
