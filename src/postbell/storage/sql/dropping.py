"""Blocks that nobody needs any more go, in commits so small that nobody waits for them."""

import json
from collections.abc import Awaitable, Callable, Collection

from postbell.ports import Dropped
from postbell.storage.sql.registry import SqlRegistry
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction

DROP_BLOCKS = 32
"""So many go in one commit, which takes a few milliseconds."""
DROP_CORRECTIONS = 1000


Drop = Callable[[Transaction, int], Awaitable[int]]
"""Drops some blocks below an id, the oldest first, and returns how many: none at the end."""


async def drop_rows(db: Transaction, edge: int) -> int:
    return await db.run("drop_blocks", edge, DROP_BLOCKS)


async def drop_blocks(
    store: Store,
    registry: SqlRegistry,
    before: int,
    counted: Collection[int],
    *,
    drop: Drop = drop_rows,
) -> Dropped:
    """Do what `Engine.drop_blocks` says."""
    ids = json.dumps(sorted(counted))

    async def work(db: Transaction) -> Dropped:
        await db.run("hold_lanes")
        edge = await _edge(db, registry, before, ids)
        gone = await drop(db, edge)
        if gone == 0:
            await db.run("drop_corrections", edge, DROP_CORRECTIONS)
        return Dropped(gone, edge)

    blocks, is_over = 0, False
    while not is_over:
        gone, edge = await store.writer.run(work, is_reserved=True)
        store.recent.drop(edge)
        blocks, is_over = blocks + gone, gone == 0
    return Dropped(blocks, edge)


async def _edge(db: Transaction, registry: SqlRegistry, before: int, ids: str) -> int:
    """Return the lowest block that a lane needs, *before* at most."""
    for webhook_id, needed in await db.rows("needed", before, ids):
        if await registry.can_read(db, webhook_id):
            before = min(before, needed)
    return before
