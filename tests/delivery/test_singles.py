"""Single events that leave their run: what is not written down yet is not attempted again."""

from postbell.records import Outcome
from tests.delivery.rig import OK, event, running

URL = "https://a.example/hook"
DOWN = Outcome(status=503)


async def test_an_event_that_left_its_run_waits_for_its_record_when_an_outage_ends():
    async with running() as rig:
        await rig.webhook(dialect="engagelab", policy={"concurrency": 1, "retry_waits_s": [1] * 9})
        rig.sender.answers[URL] = [DOWN] * 3
        await rig.send(*[event(n) for n in range(3)])
        await rig.turn()

        def down_until_the_others_are_due(_):
            rig.clock.advance(2)
            return DOWN

        rig.sender.answers[URL] = [down_until_the_others_are_due, OK]
        await rig.send(event(3))
        await rig.turn()
        await rig.later(2)

        assert len(rig.sender.got[URL]) == 3 + 1 + 4
        assert (await rig.audit()).problems == []


async def test_an_ordered_webhook_does_not_retry_what_is_not_written_down_yet():
    async with running() as rig:
        await rig.webhook(dialect="engagelab", policy={"ordered": True, "retry_waits_s": [0] * 9})
        rig.sender.answers[URL] = [DOWN]

        await rig.send(event(0), event(1))
        await rig.turn()
        await rig.later(1)

        assert len(rig.sender.got[URL]) == 3
        assert (await rig.audit()).problems == []
