"""What another process made this very moment, while the engine still remembers the version before:
whoever asks for it finds it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postbell.desk.owners import SignedIn
from postbell.errors import BadInput
from postbell.records import Account
from postbell.sealing import hash_key
from tests.api.service import KEY, Service, running
from tests.fakes import Remembering

EMAIL, PASSWORD = "ada@new.example", "correct horse battery"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.fixture
async def remembering(service: Service, monkeypatch: pytest.MonkeyPatch) -> Remembering:
    registry = service.engine.registry
    await service.directory.refresh()
    made = await Remembering.of(registry)
    monkeypatch.setattr(registry, "version", made.version)
    return made


@pytest.fixture
async def account(service: Service, remembering: Remembering) -> Account:
    """An account that nobody here has heard of."""
    made: Account = await service.engine.registry.add_account("new", service.clock.now())
    return made


async def add_api_user(service: Service, account_id: int, name: str) -> None:
    now = service.clock.now()
    await service.engine.registry.add_api_user(account_id, name, hash_key(KEY), now)


async def signed_in(service: Service, account: Account, *, is_operator: bool) -> SignedIn:
    owner = await service.desk.create_owner(account.id, EMAIL, PASSWORD, is_operator=is_operator)
    begun = await service.desk.sign_in(owner.email, PASSWORD)
    found = await service.desk.signed_in(begun.token)
    assert found is not None
    return found


async def test_a_user_of_an_account_can_sign_in(service: Service, account: Account) -> None:
    found = await signed_in(service, account, is_operator=False)

    assert found.account == account


async def test_an_operator_looks_at_an_account(service: Service, account: Account) -> None:
    acme = service.accounts["acme"]
    owner = await service.desk.create_owner(acme.id, EMAIL, PASSWORD, is_operator=True)
    token = (await service.desk.sign_in(owner.email, PASSWORD)).token
    before = await service.desk.signed_in(token)
    assert before is not None

    await service.desk.look_at(before, account.id)
    after = await service.desk.signed_in(token)

    assert after is not None
    assert (before.account.name, after.account) == ("acme", account)


async def test_a_key_of_an_account_is_right(
    service: Service, account: Account, remembering: Remembering
) -> None:
    await add_api_user(service, account.id, "newcomer")

    answer = await service.call("GET", "/api/v1/webhooks", user="newcomer")

    assert answer.status_code == 200


async def test_an_event_of_an_api_user_is_taken(service: Service, remembering: Remembering) -> None:
    await add_api_user(service, service.acme, "newcomer")
    names = ["nobody", "newcomer", "nobody", "newcomer", "alice"]
    events = [{"type": "sent", "recipient": "a@b.example", "api_user": name} for name in names]
    before = remembering.asked

    answer = await service.call("POST", "/api/v1/events", json=events)

    assert answer.status_code == 202
    assert [each["index"] for each in answer.json()["rejected"]] == [0, 2]
    assert remembering.asked - before <= 2


async def test_who_names_nobody_again_and_again_asks_the_registry_once_a_request(
    service: Service, remembering: Remembering
) -> None:
    event = {"type": "sent", "recipient": "a@b.example", "api_user": "nobody"}
    before = remembering.asked

    answer = await service.call("POST", "/api/v1/events", json=[event] * 100)

    assert answer.status_code == 422
    assert remembering.asked - before == 1


async def test_a_webhook_takes_and_changes_to_an_api_user(
    service: Service, remembering: Remembering
) -> None:
    await add_api_user(service, service.acme, "first")
    form = {"url": "https://hooks.example.com/in", "api_user": "first"}
    made = await service.desk.create_webhook(service.acme, form)
    await add_api_user(service, service.acme, "second")

    changed = await service.desk.update_webhook(service.acme, made.id, {"api_user": "second"})

    assert (made.api_user, changed.api_user) == ("first", "second")
    with pytest.raises(BadInput, match="no api user"):
        await service.desk.update_webhook(service.acme, made.id, {"api_user": "bob"})


async def test_the_key_of_an_account_is_made_and_rotated(
    service: Service, account: Account
) -> None:
    first = await service.desk.app_key(account.id)

    keys = await service.desk.rotate_app_key(account.id)

    assert first.value in [key.value for key in keys]


async def test_what_is_known_is_found_without_asking(
    service: Service, remembering: Remembering
) -> None:
    found: Any = await service.directory.find(lambda known: known.accounts.get(service.acme))

    assert found == service.accounts["acme"]
    assert remembering.asked == 0
