"""Replays: old ranges once more, filtered, under new batch ids."""

from postbell.blocks import Position, Range
from postbell.records import BatchState, Outcome, Replay, ReplayFilter, ReplayState
from tests.delivery.rig import OK, event, running

URL = "https://a.example/hook"
ALL_OF_IT = Range(Position(0, 0), Position(1 << 40, 0))


async def replay(rig, webhook, *ranges, wanted=None, rate_per_s=0.0):
    return await rig.engine.ledger.add_replay(
        Replay(
            id=0,
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=1,
            ranges=ranges or (ALL_OF_IT,),
            filter=wanted or ReplayFilter(),
            created_at=rig.clock.now(),
            rate_per_s=rate_per_s,
        )
    )


async def test_a_replay_sends_the_same_events_under_new_batch_ids():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        await rig.send(*[event(n) for n in range(3)])
        await rig.turn()

        await replay(rig, webhook)
        await rig.turn()

        first, second = rig.bodies()
        assert first == second
        assert len(set(rig.ids())) == 2
        (done,) = await rig.engine.ledger.replays()
        assert (done.state, done.events) == (ReplayState.DONE, 3)
        found = await rig.audit()
        row = found.rows[0]
        assert (row.delivered, row.replayed, found.problems) == (3, 3, [])


async def test_a_replay_can_be_filtered_by_type_recipient_and_message():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        await rig.send(
            event(0, "open", recipient="Ada@Example.net", message={"id": "m1"}),
            event(1, "open", recipient="bob@example.net", message={"id": "m1"}),
            event(2, "click", recipient="Ada@example.net", message={"id": "m2"}),
        )
        await rig.turn()

        for wanted in (
            ReplayFilter(types=("click",)),
            ReplayFilter(recipient="Ada@EXAMPLE.net"),
            ReplayFilter(message="m1"),
            ReplayFilter(recipient="nobody@example.net"),
        ):
            await replay(rig, webhook, wanted=wanted)
            await rig.turn()

        ids = [[e["event_id"] for e in body] for body in rig.bodies()[1:]]
        assert ids == [["e2"], ["e0", "e2"], ["e0", "e1"]]


async def test_a_failed_replay_batch_is_tried_again_with_the_same_bytes():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [10]})
        await rig.send(event(0, recipient="ada@example.net"), event(1))
        await rig.turn()
        rig.sender.answers[URL] = [Outcome(status=500), OK]

        await replay(rig, webhook, wanted=ReplayFilter(recipient="ada@example.net"))
        await rig.turn()
        await rig.later(13)

        _, second, third = rig.sender.got[URL]
        assert second.body == third.body
        assert rig.ids()[1] == rig.ids()[2]
        assert await rig.engine.ledger.open_batches() == []


async def test_a_replay_goes_into_another_webhook_in_its_dialect():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0})
        target = await rig.webhook("https://b.example/", dialect="sendpulse", start=Position(0, -1))
        await rig.send(event(0))
        other = await rig.webhook("https://c.example/", dialect="engagelab", start=Position(0, -1))

        await replay(rig, target)
        await replay(rig, other)
        await rig.turn()

        assert rig.bodies("https://c.example/")[0]["to"] == "user0@example.net"
        assert [e["event"] for e in rig.bodies("https://b.example/")[0]] == ["delivered"]


async def test_a_rate_spaces_the_batches_of_a_replay():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "max_events": 10})
        await rig.send(*[event(n) for n in range(30)])
        await rig.turn()

        await replay(rig, webhook, rate_per_s=10)
        await rig.turn()
        counts = [len(rig.bodies()) - 3]
        for _ in range(2):
            await rig.later(1)
            counts.append(len(rig.bodies()) - 3)

        assert counts == [1, 2, 3]


async def test_only_the_named_ranges_are_replayed():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        for n in range(4):
            await rig.send(event(n))
        await rig.turn()
        seen = len(rig.bodies())

        ranges = (Range(Position(1, 0), Position(1, 1)), Range(Position(3, 0), Position(4, 0)))
        await replay(rig, webhook, *ranges)
        await rig.turn()

        assert [e["event_id"] for b in rig.bodies()[seen:] for e in b] == ["e0", "e2"]


async def test_a_batch_of_a_replay_that_is_older_than_a_thousand_others_is_tried_again():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [10]})
        await rig.send(event(1))
        await rig.turn()
        rig.sender.answers[URL] = [Outcome(status=503)]
        await replay(rig, webhook)
        await rig.turn()
        for _ in range(1001):
            await replay(rig, webhook, Range(Position(9, 0), Position(9, 0)))
        await rig.turn()

        await rig.later(13)

        [current] = await rig.engine.registry.webhooks()
        assert current.state_reason == ""
        assert rig.ids()[1] == rig.ids()[2]


async def test_a_parked_replay_batch_is_beside_the_accounts():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": []})
        await rig.send(event(0))
        await rig.turn()
        rig.sender.standing[URL] = Outcome(status=500)

        await replay(rig, webhook)
        await rig.turn()

        (batch,) = await rig.engine.ledger.open_batches()
        assert batch.state is BatchState.PARKED
        found = await rig.audit()
        assert (found.rows[0].parked, found.rows[0].delivered, found.problems) == (0, 1, [])
