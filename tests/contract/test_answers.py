"""Answers under Idempotency-Keys, and changes of a webhook that must not overwrite another's."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.blocks import Position
from postbell.errors import Conflict
from postbell.records import IdempotencyKey, LaneChange, WebhookState
from tests.contract.making import Shop

KEPT = timedelta(hours=72)
STALE = timedelta(seconds=60)


async def begin(shop: Shop, key: IdempotencyKey) -> IdempotencyKey | None:
    now = shop.clock.now()
    return await shop.engine.answers.begin(key, stale_before=now - STALE, kept_since=now - KEPT)


async def test_a_free_key_is_taken_once(shop: Shop) -> None:
    key = shop.key()

    first = await begin(shop, key)
    second = await begin(shop, replace(key, digest=b"other"))

    assert first is None
    assert second == replace(key, answer=b"")


async def test_the_answer_is_kept_for_its_time(shop: Shop) -> None:
    key = shop.key()
    await begin(shop, key)

    await shop.engine.answers.keep(key)
    shop.clock.advance(KEPT.total_seconds())
    kept = await begin(shop, shop.key())
    shop.clock.advance(1)
    ended = await begin(shop, shop.key())

    assert kept == key
    assert ended is None


async def test_a_key_whose_request_never_ended_is_free_again(shop: Shop) -> None:
    await begin(shop, shop.key())

    shop.clock.advance(STALE.total_seconds())
    early = await begin(shop, shop.key())
    shop.clock.advance(1)
    late = await begin(shop, shop.key())

    assert early is not None
    assert late is None


async def test_a_key_taken_by_a_clock_that_was_ahead_is_free_again(shop: Shop) -> None:
    shop.clock.jump(STALE.total_seconds())
    await begin(shop, shop.key())
    shop.clock.jump(-STALE.total_seconds())
    early = await begin(shop, shop.key())
    shop.clock.jump(-1)
    late = await begin(shop, shop.key())

    assert early is not None
    assert late is None


async def test_a_forgotten_key_is_free(shop: Shop) -> None:
    await begin(shop, shop.key())

    await shop.engine.answers.forget(shop.key())

    assert await begin(shop, shop.key()) is None


async def test_only_the_request_that_took_the_key_answers(shop: Shop) -> None:
    await begin(shop, shop.key())

    await shop.engine.answers.keep(replace(shop.key(), digest=b"other", answer=b"wrong"))
    await shop.engine.answers.keep(shop.key("untaken"))

    assert await begin(shop, shop.key()) == replace(shop.key(), answer=b"")
    assert await begin(shop, shop.key("untaken")) is None


async def test_accounts_have_keys_of_their_own(shop: Shop) -> None:
    await begin(shop, shop.key())

    assert await begin(shop, shop.key(account=1)) is None


async def test_a_webhook_that_changed_meanwhile_is_not_overwritten(shop: Shop) -> None:
    seen = await shop.webhook()
    await shop.claim()
    pause = LaneChange(webhook_id=seen.id, epoch=1, pause="gone")
    await shop.engine.ledger.record([pause])

    with pytest.raises(Conflict):
        await shop.engine.registry.set_webhook(replace(seen, policy={"timeout_s": 3}), expect=seen)

    kept = await shop.engine.registry.webhook(seen.id)
    assert kept is not None
    assert (kept.state, kept.state_reason, kept.policy) == (WebhookState.PAUSED, "gone", {})


async def test_an_expected_webhook_is_changed_whatever_its_lane_did(shop: Shop) -> None:
    seen = await shop.webhook(headers=(("X-A", "1"),), policy={"timeout_s": 2.0})
    [claim] = await shop.claim()
    lane = replace(claim.lane, cursor=Position(9, 0))
    await shop.engine.ledger.intervene(LaneChange(webhook_id=seen.id, epoch=1, lane=lane))

    changed = await shop.engine.registry.set_webhook(
        replace(seen, url="https://new.example"), expect=seen
    )

    assert changed.url == "https://new.example"
