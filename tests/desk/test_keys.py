"""Signing keys: which one signs when, across rotations."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postbell.desk.keys import MAX_KEYS
from postbell.dialects.engagelab.signature import md5
from postbell.errors import BadInput, Conflict
from postbell.ports import NewSecret
from postbell.records import SecretKind
from postbell.signing import signing_at
from tests.api.service import URL, Service, running

HOUR = 3600.0


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def signers(service: Service, webhook_id: int) -> list[str]:
    """Return the keys that sign now, newest first."""
    webhook = await service.desk.find_webhook(None, webhook_id)
    account = await service.engine.registry.account_secrets(webhook.account_id)
    kinds = service.desk.dialects[webhook.dialect].secret_kinds
    return [s.value for s in signing_at(webhook.secrets, account, kinds, service.clock.now())]


async def engagelab(service: Service, **members: object) -> int:
    form = {"url": URL, "dialect": "engagelab", **members}
    return (await service.desk.create_webhook(service.acme, form)).id


async def test_an_account_has_one_app_key_made_on_first_need(service: Service) -> None:
    assert await service.engine.registry.account_secrets(service.acme) == []

    webhook = await engagelab(service)

    (kept,) = await service.engine.registry.account_secrets(service.acme)
    assert kept == await service.desk.app_key(service.acme)
    assert await signers(service, webhook) == [kept.value]
    assert (await service.desk.find_webhook(None, webhook)).secrets == ()


async def test_a_webhooks_own_app_key_overrides_the_accounts(service: Service) -> None:
    webhook = await engagelab(service, secret="my-own-app-key")

    assert await signers(service, webhook) == ["my-own-app-key"]


async def test_where_one_signature_fits_the_new_key_waits_for_the_overlap(
    service: Service,
) -> None:
    webhook = await engagelab(service, secret="first-app-key")

    await service.desk.rotate_secret(None, webhook, HOUR, secret="second-app-key")
    during = await signers(service, webhook)
    service.clock.advance(HOUR)
    after = await signers(service, webhook)

    assert (during, after) == (["first-app-key"], ["second-app-key"])


async def test_the_accounts_key_signs_until_a_webhooks_first_own_key_begins(
    service: Service,
) -> None:
    webhook = await engagelab(service)
    shared = (await service.desk.app_key(service.acme)).value

    await service.desk.rotate_secret(None, webhook, HOUR, secret="second-app-key")
    during = await signers(service, webhook)
    service.clock.advance(HOUR)
    after = await signers(service, webhook)

    assert (during, after) == ([shared], ["second-app-key"])


async def test_an_accounts_app_key_is_rotated_for_all_its_webhooks(service: Service) -> None:
    webhook = await engagelab(service)
    before = (await service.desk.app_key(service.acme)).value

    await service.desk.rotate_app_key(service.acme, HOUR, secret="second-app-key")
    during = await signers(service, webhook)
    service.clock.advance(HOUR)
    after = await signers(service, webhook)

    assert (during, after) == ([before], ["second-app-key"])
    assert (await service.desk.app_key(service.acme)).value == "second-app-key"


async def test_where_several_fit_old_and_new_sign_side_by_side(service: Service) -> None:
    webhook = (await service.desk.create_webhook(service.acme, {"url": URL})).id
    (first,) = await signers(service, webhook)
    service.clock.advance(1)

    await service.desk.rotate_secret(None, webhook, HOUR)
    both = await signers(service, webhook)
    service.clock.advance(HOUR)
    last = await signers(service, webhook)

    assert both[1] == first
    assert last == both[:1]


async def test_without_an_overlap_the_old_key_ends_at_once(service: Service) -> None:
    webhook = (await service.desk.create_webhook(service.acme, {"url": URL})).id
    old = await signers(service, webhook)

    await service.desk.rotate_secret(None, webhook, 0)

    (new,) = await signers(service, webhook)
    assert new not in old


async def test_another_kind_of_key_does_not_end_the_first(service: Service) -> None:
    webhook = (await service.desk.create_webhook(service.acme, {"url": URL})).id
    service.clock.advance(1)

    await service.desk.rotate_secret(None, webhook, 0, SecretKind.ED25519)

    assert [key.partition("_")[0] for key in await signers(service, webhook)] == ["whsk", "whsec"]


async def test_a_later_rotation_does_not_lengthen_an_earlier_one(service: Service) -> None:
    webhook = (await service.desk.create_webhook(service.acme, {"url": URL})).id

    await service.desk.rotate_secret(None, webhook, 60)
    found = await service.desk.rotate_secret(None, webhook, HOUR)

    ends = [(s.expires_at - service.clock.now()).total_seconds() for s in found if s.expires_at]
    assert ends == [60.0, HOUR]


async def test_the_number_of_keys_is_bounded_and_an_overlap_of_0_gets_out(
    service: Service,
) -> None:
    webhook = (await service.desk.create_webhook(service.acme, {"url": URL})).id
    for _ in range(MAX_KEYS - 1):
        await service.desk.rotate_secret(None, webhook)

    with pytest.raises(Conflict):
        await service.desk.rotate_secret(None, webhook)
    await service.desk.rotate_secret(None, webhook, 0)

    assert len(await signers(service, webhook)) == 1


async def test_a_dialect_that_signs_nothing_has_no_keys_to_rotate(service: Service) -> None:
    form = {"url": URL, "dialect": "sendpulse"}
    webhook = (await service.desk.create_webhook(service.acme, form)).id

    with pytest.raises(BadInput) as error:
        await service.desk.rotate_secret(None, webhook)

    assert error.value.member == "secret"


async def test_a_test_is_signed_with_the_key_in_force(service: Service) -> None:
    webhook = await engagelab(service, secret="my-own-app-key")

    await service.desk.test_webhook(None, webhook)

    headers = dict(service.receivers.got[0].headers)
    expected = md5(headers["X-WebHook-Timestamp"], "my-own-app-key")
    assert headers["X-WebHook-Signature"] == expected


async def test_a_test_after_a_change_of_dialect_is_signed_with_the_accounts_key(
    service: Service,
) -> None:
    shared = (await service.desk.app_key(service.acme)).value
    webhook = (await service.desk.create_webhook(service.acme, {"url": URL})).id
    await service.desk.update_webhook(None, webhook, {"dialect": "engagelab"})

    await service.desk.test_webhook(None, webhook)

    headers = dict(service.receivers.got[0].headers)
    assert headers["X-WebHook-Signature"] == md5(headers["X-WebHook-Timestamp"], shared)


async def test_of_two_app_keys_that_processes_made_at_once_the_shown_one_signs(
    service: Service,
) -> None:
    at = service.clock.now()
    for value in ("first-app-key", "second-app-key"):
        new = NewSecret(SecretKind.APP_KEY, value, at)
        await service.engine.registry.add_secrets([new], account_id=service.acme)
    webhook = await engagelab(service)

    shown = await service.desk.app_key(service.acme)

    assert shown.value == (await signers(service, webhook))[0]


async def test_an_app_key_is_made_once_however_many_ask_at_once(service: Service) -> None:
    asking = (service.desk.app_key(service.acme) for _ in range(5))

    made = {key.value for key in await asyncio.gather(*asking)}

    assert len(made) == 1
    assert len(await service.engine.registry.account_secrets(service.acme)) == 1


async def test_rotations_that_come_at_once_all_count(service: Service) -> None:
    webhook = await service.webhook()
    rotating = (service.desk.rotate_secret(service.acme, webhook["id"], HOUR) for _ in range(4))

    await asyncio.gather(*rotating)

    stored = await service.desk.find_webhook(None, webhook["id"])
    assert [key.expires_at is None for key in stored.secrets] == [False] * 4 + [True]
