"""Lanes: who may move a webhook's cursor, and for how long."""

import asyncio

import pytest
from msgspec.structs import replace

from postbell.blocks import Position
from postbell.ports import LATE_S, Claim, CrewMember
from postbell.records import BatchState, LaneChange
from postbell.stops import Stop
from tests.contract.making import Shop, span


def ids(claims: list[Claim]) -> list[int]:
    return [claim.lane.webhook_id for claim in claims]


async def test_a_claim_takes_free_lanes_and_raises_their_epochs(shop: Shop) -> None:
    first, second = await shop.webhook(), await shop.webhook(account_id=2)

    claims = await shop.claim()

    assert ids(claims) == [first.id, second.id]
    assert [claim.lane.account_id for claim in claims] == [1, 2]
    assert [claim.lane.epoch for claim in claims] == [1, 1]


async def test_a_held_lane_is_given_to_nobody(shop: Shop) -> None:
    await shop.webhook()
    await shop.claim("w1")

    assert await shop.claim("w2") == []
    assert await shop.claim("w1") == []


async def test_a_claim_keeps_to_its_limit(shop: Shop) -> None:
    webhooks = [await shop.webhook() for _ in range(5)]

    first = await shop.claim("w1", limit=2)
    rest = await shop.claim("w2", limit=100)

    assert len(first) == 2
    assert sorted(ids(first) + ids(rest)) == [webhook.id for webhook in webhooks]


async def test_claims_at_the_same_time_never_share_a_lane(shop: Shop) -> None:
    webhooks = [await shop.webhook() for _ in range(12)]

    claims = await asyncio.gather(*(shop.claim(f"w{n}", limit=4) for n in range(5)))

    assert sorted(i for some in claims for i in ids(some)) == [w.id for w in webhooks]


async def test_an_expired_lease_is_claimed_again(shop: Shop) -> None:
    await shop.webhook()
    [before] = await shop.claim("w1", lease_s=30)

    await shop.later(20)
    too_early = await shop.claim("w2")
    await shop.later(10)
    [after] = await shop.claim("w2")

    assert too_early == []
    assert after.lane.epoch == before.lane.epoch + 1


