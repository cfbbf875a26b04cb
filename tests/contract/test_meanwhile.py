"""What every engine promises of a write that was asked for on what somebody read before."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from postbell.errors import Conflict
from postbell.ports import NewSecret
from postbell.records import SecretKind, Webhook
from tests.contract.making import Shop


def key(shop: Shop, value: str) -> NewSecret:
    return NewSecret(SecretKind.SYMMETRIC, value, shop.clock.now())


async def add(shop: Shop, url: str, most: int = 2) -> Webhook:
    return await shop.engine.registry.add_webhook(
        shop.draft(url=url), [], most=most, is_url_unique=True
    )


async def test_the_limit_of_webhooks_holds_however_many_come_at_once(shop: Shop) -> None:
    adding = (add(shop, f"https://a.example/{n}") for n in range(6))

    made = Counter(type(one) for one in await asyncio.gather(*adding, return_exceptions=True))

    assert made == {Webhook: 2, Conflict: 4}
    assert len(await shop.engine.registry.webhooks()) == 2


async def test_the_limit_counts_no_deleted_webhook_and_none_of_another_account(shop: Shop) -> None:
    registry = shop.engine.registry
    gone = await add(shop, "https://a.example/1")
    await registry.delete_webhook(gone.id, shop.clock.now())
    await registry.add_webhook(shop.draft(account_id=shop.accounts[1].id), [])

    await add(shop, "https://a.example/2")
    await add(shop, "https://a.example/3")

    with pytest.raises(Conflict, match="2 webhooks"):
        await add(shop, "https://a.example/4")


async def test_a_unique_url_is_taken_once_however_many_come_at_once(shop: Shop) -> None:
    adding = (add(shop, "https://a.example/") for _ in range(4))

    made = Counter(type(one) for one in await asyncio.gather(*adding, return_exceptions=True))

    assert made == {Webhook: 1, Conflict: 3}


async def test_a_url_is_unique_within_account_and_dialect(shop: Shop) -> None:
    registry = shop.engine.registry
    url = "https://a.example/"
    await registry.add_webhook(shop.draft(url=url, account_id=shop.accounts[1].id), [])
    await registry.add_webhook(shop.draft(url=url, dialect="engagelab"), [])

    first = await add(shop, url, most=9)
    other = await add(shop, "https://b.example/", most=9)

    with pytest.raises(Conflict, match="has this url"):
        await registry.set_webhook(replace(other, url=url), is_url_unique=True)
    assert await registry.set_webhook(first, is_url_unique=True) == first


async def test_a_webhook_that_was_changed_meanwhile_is_not_deleted(shop: Shop) -> None:
    registry = shop.engine.registry
    seen = await shop.webhook()
    changed = await registry.set_webhook(replace(seen, url="https://b.example/"))

    with pytest.raises(Conflict, match="changed meanwhile"):
        await registry.delete_webhook(seen.id, shop.clock.now(), expect=seen)

    await registry.delete_webhook(seen.id, shop.clock.now(), expect=changed)
    assert await registry.webhook(seen.id) is None


@pytest.mark.parametrize("owner", ["webhook", "account"])
async def test_a_key_follows_only_the_keys_that_were_seen(shop: Shop, owner: str) -> None:
    registry = shop.engine.registry
    webhook = await shop.webhook()
    of = {"webhook_id": webhook.id} if owner == "webhook" else {"account_id": shop.accounts[0].id}
    (first,) = await registry.add_secrets([key(shop, "first")], **of, expect=())

    with pytest.raises(Conflict, match="changed meanwhile"):
        await registry.add_secrets([key(shop, "mine")], **of, expect=())
    both = await registry.add_secrets([key(shop, "second")], **of, expect={first.id})

    assert [one.value for one in both] == ["first", "second"]


async def test_of_keys_that_are_made_at_once_one_is_made(shop: Shop) -> None:
    registry, account = shop.engine.registry, shop.accounts[0].id
    adding = (
        registry.add_secrets([key(shop, f"key {n}")], account_id=account, expect=())
        for n in range(4)
    )

    made = Counter(type(one) for one in await asyncio.gather(*adding, return_exceptions=True))

    assert made == {list: 1, Conflict: 3}
    assert len(await registry.account_secrets(account)) == 1
