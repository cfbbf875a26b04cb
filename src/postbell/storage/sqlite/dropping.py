"""Blocks that nobody needs any more go, in commits so small that nobody waits for them."""

import json
from collections.abc import Collection

import apsw

from postbell.ports import Dropped
from postbell.storage.sqlite.connecting import rows
from postbell.storage.sqlite.registry import SqliteRegistry
from postbell.storage.sqlite.store import SQL, Store

DROP_BLOCKS = 32
"""So many go in one commit, which takes a few milliseconds."""
DROP_CORRECTIONS = 1000


async def drop_blocks(
    store: Store, registry: SqliteRegistry, before: int, counted: Collection[int]
) -> Dropped:
    """Do what `Engine.drop_blocks` says."""
    ids = json.dumps(sorted(counted))

    def work(db: apsw.Connection) -> Dropped:
        edge = _edge(db, registry, before, ids)
        db.execute(SQL["drop_blocks"], (edge, DROP_BLOCKS))
        gone = db.changes()
        if gone < DROP_BLOCKS:
            db.execute(SQL["drop_corrections"], (edge, DROP_CORRECTIONS))
        return Dropped(gone, edge)

    blocks, is_over = 0, False
    while not is_over:
        gone, edge = await store.writer.run(work, is_reserved=True)
        store.recent.drop(edge)
        blocks, is_over = blocks + gone, gone < DROP_BLOCKS
    return Dropped(blocks, edge)


def _edge(db: apsw.Connection, registry: SqliteRegistry, before: int, ids: str) -> int:
    """Return the lowest block that a lane needs, *before* at most."""
    for webhook_id, needed in rows(db, SQL["needed"], before, ids):
        if registry.can_read(db, webhook_id):
            before = min(before, needed)
    return before