async def test_a_renewed_lease_lasts_longer(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim("w1", lease_s=30)

    await shop.later(20)
    renewed = await shop.engine.ledger.renew("w1", lease_s=30)
    await shop.later(20)

    assert renewed == [webhook.id]
    assert await shop.claim("w2") == []


async def test_renewing_touches_no_other_owner(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim("w1", lease_s=30)

    await shop.later(20)
    assert await shop.engine.ledger.renew("w2", lease_s=30) == []
    await shop.later(20)

    assert ids(await shop.claim("w3")) == [webhook.id]


async def test_released_lanes_are_claimed_at_once(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim("w1")

    await shop.engine.ledger.release("w1")

    assert ids(await shop.claim("w2")) == [webhook.id]


async def test_a_write_by_a_stale_epoch_is_refused(shop: Shop) -> None:
    webhook = await shop.webhook()
    [old] = await shop.claim("w1", lease_s=1)
    await shop.later(2)
    [new] = await shop.claim("w2")
    moved = replace(old.lane, cursor=Position(9, 0))

    stale = await shop.engine.ledger.record(
        [
            LaneChange(
                webhook_id=webhook.id,
                epoch=old.lane.epoch,
                lane=moved,
                put=(shop.batch(webhook, "b1"),),
                entries=(shop.entry(webhook),),
                pause="gone",
            )
        ]
    )

    assert stale == [webhook.id]
    claim = await shop.engine.ledger.lane(webhook.id)
    assert claim is not None
    assert claim._replace(is_worked=False, left_s=new.left_s) == new
    assert await shop.engine.journal.scan(0, 10) == []
    assert await shop.engine.registry.webhook(webhook.id) == webhook


async def test_reload_reads_the_present_epoch_of_held_lanes_only(shop: Shop) -> None:
    first, second, third = [await shop.webhook() for _ in range(3)]
    await shop.claim("w1", limit=2)
    await shop.engine.ledger.intervene(LaneChange(webhook_id=first.id, epoch=1))
    await shop.engine.registry.delete_webhook(second.id, shop.clock.now())

    claims = await shop.engine.ledger.reload("w1", [first.id, second.id, third.id, 99])

    assert ids(claims) == [first.id]
    assert claims[0].lane.epoch == 2


async def test_a_lane_is_read_without_a_claim(shop: Shop) -> None:
    webhook = await shop.webhook()

    claim = await shop.engine.ledger.lane(webhook.id)

    assert claim is not None
    assert claim.lane.epoch == 0
    assert claim.lane.cursor == webhook.start
    assert ids(await shop.claim()) == [webhook.id]
    assert await shop.engine.ledger.lane(99) is None


@pytest.mark.parametrize("number", [0, 1])
async def test_lanes_of_deleted_webhooks_are_not_given_out(shop: Shop, number: int) -> None:
    webhooks = [await shop.webhook(), await shop.webhook()]

    await shop.engine.registry.delete_webhook(webhooks[number].id, shop.clock.now())

    assert ids(await shop.claim()) == [webhooks[1 - number].id]


async def test_a_lane_says_for_how_long_it_is_held(shop: Shop) -> None:
    webhook = await shop.webhook()
    free = await shop.engine.ledger.lane(webhook.id)

    [claim] = await shop.claim("w1", lease_s=30)

    await shop.later(10)
    held = await shop.engine.ledger.lane(webhook.id)
    assert free is not None and (free.left_s, free.is_held) == (0, False)
    assert held is not None and held.is_held
    assert claim.left_s == 30
    assert 10 < held.left_s <= 20


async def test_a_lease_from_before_the_clock_was_set_back_is_no_longer_than_any(shop: Shop) -> None:
    await shop.webhook()
    [before] = await shop.claim("w1", lease_s=30)
    await shop.later(-86_400)

    at_once = await shop.claim("w2", lease_s=30)
    await shop.later(20)
    too_early = await shop.claim("w2", lease_s=30)
    await shop.later(10)
    [after] = await shop.claim("w2", lease_s=30)

    assert (at_once, too_early) == ([], [])
    assert after.lane.epoch == before.lane.epoch + 1


async def test_a_stopped_batch_is_kept_so_and_comes_with_every_claim(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    stop = Stop(shop.clock.now(), is_still=True)
    waiting = {"state": BatchState.WAITING, "next_at": shop.clock.now()}
    batches = [shop.batch(webhook, f"b{n}", range=span(n, n + 1), **waiting) for n in range(1, 5)]
    await shop.put(webhook, *batches[:3], replace(batches[3], stop=stop))

    claim = await shop.engine.ledger.lane(webhook.id, most=2)

    assert claim is not None and claim.has_more
    assert [(batch.id, batch.stop) for batch in claim.batches] == [
        ("b1", None),
        ("b2", None),
        ("b4", stop),
    ]
    await shop.put(webhook, replace(batches[3], stop=Stop(stop.until)))
    stored = await shop.engine.ledger.batch("b4")
    assert stored is not None and stored.stop == Stop(stop.until)
    await shop.put(webhook, batches[3])
    assert await shop.engine.ledger.batch("b4") == batches[3]


async def test_a_lane_is_kept_stopped(shop: Shop) -> None:
    webhook = await shop.webhook()
    [claim] = await shop.claim()
    stop = Stop(shop.clock.now(), is_still=True)

    for kept in (stop, replace(stop, is_still=False), None):
        lane = replace(claim.lane, stop=kept)
        change = LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, lane=lane)
        assert await shop.engine.ledger.record([change]) == []

        stored = await shop.engine.ledger.lane(webhook.id)
        assert stored is not None and stored.lane.stop == kept


async def is_there(shop: Shop, name: str, *, lease_s: float = 60.0) -> None:
    """Let a process say that it is there."""
    member = CrewMember(name, "machine-1", 77, "worker", "1.2", shop.clock.now())
    await shop.engine.crew.report(member, {}, lease_s=lease_s)


async def test_a_lane_that_is_handed_over_is_anothers_with_its_work(shop: Shop) -> None:
    webhook, kept = await shop.webhook(), await shop.webhook()
    before, _ = await shop.claim("w1")
    await is_there(shop, "w2")
    ledger, version = shop.engine.ledger, await shop.engine.registry.version(is_sure=True)

    given = await ledger.hand_over("w1", "w2", {webhook.id: 12.5})
    [after] = await ledger.reload("w2", [webhook.id, kept.id])

    assert given == [webhook.id]
    assert (after.lane.webhook_id, after.work) == (webhook.id, 12.5)
    assert after.lane.epoch == before.lane.epoch + 1
    assert ids(await ledger.reload("w1", [webhook.id, kept.id])) == [kept.id]
    assert [each.id for each in await shop.engine.registry.webhooks(changed_after=version)] == [
        webhook.id
    ]


async def test_who_handed_a_lane_over_writes_nothing_of_it(shop: Shop) -> None:
    webhook = await shop.webhook()
    [claim] = await shop.claim("w1")
    await is_there(shop, "w2")
    await shop.engine.ledger.hand_over("w1", "w2", {webhook.id: 1.0})

    change = LaneChange(
        webhook_id=webhook.id, epoch=claim.lane.epoch, put=(shop.batch(webhook, "b"),)
    )

    assert await shop.engine.ledger.record([change]) == [webhook.id]
    assert await shop.engine.ledger.batch("b") is None


async def test_a_lane_goes_to_nobody_who_is_not_there(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim("w1", lease_s=90)
    await is_there(shop, "w2", lease_s=30)
    await shop.later(30)
    ledger = shop.engine.ledger

    assert await ledger.hand_over("w1", "w2", {webhook.id: 1.0}) == []
    assert await ledger.hand_over("w1", "nobody", {webhook.id: 1.0}) == []
    assert ids(await ledger.reload("w1", [webhook.id])) == [webhook.id]


async def test_a_lane_goes_to_nobody_who_says_nothing_and_may_be_frozen(shop: Shop) -> None:
    first, second = await shop.webhook(), await shop.webhook()
    await shop.claim("w1", lease_s=90)
    await is_there(shop, "w2")
    ledger = shop.engine.ledger

    await shop.later(LATE_S - 1)
    assert await ledger.hand_over("w1", "w2", {first.id: 1.0}) == [first.id]
    await shop.later(1)
    assert await ledger.hand_over("w1", "w2", {second.id: 1.0}) == []


async def test_only_who_holds_a_lane_hands_it_over(shop: Shop) -> None:
    webhook = await shop.webhook()
    await shop.claim("w1")
    await is_there(shop, "w2")

    given = await shop.engine.ledger.hand_over("w3", "w2", {webhook.id: 1.0, 999: 1.0})

    assert given == []
    assert ids(await shop.engine.ledger.reload("w1", [webhook.id])) == [webhook.id]


async def test_a_lane_of_one_who_died_after_it_was_handed_over_is_claimed_with_its_work(
    shop: Shop,
) -> None:
    webhook = await shop.webhook()
    await shop.claim("w1", lease_s=300)
    await is_there(shop, "w2")
    await shop.engine.ledger.hand_over("w1", "w2", {webhook.id: 7.0})

    await shop.later(50)
    too_early = await shop.claim("w1")
    await shop.later(10)
    [claim] = await shop.claim("w1")

    assert too_early == []
    assert claim.work == 7.0
