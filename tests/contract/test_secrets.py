"""Signing keys: several at once, each with its end."""

from datetime import timedelta

from postbell.ports import NewSecret
from postbell.records import SecretKind
from tests.contract.making import Shop


def key(shop: Shop, value: str, *, ends_in_s: float | None = None) -> NewSecret:
    now = shop.clock.now()
    ends_at = None if ends_in_s is None else now + timedelta(seconds=ends_in_s)
    return NewSecret(SecretKind.SYMMETRIC, value, now, ends_at)


async def test_a_rotation_lets_the_old_key_end_later(shop: Shop) -> None:
    registry = shop.engine.registry
    webhook = await registry.add_webhook(shop.draft(), [key(shop, "old")])
    ends_at = shop.clock.now() + timedelta(hours=24)

    both = await registry.add_secrets(
        [key(shop, "new")], webhook_id=webhook.id, expire={webhook.secrets[0].id: ends_at}
    )

    assert [(s.value, s.expires_at) for s in both] == [("old", ends_at), ("new", None)]
    assert (await registry.webhooks())[0].secrets == tuple(both)


async def test_a_key_that_has_ended_is_not_returned(shop: Shop) -> None:
    registry = shop.engine.registry
    keys = [key(shop, "short", ends_in_s=10), key(shop, "long", ends_in_s=20)]
    webhook = await registry.add_webhook(shop.draft(), keys)

    shop.clock.advance(10)

    read = await registry.webhook(webhook.id)
    assert read is not None
    assert [s.value for s in read.secrets] == ["long"]
    assert [s.value for s in await registry.add_secrets([], webhook_id=webhook.id)] == ["long"]


async def test_a_key_that_ends_at_once_is_gone(shop: Shop) -> None:
    registry = shop.engine.registry
    webhook = await registry.add_webhook(shop.draft(), [key(shop, "leaked")])

    left = await registry.add_secrets(
        [key(shop, "new")],
        webhook_id=webhook.id,
        expire={webhook.secrets[0].id: shop.clock.now()},
    )

    assert [s.value for s in left] == ["new"]


async def test_secret_ids_are_never_used_again(shop: Shop) -> None:
    registry = shop.engine.registry
    [first] = await registry.add_secrets([key(shop, "a", ends_in_s=1)], account_id=1)
    shop.clock.advance(2)

    [second] = await registry.add_secrets([key(shop, "b")], account_id=1)

    assert first.id < second.id


async def test_an_accounts_keys_are_its_own(shop: Shop) -> None:
    registry = shop.engine.registry
    app_key = NewSecret(SecretKind.APP_KEY, "app", shop.clock.now())

    stored = await registry.add_secrets([app_key], account_id=1)

    assert [(s.kind, s.value) for s in stored] == [(SecretKind.APP_KEY, "app")]
    assert await registry.account_secrets(1) == stored
    assert await registry.account_secrets(2) == []


async def test_nobody_ends_the_key_of_another(shop: Shop) -> None:
    registry = shop.engine.registry
    mine = await registry.add_webhook(shop.draft(), [key(shop, "mine")])
    theirs = await registry.add_webhook(shop.draft(account_id=2), [key(shop, "theirs")])
    [app_key] = await registry.add_secrets([key(shop, "app")], account_id=2)
    ends = {s.id: shop.clock.now() for s in (*theirs.secrets, app_key)}

    await registry.add_secrets([], webhook_id=mine.id, expire=ends)
    await registry.add_secrets([], account_id=1, expire=ends)

    assert await registry.webhook(theirs.id) == theirs
    assert await registry.account_secrets(2) == [app_key]


async def test_a_new_account_key_shows_as_a_change_of_its_webhooks(shop: Shop) -> None:
    registry = shop.engine.registry
    mine, _theirs = await shop.webhook(), await shop.webhook(account_id=2)
    version = await registry.version()

    await registry.add_secrets([key(shop, "app")], account_id=1)

    assert [w.id for w in await registry.webhooks(changed_after=version)] == [mine.id]
