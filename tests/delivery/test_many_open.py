"""A lane with more open batches than come with its claim: a person opened many parked ones."""

from postbell.blocks import Position, Range
from postbell.ports import MOST_CLAIMED
from postbell.records import LaneChange, OpenBatch
from tests.delivery.rig import event, running

MORE = 40


async def test_what_did_not_come_with_the_claim_is_sent_after_the_rest() -> None:
    async with running() as rig:
        webhook = await rig.webhook(start=Position(2, 0))
        await rig.send(*(event(number) for number in range(100)))
        put = tuple(
            OpenBatch(
                id=f"bat_{number:05}",
                webhook_id=webhook.id,
                revision=1,
                range=Range(Position(1, number % 100), Position(1, number % 100 + 1)),
                count=1,
                cut_at=rig.clock.now(),
                next_at=rig.clock.now(),
            )
            for number in range(MOST_CLAIMED + MORE)
        )
        await rig.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=0, put=put)])

        await rig.turn()

        assert sorted(rig.ids()) == [batch.id for batch in put]
        assert await rig.engine.ledger.open_batches() == []
