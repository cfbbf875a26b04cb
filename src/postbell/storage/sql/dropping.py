"""Blocks that nobody needs any more go, in commits so small that nobody waits for them."""

import json
from collections.abc import Collection

from postbell.ports import Dropped
from postbell.storage.sql.registry import SqlRegistry
from postbell.storage.sql.store import Store
from postbell.storage.sql.transaction import Transaction

DROP_BLOCKS = 32
"""So many go in one commit, which takes a few milliseconds."""
DROP_CORRECTIONS = 1000


async def drop_blocks(
    store: Store, registry: SqlRegistry, before: int, counted: Collection[int]
) -> Dropped:
    """Do what `Engine.drop_blocks` says."""
    ids = json.dumps(sorted(counted))

    async def work(db: Transaction) -> Dropped:
        await db.run("hold_lanes")
        edge = await _edge(db, registry, before, ids)
        gone = await db.run("drop_blocks", edge, DROP_BLOCKS)
        if gone < DROP_BLOCKS:
            await db.run("drop_corrections", edge, DROP_CORRECTIONS)
        return Dropped(gone, edge)

    blocks, is_over = 0, False
    while not is_over:
        gone, edge = await store.writer.run(work, is_reserved=True)
        store.recent.drop(edge)
        blocks, is_over = blocks + gone, gone < DROP_BLOCKS
    return Dropped(blocks, edge)


async def _edge(db: Transaction, registry: SqlRegistry, before: int, ids: str) -> int:
    """Return the lowest block that a lane needs, *before* at most."""
    for webhook_id, needed in await db.rows("needed", before, ids):
        if await registry.can_read(db, webhook_id):
            before = min(before, needed)
    return before
