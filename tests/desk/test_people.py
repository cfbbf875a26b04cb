"""Accounts, api users and their keys."""

from collections.abc import AsyncIterator

import pytest

from postbell.errors import BadInput, Conflict, NotFound
from tests.api.service import KEY, Service, running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.mark.parametrize(
    "name",
    ["", " a", "a ", "a:b", "all", "ALL", "a\nb", "a\0", "a\x85b", "x" * 65, "\ud800", "a\u2028b"],
)
async def test_a_name_that_cannot_be_one_is_refused(service: Service, name: str) -> None:
    with pytest.raises(BadInput) as user:
        await service.desk.create_api_user("acme", name)
    with pytest.raises(BadInput) as account:
        await service.desk.create_account(name)

    assert (user.value.member, account.value.member) == ("api_user", "name")


@pytest.mark.parametrize("name", ["x", "x" * 64, "my test", "zoë", "a@b.example", "所有"])
async def test_other_names_are_taken(service: Service, name: str) -> None:
    made = await service.desk.create_api_user("acme", name)

    assert made.api_user.name == name


async def test_names_are_unique_in_the_installation(service: Service) -> None:
    with pytest.raises(Conflict):
        await service.desk.create_api_user("beta", "alice")
    with pytest.raises(Conflict):
        await service.desk.create_account("acme")


async def test_a_key_is_made_unless_one_is_given(service: Service) -> None:
    made = await service.desk.create_api_user("acme", "new")
    given = await service.desk.create_api_user("acme", "given", KEY)

    assert made.key.startswith("pb_")
    assert (made.warning, given.key, given.warning) == ("", KEY, "")
    assert KEY not in repr(given.api_user)


async def test_a_weak_key_is_taken_with_a_warning(service: Service) -> None:
    made = await service.desk.create_api_user("acme", "new", "the_api_key")

    assert made.key == "the_api_key"
    assert "weak" in made.warning


@pytest.mark.parametrize("key", ["", "a\nb" * 8, "x" * 7, "x" * 257])
async def test_a_key_that_cannot_be_sent_is_refused(service: Service, key: str) -> None:
    with pytest.raises(BadInput) as error:
        await service.desk.create_api_user("acme", "new", key)

    assert error.value.member == "api_key"


async def test_a_revoked_api_user_stays_revoked_and_is_not_rotated(service: Service) -> None:
    first = await service.desk.revoke_api_user("alice")
    service.clock.advance(60)
    again = await service.desk.revoke_api_user("alice")

    assert first == again
    with pytest.raises(Conflict):
        await service.desk.rotate_api_user("alice")


async def test_unknown_names_are_not_found(service: Service) -> None:
    with pytest.raises(NotFound):
        await service.desk.create_api_user("nobody", "new")
    with pytest.raises(NotFound):
        await service.desk.revoke_api_user("nobody")


async def test_reports_show_people_without_their_keys(service: Service) -> None:
    await service.desk.revoke_api_user("anna")

    accounts = await service.reports.accounts()
    users = await service.reports.api_users(service.acme)

    assert [row.name for row in accounts] == ["acme", "beta"]
    assert [(row.name, row.revoked_at is None) for row in users] == [
        ("alice", True),
        ("anna", False),
    ]
    assert "hash" not in str(users)
