"""The wait of an event begins when it could be sent; one word for all webhooks agrees with each."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.dialects import DIALECTS
from postbell.events import EventType
from postbell.records import (
    BatchState,
    LaneChange,
    Outcome,
    Replay,
    ReplayFilter,
    Webhook,
)
from postbell.reports import Reports
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock

URL = "https://a.example/hook"


@pytest.fixture(params=["memory", "sqlite"])
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Rig]:
    if request.param == "memory":
        engine = MemoryEngine(clock)
    else:
        key = load_or_create(tmp_path / "key")
        engine = await sqlite.open(tmp_path / "postbell.db", key, clock, worker=True)
    async with running(engine, clock) as rig:
        yield rig
    await engine.close()


async def standing(rig: Rig, webhook: Webhook) -> tuple[float, str, str]:
    """Return lag and health as the webhook's own view has them, and the word among all."""
    reports = Reports(rig.engine, DIALECTS, rig.directory, rig.clock)
    view = await reports.webhook(None, webhook.id)
    words = {each.webhook.id: each.word for each in await reports.states(rig.account.id)}
    return view.lag_s, view.health, words[webhook.id]


async def replay(rig: Rig, webhook: Webhook, **members: object) -> None:
    whole = Range(Position(1, 0), Position(await rig.engine.log.head() + 1, 0))
    await rig.engine.ledger.add_replay(
        Replay(
            id=0,
            account_id=rig.account.id,
            webhook_id=webhook.id,
            revision=1,
            ranges=(whole,),
            filter=ReplayFilter(),
            created_at=rig.clock.now(),
            position=whole.start,
            **members,
        )
    )


async def test_a_replay_of_old_events_makes_no_lag_of_their_age(rig: Rig) -> None:
    webhook = await rig.webhook(URL, policy={"max_wait_s": 0, "retry_waits_s": [50.0, 50.0]})
    await rig.send(event(1), event(2))
    await rig.turn()
    rig.clock.advance(20 * 86_400)
    rig.sender.standing[URL] = Outcome(status=503)
    await replay(rig, webhook)
    await rig.turn()

    at_once, _, _ = await standing(rig, webhook)
    rig.clock.advance(20)
    later, _, _ = await standing(rig, webhook)

    assert len(rig.sender.got[URL]) == 2
    assert (at_once, later) == (0, 20)


async def test_what_a_rate_limit_holds_back_counts(rig: Rig) -> None:
    webhook = await rig.webhook(
        URL, policy={"max_wait_s": 0, "max_events": 1, "rate_per_s": 0.001, "concurrency": 1}
    )
    await rig.send(event(1), event(2), event(3))
    await rig.turn()
    rig.clock.advance(60)
    await rig.turn()

    assert len(rig.sender.got[URL]) == 1
    assert await standing(rig, webhook) == (60, "behind", "behind")


async def test_events_from_before_a_webhook_wait_since_it_was_made(rig: Rig) -> None:
    await rig.send(event(1))
    rig.clock.advance(86_400)
    webhook = await rig.webhook(URL, start=Position(0, 0))
    rig.clock.advance(10)

    assert await standing(rig, webhook) == (10, "up_to_date", "up_to_date")


async def test_a_parked_batch_that_is_opened_again_waits_since_then(rig: Rig) -> None:
    webhook = await rig.webhook(URL, policy={"max_wait_s": 0, "retry_waits_s": []})
    rig.sender.standing[URL] = Outcome(status=503)
    await rig.send(event(1))
    await rig.turn()
    rig.clock.advance(86_400)
    claim = await rig.engine.ledger.lane(webhook.id)
    assert claim is not None
    (parked,) = await rig.engine.ledger.parked(webhook_id=webhook.id)
    lane = replace(claim.lane, failing_since=None, failures=0)
    opened = replace(parked, state=BatchState.WAITING, parked_at=None, opened_at=rig.clock.now())
    change = LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, lane=lane, put=(opened,))
    await rig.engine.ledger.record([change])
    rig.clock.advance(29)
    at_first = await standing(rig, webhook)
    rig.clock.advance(2)

    assert parked.state is BatchState.PARKED
    assert at_first == (29, "up_to_date", "up_to_date")
    assert await standing(rig, webhook) == (31, "behind", "behind")


@pytest.mark.parametrize("ahead", ["webhook", "events", "both"])
async def test_what_began_while_the_clock_was_ahead_waits_all_the_same(
    rig: Rig, ahead: str
) -> None:
    policy = {"max_wait_s": 0, "rate_per_s": 0.001, "max_events": 1, "concurrency": 1}
    if ahead == "events":
        webhook = await rig.webhook(URL, policy=policy)
    rig.clock.jump(86_400)
    if ahead != "events":
        webhook = await rig.webhook(URL, policy=policy)
    if ahead != "webhook":
        await rig.send(event(1), event(2), event(3))
    rig.clock.jump(-86_400)
    await rig.engine.log.correct(rig.clock.now())
    rig.clock.advance(1)
    await rig.send(event(4), event(5), event(6))
    rig.clock.advance(60)

    assert await standing(rig, webhook) == (60, "behind", "behind")


async def test_one_word_for_all_agrees_with_each_webhooks_own(rig: Rig) -> None:
    fine = await rig.webhook("https://b.example/fine", policy={"max_wait_s": 0})
    late = await rig.webhook("https://b.example/late", policy={"max_wait_s": 3600})
    failing = await rig.webhook(URL, policy={"max_wait_s": 0})
    other = await rig.webhook("https://b.example/other", types=(EventType.CLICK,))
    rig.sender.standing[URL] = Outcome(status=503)
    for number in range(300):
        await rig.send(event(number))
    await rig.turn()
    rig.clock.advance(3600 + 31)

    seen = [(await standing(rig, each))[1:] for each in (fine, late, failing, other)]

    assert seen == [(word, word) for word in ("up_to_date", "behind", "failing", "up_to_date")]
    assert rig.clock.now() - fine.created_at == timedelta(seconds=3631)
