"""What every engine promises of api users and their keys."""

from datetime import timedelta

import pytest

from postbell.errors import Conflict, Forbidden, NotFound, Unauthorized
from postbell.ports import ENDED_KEYS_KEPT, REVOKED_TIMES
from postbell.records import ApiUser
from postbell.rights import KeyScope, KeyTerms
from postbell.warrants import KeyWarrant, under
from tests.contract.making import Shop

DAY = timedelta(days=1)


async def read(shop: Shop) -> ApiUser:
    return (await shop.engine.registry.api_users())[0]


async def test_an_api_user_has_its_keys_by_id(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()

    made = await registry.add_api_key(
        1, "other", now, terms=KeyTerms(KeyScope.READ, now + DAY), hint="wxyz"
    )

    first, second = made.keys
    assert await read(shop) == made
    assert (first.key_hash, first.scope, first.expires_at) == (
        "sha256$00$00", KeyScope.EVERYTHING, None,
    )  # fmt: skip
    assert (second.key_hash, second.terms, second.hint, second.used_at) == (
        "other", KeyTerms(KeyScope.READ, now + DAY), "wxyz", None,
    )  # fmt: skip
    assert second.created_at == now
    assert second.id > first.id


async def test_a_new_key_lets_others_end_and_never_later_than_they_would(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    first = shop.users[0].keys[0].id

    soon = await registry.add_api_key(1, "second", now, ends={first: now + DAY})
    later = await registry.add_api_key(1, "third", now, ends={first: now + 2 * DAY})

    assert soon.keys[0].expires_at == later.keys[0].expires_at == now + DAY


async def test_a_key_that_ended_is_not_replaced(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    first = shop.users[0].keys[0].id
    await registry.end_api_keys(1, {first: now})

    with pytest.raises(Conflict, match="ended"):
        await registry.add_api_key(1, "second", now, ends={first: now})
    with pytest.raises(NotFound):
        await registry.add_api_key(1, "second", now, ends={shop.users[1].keys[0].id: now})
    with pytest.raises(NotFound):
        await registry.end_api_keys(1, {99: now})

    assert len((await read(shop)).keys) == 1


async def test_a_revoked_api_user_has_no_key_in_force_and_gets_none(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    await registry.add_api_key(1, "second", now)

    revoked = await registry.revoke_api_user(1, now)
    again = await registry.revoke_api_user(1, now + DAY)

    assert again == revoked == await read(shop)
    assert revoked.revoked_at == now
    assert [key.expires_at for key in revoked.keys] == [now, now]
    with pytest.raises(Conflict, match="revoked"):
        await registry.add_api_key(1, "third", now)


async def test_only_so_many_keys_are_in_force(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    second = (await registry.add_api_key(1, "second", now, most=2)).keys[-1].id

    with pytest.raises(Conflict, match="2 keys"):
        await registry.add_api_key(1, "third", now, most=2)
    with pytest.raises(Conflict, match=r"2 keys.*replace it without an overlap"):
        await registry.add_api_key(1, "third", now, most=2, ends={second: now + DAY})
    replaced = await registry.add_api_key(1, "third", now, most=2, ends={second: now})

    assert [key.is_live(now) for key in replaced.keys] == [True, False, True]


async def test_of_keys_that_ended_the_newest_stay(shop: Shop) -> None:
    registry = shop.engine.registry
    for number in range(ENDED_KEYS_KEPT + 3):
        shop.clock.advance(1)
        now = shop.clock.now()
        last = (await read(shop)).keys[-1].id
        await registry.add_api_key(1, f"hash {number}", now, ends={last: now})

    keys = (await read(shop)).keys

    assert [key.key_hash for key in keys] == [f"hash {n}" for n in range(2, ENDED_KEYS_KEPT + 3)]


async def test_an_account_has_only_so_many_api_users(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    other = await registry.add_api_user(2, "other", "hash", now, most=2)

    with pytest.raises(Conflict, match="2 api users"):
        await registry.add_api_user(2, "third", "hash", now, most=2)
    await registry.revoke_api_user(other.id, now)
    third = await registry.add_api_user(2, "third", "hash", now, most=2)

    assert third.account == "bolt"


async def test_revoked_api_users_are_not_without_end(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    for number in range(2 * REVOKED_TIMES):
        user = await registry.add_api_user(2, f"n{number}", "hash", now, most=2)
        await registry.revoke_api_user(user.id, now)

    with pytest.raises(Conflict, match="raise max_api_users_per_account"):
        await registry.add_api_user(2, "more", "hash", now, most=2)


async def test_a_hash_is_replaced_only_where_it_is_still_the_expected_one(shop: Shop) -> None:
    registry = shop.engine.registry
    key = shop.users[0].keys[0]

    first = await registry.rehash_api_key(key.id, "scrypt$11$11", expect=key.key_hash)
    second = await registry.rehash_api_key(key.id, "scrypt$22$22", expect=key.key_hash)

    assert (first, second) == (True, False)
    assert (await read(shop)).keys[0].key_hash == "scrypt$11$11"


async def test_uses_are_noted_without_a_new_version(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    version = await registry.version()

    await registry.note_api_keys_used([user.keys[0].id for user in shop.users] + [99], now + DAY)

    users = await registry.api_users()
    assert [user.keys[0].used_at for user in users] == [now + DAY, now + DAY]
    assert await registry.version() == version


async def keyed(shop: Shop, terms: KeyTerms) -> KeyWarrant:
    """Return the warrant of a key of these terms."""
    made = await shop.engine.registry.add_api_key(1, "acting", shop.clock.now(), terms=terms)
    return KeyWarrant(made.keys[-1].id)


@pytest.mark.parametrize("scope", [KeyScope.INGEST, KeyScope.READ])
async def test_a_narrow_key_touches_no_key_not_even_one_of_its_own_kind(
    shop: Shop, scope: KeyScope
) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    warrant = await keyed(shop, KeyTerms(scope))
    before = await registry.api_users()

    with under(warrant):
        with pytest.raises(Forbidden):
            await registry.add_api_user(1, "new", "hash", now, terms=KeyTerms(scope))
        with pytest.raises(Forbidden):
            await registry.add_api_key(1, "hash", now, terms=KeyTerms(scope))
        with pytest.raises(Forbidden):
            await registry.end_api_keys(1, {warrant.key_id: now})
        with pytest.raises(Forbidden):
            await registry.revoke_api_user(2, now)

    assert await registry.api_users() == before


async def test_a_key_with_an_end_makes_and_revokes_none_that_lasts_longer(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    ends = now + DAY
    lasting = shop.users[0].keys[0].id

    with under(await keyed(shop, KeyTerms(KeyScope.EVERYTHING, ends))):
        for later in (None, ends + timedelta(microseconds=1)):
            with pytest.raises(Forbidden, match="longer"):
                await registry.add_api_key(1, "hash", now, terms=KeyTerms(expires_at=later))
            with pytest.raises(Forbidden, match="longer"):
                terms = KeyTerms(KeyScope.READ, later)
                await registry.add_api_user(1, "new", "hash", now, terms=terms)
        with pytest.raises(Forbidden):
            await registry.end_api_keys(1, {lasting: now})
        with pytest.raises(Forbidden):
            await registry.add_api_key(
                1, "hash", now, terms=KeyTerms(expires_at=ends), ends={lasting: now}
            )
        with pytest.raises(Forbidden):
            await registry.revoke_api_user(1, now)
        made = await registry.add_api_key(1, "hash", now, terms=KeyTerms(expires_at=ends))
        over = await registry.end_api_keys(1, {made.keys[-1].id: now})

    assert over.keys[-1].expires_at == now
    assert over.keys[0].expires_at is None


async def test_a_key_that_was_shortened_meanwhile_acts_by_its_new_end(shop: Shop) -> None:
    registry, now = shop.engine.registry, shop.clock.now()
    warrant = await keyed(shop, KeyTerms())
    await registry.end_api_keys(1, {warrant.key_id: now + DAY})

    with under(warrant), pytest.raises(Forbidden):
        await registry.add_api_key(1, "hash", now)
    await registry.end_api_keys(1, {warrant.key_id: now})
    with under(warrant), pytest.raises(Unauthorized):
        await registry.add_api_key(1, "hash", now, terms=KeyTerms(expires_at=now + DAY))
