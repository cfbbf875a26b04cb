"""Accounts, api users and webhooks."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.blocks import START, Position
from postbell.errors import Conflict, NotFound
from postbell.events import EventType
from postbell.ports import NewSecret
from postbell.records import LaneChange, SecretKind, WebhookState
from postbell.storage.revising import FROM_HEAD
from tests.contract.making import Shop, block


async def test_accounts_and_api_users_come_back_by_id(shop: Shop) -> None:
    registry = shop.engine.registry

    assert await registry.accounts() == shop.accounts
    assert await registry.api_users() == shop.users
    assert await registry.api_users(2) == shop.users[1:]
    assert shop.users[0].account == "acme"


async def test_names_are_unique_in_the_installation(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()

    with pytest.raises(Conflict, match="acme"):
        await registry.add_account("acme", now)
    with pytest.raises(Conflict, match="acme-mail"):
        await registry.add_api_user(2, "acme-mail", "hash", now)

    assert len(await registry.accounts()) == 2
    assert len(await registry.api_users()) == 2


async def test_unknown_ids_are_not_found(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()

    with pytest.raises(NotFound):
        await registry.add_api_user(99, "new", "hash", now)
    with pytest.raises(NotFound):
        await registry.add_api_key(99, "hash", now)
    with pytest.raises(NotFound):
        await registry.revoke_api_user(99, now)
    with pytest.raises(NotFound):
        await shop.webhook(account_id=99)
    with pytest.raises(NotFound):
        await shop.webhook(api_user="nobody")
    with pytest.raises(NotFound):
        await registry.set_webhook(shop.draft(id=99))
    with pytest.raises(NotFound):
        await registry.delete_webhook(99, now)
    with pytest.raises(NotFound):
        await registry.add_secrets([], webhook_id=99)
    with pytest.raises(NotFound):
        await registry.add_secrets([], account_id=99)


async def test_no_webhook_takes_the_api_user_of_another_account(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.webhook(account_id=1, api_user="bolt-mail")


async def test_every_write_raises_the_version(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    versions = [await registry.version()]

    async def note() -> None:
        versions.append(await registry.version())

    await registry.add_account("third", now)
    await note()
    await registry.add_api_user(1, "third-mail", "hash", now)
    await note()
    await registry.add_api_key(1, "other", now)
    await note()
    await registry.end_api_keys(1, {1: now})
    await note()
    await registry.rehash_api_key(1, "another", expect="sha256$00$00")
    await note()
    await registry.revoke_api_user(1, now)
    await note()
    webhook = await shop.webhook()
    await note()
    await registry.set_webhook(webhook)
    await note()
    await registry.add_secrets([], webhook_id=webhook.id)
    await note()
    await registry.add_secrets([], account_id=1)
    await note()
    await shop.engine.ledger.intervene(LaneChange(webhook_id=webhook.id, epoch=0))
    await note()
    await shop.engine.ledger.add_replay(shop.replay(webhook))
    await note()
    await registry.delete_webhook(webhook.id, now)
    await note()

    assert versions == sorted(set(versions))


async def test_a_webhook_comes_back_whole(shop: Shop) -> None:
    given = shop.draft(
        api_user="acme-mail",
        types=(EventType.OPEN, EventType.CLICK),
        dialect="sendpulse",
        options={"profile": "current", "deep": {"n": 1}},
        policy={"max_events": 7, "success": [200]},
        headers=(("x-token", "hidden"),),
        state=WebhookState.PAUSED,
        state_reason="by a person",
        start=Position(3, 4),
    )
    key = NewSecret(SecretKind.SYMMETRIC, "whsec_abc", shop.clock.now())

    stored = await shop.engine.registry.add_webhook(given, [key])

    [revision], [secret] = stored.revisions, stored.secrets
    assert await shop.engine.registry.webhook(stored.id) == stored
    assert stored == replace(
        given, id=stored.id, account="acme", revisions=(revision,), secrets=(secret,)
    )
    assert (revision.number, revision.start, revision.api_user_id) == (1, Position(3, 4), 1)
    assert (revision.types, revision.dialect, revision.options) == (
        given.types,
        given.dialect,
        given.options,
    )
    assert (secret.kind, secret.value) == (SecretKind.SYMMETRIC, "whsec_abc")


async def test_webhook_ids_rise_and_are_never_used_again(shop: Shop) -> None:
    first, second = await shop.webhook(), await shop.webhook()
    await shop.engine.registry.delete_webhook(second.id, shop.clock.now())

    third = await shop.webhook()

    assert first.id < second.id < third.id


async def test_a_start_from_the_head_leaves_out_what_is_there(shop: Shop) -> None:
    [header] = await shop.append(block())

    webhook = await shop.webhook(start=FROM_HEAD)

    claim = await shop.engine.ledger.lane(webhook.id)
    assert webhook.start == Position(header.id + 1, 0)
    assert webhook.revisions[0].start == webhook.start
    assert claim is not None
    assert claim.lane.cursor == webhook.start
    [later] = await shop.append(block())
    assert webhook.start <= Position(later.id, 0)


async def test_given_revisions_are_kept(shop: Shop) -> None:
    model = await shop.webhook()
    given = (model.revisions[0], replace(model.revisions[0], number=2, start=Position(5, 0)))

    webhook = await shop.webhook(revisions=given)

    assert webhook.revisions == given


async def test_a_change_of_url_or_policy_makes_no_revision(shop: Shop) -> None:
    webhook = await shop.webhook(types=(EventType.OPEN, EventType.CLICK))
    shop.clock.advance(5)

    changed = await shop.engine.registry.set_webhook(
        replace(
            webhook,
            url="https://other.example/",
            policy={"max_events": 3},
            headers=(("a", "b"),),
            types=(EventType.CLICK, EventType.OPEN),
            state=WebhookState.PAUSED,
            state_reason="by a person",
            updated_at=shop.clock.now(),
        )
    )

    assert changed.revisions == webhook.revisions
    assert (changed.url, changed.policy, changed.headers) == (
        "https://other.example/",
        {"max_events": 3},
        (("a", "b"),),
    )
    assert (changed.state, changed.updated_at) == (WebhookState.PAUSED, shop.clock.now())
    assert await shop.engine.registry.webhook(webhook.id) == changed


@pytest.mark.parametrize(
    "member",
    [
        {"types": (EventType.OPEN,)},
        {"api_user": "acme-mail"},
        {"dialect": "engagelab"},
        {"options": {"hmac": True}},
    ],
    ids=lambda member: next(iter(member)),
)
async def test_a_change_of_the_selection_begins_a_revision_at_the_head(
    shop: Shop, member: dict[str, object]
) -> None:
    webhook = await shop.webhook(start=START)
    [header] = await shop.append(block())

    changed = await shop.engine.registry.set_webhook(replace(webhook, **member))

    [first, second] = changed.revisions
    assert first == webhook.revisions[0]
    assert (second.number, second.start) == (2, Position(header.id + 1, 0))
    assert (second.types, second.dialect, second.options) == (
        changed.types,
        changed.dialect,
        changed.options,
    )
    assert second.api_user_id == (1 if "api_user" in member else None)
    assert await shop.engine.registry.webhook(webhook.id) == changed


async def test_set_webhook_keeps_secrets_and_what_was_fixed_at_its_making(shop: Shop) -> None:
    key = NewSecret(SecretKind.SYMMETRIC, "whsec_abc", shop.clock.now())
    webhook = await shop.engine.registry.add_webhook(shop.draft(), [key])
    later = shop.clock.now() + timedelta(days=1)

    changed = await shop.engine.registry.set_webhook(
        replace(
            webhook,
            secrets=(),
            revisions=(),
            account_id=2,
            account="bolt",
            created_at=later,
            start=Position(9, 9),
        )
    )

    assert changed == webhook


async def test_webhooks_are_listed_by_account(shop: Shop) -> None:
    mine, theirs, also_mine = [await shop.webhook(account_id=a) for a in (1, 2, 1)]

    assert await shop.engine.registry.webhooks() == [mine, theirs, also_mine]
    assert await shop.engine.registry.webhooks(1) == [mine, also_mine]
    assert await shop.engine.registry.webhooks(2) == [theirs]
    assert await shop.engine.registry.webhooks(3) == []


async def test_many_webhooks_in_a_list_are_each_as_one_alone(shop: Shop) -> None:
    """Also with gaps between ids, several revisions and keys, and those of another account."""
    registry, now = shop.engine.registry, shop.clock.now()
    made = [await shop.webhook(account_id=1 + n % 5 // 4) for n in range(20)]
    key = NewSecret(SecretKind.SYMMETRIC, "whsec_more", now)
    await registry.add_secrets([key], webhook_id=made[7].id)
    await registry.set_webhook(replace(made[7], types=(EventType.OPEN,)))
    for gone in made[2:5]:
        await registry.delete_webhook(gone.id, now)

    for account_id in (None, 1, 2):
        found = await registry.webhooks(account_id)

        assert found == [await registry.webhook(each.id) for each in found]
    everyone = await registry.webhooks()
    assert [each.id for each in everyone] == [each.id for each in made[:2] + made[5:]]
    assert len(everyone[4].revisions) == 2
    assert everyone[4].secrets[-1].value == "whsec_more"


async def test_changed_webhooks_are_found_by_version(shop: Shop) -> None:
    registry = shop.engine.registry
    first, second, third = [await shop.webhook() for _ in range(3)]
    version = await registry.version()

    await registry.set_webhook(second)
    await registry.delete_webhook(third.id, shop.clock.now())

    assert [w.id for w in await registry.webhooks(changed_after=version)] == [second.id]
    assert await registry.deleted_after(version) == [third.id]
    assert await registry.deleted_after(await registry.version()) == []
    assert [w.id for w in await registry.webhooks()] == [first.id, second.id]


async def test_deleting_takes_lane_batches_and_replays(shop: Shop) -> None:
    webhook, other = await shop.webhook(), await shop.webhook()
    await shop.claim()
    for each in (webhook, other):
        change = LaneChange(webhook_id=each.id, epoch=1, put=(shop.batch(each, f"b{each.id}"),))
        await shop.engine.ledger.record([change])
        await shop.engine.ledger.add_replay(shop.replay(each))

    await shop.engine.registry.delete_webhook(webhook.id, shop.clock.now())

    ledger = shop.engine.ledger
    assert await shop.engine.registry.webhook(webhook.id) is None
    assert await ledger.lane(webhook.id) is None
    assert [b.webhook_id for b in await ledger.open_batches()] == [other.id]
    assert [r.webhook_id for r in await ledger.replays()] == [other.id]
    stale = await ledger.record([LaneChange(webhook_id=webhook.id, epoch=2)])
    assert stale == [webhook.id]
    assert not await ledger.intervene(LaneChange(webhook_id=webhook.id, epoch=2))
    with pytest.raises(NotFound):
        await shop.engine.registry.delete_webhook(webhook.id, shop.clock.now())
    with pytest.raises(NotFound):
        await shop.engine.registry.set_webhook(webhook)


async def test_a_further_revision_fences_off_who_holds_the_lane(shop: Shop) -> None:
    webhook = await shop.webhook()
    [claim] = await shop.claim()
    ledger, registry = shop.engine.ledger, shop.engine.registry

    await registry.set_webhook(replace(webhook, url="https://other.example/"))
    same = await ledger.record([LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch)])
    await registry.set_webhook(replace(webhook, types=(EventType.OPEN,)))
    stale = await ledger.record([LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch)])

    assert (same, stale) == ([], [webhook.id])


async def test_since_when_a_webhook_is_active_is_kept(shop: Shop) -> None:
    webhook = await shop.webhook()
    resumed = replace(webhook, active_since=shop.clock.now())

    await shop.engine.registry.set_webhook(resumed)

    stored = await shop.engine.registry.webhook(webhook.id)
    assert webhook.active_since is None
    assert stored is not None and stored.active_since == shop.clock.now()
