"""What a worker holds is what the ledger says: looked at after every step of every story."""

from collections.abc import Iterator

from msgspec.structs import replace

from postbell.lane.held import Held
from postbell.lane.judge import NOTED
from postbell.lane.stage import Stage
from postbell.ports import Claim, Engine
from postbell.records import OpenBatch
from tests.model.process import Process

EVERYTHING = 1_000_000


async def disagreements(engine: Engine, process: Process, *, was_set: bool) -> list[str]:
    """Return what a worker at rest holds otherwise than it is written.

    What was changed from outside and not heard of yet has another epoch, and is left out; so are
    moments where a clock *was_set*: they are held no longer than is lawful.
    """
    found = []
    for held in list(process.worker.lanes.values()):
        claim = await engine.ledger.lane(held.id, most=EVERYTHING)
        is_current = claim is not None and claim.lane.epoch == held.lane.epoch
        if claim is not None and is_current and held.writes.is_free and not held.is_gone:
            found += [
                f"{process.name} holds {what} of webhook {held.id} as {ours}, written is {theirs}"
                for what, ours, theirs in _pairs(held, claim, was_set=was_set)
                if ours != theirs
            ]
    return found


def _pairs(held: Held, claim: Claim, *, was_set: bool) -> Iterator[tuple[str, object, object]]:
    """Yield what is compared: its name, as it is held, as it is written."""
    yield "the cursor", held.lane.cursor, claim.lane.cursor
    yield "what was delivered", held.lane.delivered, claim.lane.delivered
    if not was_set:
        yield "the stop", held.lane.stop, claim.lane.stop
    if not (held.is_busy or any(run.is_unsaved for run in held.runs) or was_set):
        for name in NOTED:
            yield name, getattr(held.lane, name), getattr(claim.lane, name)
    if not held.has_more:
        ours = [slot.batch for slot in held.slots if slot.stage is not Stage.LEAVING]
        theirs = [batch for batch in claim.batches if batch.done is None]
        yield "the open batches", _by_id(ours, was_set), _by_id(theirs, was_set)
        saved = {run.key for run in held.runs if run.is_saved}
        rows = {batch.id: batch.done for batch in claim.batches if batch.done is not None}
        yield "the runs", saved, set(rows)
        for run in held.runs:
            if run.is_saved:
                done = int.from_bytes(rows.get(run.key) or b"", "little")
                handled = int.from_bytes(run.handled, "little")
                yield "what is done of a run", handled | done, handled
    running = {replay.id: replay.position for replay in held.passes.running.values()}
    yield "the replays", running, {replay.id: replay.position for replay in claim.replays}


def _by_id(batches: list[OpenBatch], was_set: bool) -> dict[str, OpenBatch]:
    timeless = {"next_at": None, "stop": None} if was_set else {}
    return {batch.id: replace(batch, **timeless) for batch in batches}
