"""What is stored is what was written: one batch and one body an id, no changed block."""

from postbell.errors import DamagedBlock, IdTaken
from postbell.records import OpenBatch


def is_same_batch(stored: OpenBatch, put: OpenBatch) -> bool:
    """Say whether *put* is the batch that is *stored* under its id, further on its way."""
    facts = [
        (batch.webhook_id, batch.revision, batch.range, batch.replay_id) for batch in (stored, put)
    ]
    is_known = stored.body_hash and put.body_hash
    return facts[0] == facts[1] and (not is_known or stored.body_hash == put.body_hash)


def id_taken(batch: OpenBatch) -> IdTaken:
    """Return the error for a batch whose id another one has."""
    return IdTaken(
        f"batch {batch.id} of webhook {batch.webhook_id} would take the place of another one with"
        " its id; nothing was written"
    )


def damaged(block: int) -> DamagedBlock:
    """Return the error for a block that the disk has changed."""
    return DamagedBlock(
        f"block {block} of the log is damaged: its checksum is another one; restore it from a"
        " backup, or skip what waits",
        reason="damaged_block",
        block=block,
    )
