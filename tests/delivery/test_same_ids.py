"""An id is never seen with two bodies: not when event ids come again, not after a restore."""

import asyncio
import json

import pytest

from postbell.ingest.ingest import Ingest
from postbell.records import Outcome
from tests.delivery.rig import Rig, event, running

URL = "https://a.example/hook"
REFUSED = Outcome(status=400, body=b"no")
DAY_S = 86_400.0


async def sent(rig: Rig, *numbers: int) -> dict[str, bytes]:
    """Send these events in one batch; return the bodies by batch id."""
    await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": []})
    await rig.send(*map(event, numbers))
    await rig.turn()
    return {
        dict(request.headers)["webhook-id"]: request.body or b"" for request in rig.sender.got[URL]
    }


@pytest.mark.parametrize("dialect", ["native", "engagelab", "sendpulse"])
async def test_event_ids_that_come_again_while_their_batch_is_parked_make_another_batch(
    dialect: str,
) -> None:
    async with running() as rig:
        policy = {"max_wait_s": 0, "retry_waits_s": [], "max_events": 1, "success": [200]}
        webhook = await rig.webhook(dialect=dialect, policy=policy)
        rig.sender.standing[URL] = REFUSED
        await rig.send(event(1))
        await rig.turn()
        rig.clock.advance(5 * DAY_S)
        forgetful = Ingest(rig.engine, rig.clock, rig.directory)
        await forgetful.start()
        committing = asyncio.create_task(forgetful.run())

        answer = await forgetful.submit(rig.account, rig.user, [json.dumps(event(1)).encode()])
        await rig.turn()

        committing.cancel()
        assert answer.accepted == 1
        parked = await rig.engine.ledger.open_batches(webhook_id=webhook.id)
        assert len({batch.id for batch in parked}) == 2
        found = await rig.audit()
        assert (found.rows[0].parked, found.problems) == (2, [])


async def test_a_log_that_went_on_otherwise_after_a_restore_gives_other_ids() -> None:
    async with running() as rig:
        before = await sent(rig, 1, 2, 3)
    async with running() as restored:
        after = await sent(restored, 1, 9, 3)

    assert before.keys().isdisjoint(after)


async def test_the_same_events_recorded_at_another_moment_give_other_ids() -> None:
    async with running() as rig:
        before = await sent(rig, 1, 2, 3)
    async with running() as restored:
        restored.clock.advance(60)
        after = await sent(restored, 1, 2, 3)

    assert set(before.values()).isdisjoint(after.values())
    assert before.keys().isdisjoint(after)


async def test_the_same_log_gives_the_same_ids_and_bytes() -> None:
    async with running() as rig:
        before = await sent(rig, 1, 2, 3)
    async with running() as again:
        after = await sent(again, 1, 2, 3)

    assert before == after
