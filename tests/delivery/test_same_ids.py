"""An id is never seen with two bodies: not when event ids come again, not after a restore."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.dialects import DIALECTS
from postbell.ingest.ingest import Ingest
from postbell.ports import Request
from postbell.records import Outcome, Replay, ReplayFilter
from tests.delivery.rig import Rig, event, running

URL = "https://a.example/hook"
REFUSED = Outcome(status=400, body=b"no")
DAY_S = 86_400.0


async def sent(rig: Rig, *numbers: int, dialect: str = "native") -> dict[str, bytes]:
    """Send these events in one batch; return the bodies by batch id."""
    await rig.webhook(dialect=dialect, policy={"max_wait_s": 0, "retry_waits_s": []})
    await rig.send(*map(event, numbers))
    await rig.turn()
    return {sent_as(request): request.body or b"" for request in rig.sender.got[URL]}


def sent_as(request: Request) -> str:
    """Return the id under which a batch was sent."""
    headers = dict(request.headers)
    return headers.get("webhook-id") or headers["postbell-batch"]


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


WRITTEN: list[tuple[str, dict[str, object]]] = [
    ("native", {}),
    ("sendpulse", {}),
    ("sendpulse", {"bounces": "both"}),
    ("sendpulse", {"bounces": "bounces"}),
    ("engagelab", {"array": True}),
    ("engagelab", {"array": True, "codes": "phase"}),
]
TYPES = ("delivered", "hard_bounce", "unsubscribe", "soft_bounce")


def too_many(request: Request) -> Outcome:
    """Refuse, as too long, whatever has several events."""
    is_several = len(json.loads(request.body or b"")) > 1 and (request.body or b"")[:1] == b"["
    return Outcome(status=413) if is_several else Outcome(status=200)


async def told(
    dialect: str, options: dict[str, object], *, is_new: bool, most: int
) -> set[tuple[str, bytes]]:
    """Let a webhook be made, or revised, to be written so, and send it events, halves of a batch
    that is refused and a replay; return each id with the bytes that came under it."""
    async with running() as rig:
        policy = {"max_wait_s": 0, "max_events": most, "retry_waits_s": [], "success": [200]}
        rig.sender.standing[URL] = too_many
        chosen = {"dialect": dialect, "options": options} if is_new else {}
        webhook = await rig.webhook(policy=policy, **chosen)
        if not is_new:
            changed = replace(webhook, dialect=dialect, options=options)
            webhook = await rig.engine.registry.set_webhook(changed)
        await rig.send(*[event(n, kind) for n, kind in enumerate(TYPES)])
        await rig.turn()
        again = Replay(
            id=0,
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=webhook.revisions[-1].number,
            ranges=(Range(Position(0, 0), Position(9, 0)),),
            filter=ReplayFilter(),
            created_at=rig.clock.now(),
        )
        await rig.engine.ledger.add_replay(again)
        await rig.turn()
        return {(sent_as(request), request.body or b"") for request in rig.sender.got[URL]}


@pytest.mark.parametrize("is_new", [False, True], ids=["revised", "made"])
@pytest.mark.parametrize("most", [1, 4])
async def test_no_id_meets_two_bodies_where_a_webhook_is_written_otherwise_after_a_restore(
    *, is_new: bool, most: int
) -> None:
    came = [await told(*each, is_new=is_new, most=most) for each in WRITTEN]

    least = 2 * len(TYPES) if most == 1 else 2 * len(TYPES) + 2
    assert all(len(each) >= least for each in came)
    bodies = {name: body for each in came for name, body in each}
    assert all(bodies[name] == body for each in came for name, body in each)
    assert len(bodies) == sum(map(len, came))


async def test_another_release_that_writes_events_otherwise_gives_other_ids_after_a_restore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = DIALECTS["sendpulse"].render
    before = {
        (most, *each)
        for most in (1, 4)
        for each in await told("sendpulse", {}, is_new=True, most=most)
    }
    monkeypatch.setattr(
        type(DIALECTS["sendpulse"]),
        "render",
        lambda _, events, options: written(events, options).replace(b'":', b'" :'),
    )

    after = [await told("sendpulse", {}, is_new=True, most=most) for most in (1, 4)]

    names = {name for each in after for name, _ in each}
    assert names.isdisjoint(name for _, name, _ in before)
