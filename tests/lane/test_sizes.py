"""How much goes into one body: what the policy asks for, and never a byte more."""

import pytest

from postbell.blocks import START, Position, Range
from postbell.records import Replay, ReplayFilter
from tests.delivery.rig import event, running

URL = "https://a.example/hook"
MANY = {"array": True}
LONG_REPLY = {"smtp": {"code": 550, "enhanced": "5.1.1", "text": "\x01" * 500}}


def sizes(rig) -> list[int]:
    return [len(request.body or b"") for request in rig.sender.got[URL]]


@pytest.mark.parametrize("dialect", ["native", "sendpulse", "sendpulse-bulk", "engagelab"])
async def test_as_many_events_as_are_asked_for_go_in_one_request(dialect):
    async with running() as rig:
        options = MANY if dialect == "engagelab" else {}
        policy = {"max_events": 1000, "max_wait_s": 60}
        await rig.webhook(dialect=dialect, options=options, policy=policy)

        events = [event(n, "hard_bounce", smtp={"code": 550, "text": "x" * 40}) for n in range(999)]
        await rig.send(event(1000), *events)
        await rig.turn()

        assert [len(body) for body in rig.bodies()] == [1000]


@pytest.mark.parametrize("dialect", ["native", "sendpulse", "sendpulse-bulk", "engagelab"])
async def test_bodies_are_as_long_as_they_may_be_once_one_has_shown_how_long_events_are(dialect):
    async with running() as rig:
        options = MANY if dialect == "engagelab" else {}
        policy = {"max_events": 1000, "max_bytes": 16_000, "max_wait_s": 0}
        await rig.webhook(dialect=dialect, options=options, policy=policy)
        await rig.send(event(0))
        await rig.turn()

        await rig.send(*[event(n, message={"esp_id": "y" * 300}) for n in range(1, 900)])
        await rig.turn()

        found = sizes(rig)
        assert sum(map(len, rig.bodies())) == 900
        assert max(found) <= 16_000
        assert min(found[6:-1]) > 14_000


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("ordered", [False, True])
async def test_no_body_is_too_long_where_events_are_longer_than_they_were(ordered, concurrency):
    async with running() as rig:
        policy = {
            "max_events": 1000,
            "max_bytes": 20_000,
            "max_wait_s": 0,
            "ordered": ordered,
            "concurrency": concurrency,
        }
        await rig.webhook(dialect="engagelab", options=MANY, policy=policy)
        await rig.send(*[event(n) for n in range(50)])
        await rig.turn()

        await rig.send(*[event(n, "hard_bounce", **LONG_REPLY) for n in range(50, 80)])
        await rig.send(*[event(n, "hard_bounce", **LONG_REPLY) for n in range(80, 200, 2)])
        await rig.turn()

        told = [each["status"]["status_data"]["email_id"] for body in rig.bodies() for each in body]
        assert max(sizes(rig)) <= 20_000
        assert len(told) == len(set(told)) == 140
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (140, [])


async def test_one_event_that_is_longer_than_a_body_may_be_goes_alone():
    async with running() as rig:
        policy = {"max_events": 1000, "max_bytes": 4000, "max_wait_s": 0}
        await rig.webhook(dialect="engagelab", options=MANY, policy=policy)

        await rig.send(event(0), event(1, "hard_bounce", **LONG_REPLY), event(2))
        await rig.turn()

        assert [len(body) for body in rig.bodies()] == [1, 1, 1]


@pytest.mark.parametrize("wanted", [ReplayFilter(), ReplayFilter(recipient="user7@example.net")])
async def test_a_replay_makes_no_body_too_long_either(wanted):
    async with running() as rig:
        policy = {"max_events": 1000, "max_bytes": 20_000, "max_wait_s": 0}
        start = Position(1 << 40, 0)
        webhook = await rig.webhook(dialect="engagelab", options=MANY, policy=policy, start=start)
        events = [event(n, "hard_bounce", **LONG_REPLY) for n in range(60)]
        await rig.send(*events)
        end = Position(await rig.engine.log.head() + 1, 0)
        await rig.engine.ledger.add_replay(
            Replay(
                id=0,
                account_id=webhook.account_id,
                webhook_id=webhook.id,
                revision=1,
                ranges=(Range(START, end),),
                filter=wanted,
                created_at=rig.clock.now(),
            )
        )

        await rig.turn()

        assert max(sizes(rig)) <= 20_000
        assert sum(map(len, rig.bodies())) == (1 if wanted.recipient else 60)
        (replay,) = await rig.engine.ledger.replays()
        assert (replay.state.value, replay.events) == ("done", 1 if wanted.recipient else 60)
