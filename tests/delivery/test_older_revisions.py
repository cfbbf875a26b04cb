"""What was accepted before a change goes out as it was to go: in sizes that its dialect can write,
signed with its dialect's key."""

import asyncio

import pytest
from msgspec.structs import replace

from postbell.blocks import START, Position, Range
from postbell.dialects.engagelab.signature import md5
from postbell.ports import NewSecret
from postbell.records import Replay, ReplayFilter, SecretKind, WebhookState
from tests.delivery.rig import event, running

URL = "https://a.example/hook"
CHANGES = [
    {"options": {"array": True}, "policy": {"max_events": 10}},
    {"dialect": "native", "policy": {}},
    {"dialect": "sendpulse", "policy": {"max_wait_s": 1}},
]


async def change(rig, webhook, **members):
    registry = rig.engine.registry
    await registry.set_webhook(replace(await registry.webhook(webhook.id), **members))


@pytest.mark.parametrize("members", CHANGES)
async def test_single_events_of_before_go_one_a_post_after_a_change_to_batches(members):
    async with running() as rig:
        paused = {"state": WebhookState.PAUSED, "state_reason": "customer"}
        webhook = await rig.webhook(dialect="engagelab", **paused)
        await rig.send(*[event(n) for n in range(5)])
        await rig.turn()

        await change(rig, webhook, state=WebhookState.ACTIVE, **members)
        await rig.later(60)

        assert [body["to"] for body in rig.bodies()] == [f"user{n}@example.net" for n in range(5)]
        assert (await rig.audit()).rows[0].delivered == 5


@pytest.mark.parametrize("members", CHANGES)
async def test_batches_follow_single_events_of_before_without_a_repetition(members):
    async with running() as rig:
        paused = {"state": WebhookState.PAUSED, "state_reason": "customer"}
        webhook = await rig.webhook(dialect="engagelab", **paused)
        await rig.send(*[event(n) for n in range(5)])
        await rig.turn()

        await change(rig, webhook, **members)
        await rig.send(*[event(n) for n in range(5, 9)])
        await change(rig, webhook, state=WebhookState.ACTIVE)
        await rig.later(60)

        assert len(rig.bodies()) == 6
        found = await rig.audit()
        assert [row.delivered for row in found.rows] == [5, 4]
        assert found.problems == []


async def test_a_larger_batch_waits_until_the_single_events_before_it_are_written_down():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_events": 1, "max_wait_s": 0})
        rig.sender.gate = asyncio.Event()
        await rig.send(*[event(n) for n in range(3)])
        await rig.spin()

        await change(rig, webhook, policy={"max_events": 2, "max_wait_s": 0})
        await rig.send(*[event(n) for n in range(3, 5)])
        await rig.spin()
        rig.sender.gate.set()
        await rig.turn()

        sent = [[each["event_id"] for each in body] for body in rig.bodies()]
        assert sent == [["e0"], ["e1"], ["e2"], ["e3", "e4"]]
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (5, [])


@pytest.mark.parametrize("members", CHANGES)
async def test_a_replay_under_an_older_revision_sends_what_that_can_write(members):
    async with running() as rig:
        webhook = await rig.webhook(dialect="engagelab")
        await rig.send(*[event(n) for n in range(3)])
        await rig.turn()
        end = Position(await rig.engine.log.head() + 1, 0)
        await change(rig, webhook, **members)
        await rig.engine.ledger.add_replay(
            Replay(
                id=0,
                account_id=webhook.account_id,
                webhook_id=webhook.id,
                revision=1,
                ranges=(Range(START, end),),
                filter=ReplayFilter(),
                created_at=rig.clock.now(),
            )
        )

        await rig.turn()

        assert len(rig.bodies()) == 6
        assert (await rig.engine.registry.webhook(webhook.id)).state is WebhookState.ACTIVE


async def test_events_of_before_are_signed_with_the_key_of_their_dialect():
    async with running() as rig:
        now = rig.clock.now()
        key = NewSecret(SecretKind.APP_KEY, "the key of the account", now)
        await rig.engine.registry.add_secrets([key], account_id=rig.account.id)
        webhook = await rig.webhook(dialect="engagelab", secrets=[])
        await change(rig, webhook, state=WebhookState.PAUSED, state_reason="customer")
        await rig.send(event(0))
        await rig.turn()

        await change(rig, webhook, dialect="native", state=WebhookState.ACTIVE)
        await rig.later(60)

        (request,) = rig.sender.got[URL]
        headers = {name.lower(): value for name, value in request.headers}
        expected = md5(headers["x-webhook-timestamp"], key.value)
        assert headers["x-webhook-signature"] == expected


HEADERS = [("native", "mandrill", "webhook-id"), ("mandrill", "native", "X-Mandrill-Signature")]


@pytest.mark.parametrize(("before", "now", "name"), HEADERS)
async def test_a_header_of_ones_own_gives_way_to_one_that_the_dialect_of_before_sets(
    before, now, name
):
    async with running() as rig:
        paused = {"state": WebhookState.PAUSED, "state_reason": "customer"}
        key = NewSecret(SecretKind.APP_KEY, "a-key-of-its-own", rig.clock.now())
        webhook = await rig.webhook(dialect=before, secrets=[key], **paused)
        await rig.send(event(1))
        await rig.turn()

        own = ((name, "mine"), ("x-own", "mine"))
        await change(rig, webhook, dialect=now, headers=own, state=WebhookState.ACTIVE)
        await rig.later(60)
        await rig.send(event(2))
        await rig.later(60)

        first, second = (request.headers for request in rig.sender.got[URL])
        assert [value for each, value in first if each == name] != ["mine"]
        assert [each.lower() for each, _ in first].count(name.lower()) == 1
        assert ("x-own", "mine") in first
        assert (name, "mine") in second
