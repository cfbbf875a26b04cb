"""What every engine promises of people who sign in, their sessions and resets."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.errors import Conflict, NotFound
from postbell.records import Owner, Reset, Session
from tests.contract.making import Shop


async def add(
    shop: Shop, email: str = "ada@example.com", account: int = 0, **more: object
) -> Owner:
    """Store an owner of one of the shop's accounts."""
    owner = Owner(
        id=0,
        account_id=shop.accounts[account].id,
        email=email,
        password_hash="$argon2id$",
        created_at=shop.clock.now(),
        **more,  # type: ignore[arg-type]
    )
    return await shop.engine.owners.add(owner)


def session(shop: Shop, owner: Owner, digest: bytes = b"d1") -> Session:
    now = shop.clock.now()
    return Session(
        digest=digest, owner_id=owner.id, account_id=owner.account_id, created_at=now, seen_at=now
    )


async def test_an_owner_is_found_by_id_and_by_address(shop: Shop) -> None:
    owner = await add(
        shop, language="ru", time_zone="Europe/Paris", is_operator=True, seen_language="fr"
    )
    owners = shop.engine.owners

    assert owner.id > 0
    assert await owners.find(owner_id=owner.id) == owner
    assert await owners.find(email="ada@example.com") == owner
    assert await owners.find(email="eve@example.com") is None
    assert await owners.find(owner_id=owner.id + 1) is None


async def test_owners_are_listed_by_account(shop: Shop) -> None:
    ada = await add(shop)
    bob = await add(shop, "bob@example.com", account=1)
    eve = await add(shop, "eve@example.com")

    assert await shop.engine.owners.of(shop.accounts[0].id) == [ada, eve]
    assert await shop.engine.owners.of() == [ada, bob, eve]


async def test_an_address_signs_in_once_in_the_installation(shop: Shop) -> None:
    await add(shop)
    other = await add(shop, "bob@example.com", account=1)

    with pytest.raises(Conflict, match="signs in already"):
        await add(shop, account=1)
    with pytest.raises(Conflict, match="signs in already"):
        await shop.engine.owners.set(replace(other, email="ada@example.com"))


async def test_unknown_accounts_and_owners_are_not_found(shop: Shop) -> None:
    owner = await add(shop)

    with pytest.raises(NotFound):
        await shop.engine.owners.add(replace(owner, account_id=99, email="x@example.com"))
    with pytest.raises(NotFound):
        await shop.engine.owners.set(replace(owner, id=99, email="x@example.com"))
    with pytest.raises(NotFound):
        await shop.engine.owners.remove(99)


async def test_members_are_stored_but_account_and_creation_stay(shop: Shop) -> None:
    owner = await add(shop)
    changed = replace(
        owner,
        password_hash="$argon2id$new",
        language="fr",
        seen_language="ru",
        time_zone="Asia/Tokyo",
        wants_notices=False,
        is_operator=True,
    )
    moved = replace(
        changed, account_id=shop.accounts[1].id, created_at=owner.created_at + timedelta(days=1)
    )

    stored = await shop.engine.owners.set(moved)

    assert stored == changed
    assert await shop.engine.owners.find(owner_id=owner.id) == changed


async def test_a_session_is_found_touched_and_ended(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    opened = session(shop, owner)
    await owners.open_session(opened)
    later = shop.clock.now() + timedelta(hours=1)

    await owners.touch_session(b"d1", later, 77)
    touched = await owners.session(b"d1")
    await owners.touch_session(b"unknown", later, 1)
    await owners.end_sessions(digest=b"d1")

    assert touched == replace(opened, seen_at=later, account_id=77)
    assert await owners.session(b"d1") is None
    assert await owners.session(b"unknown") is None


async def test_all_sessions_of_an_owner_end_but_one(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    bob = await add(shop, "bob@example.com")
    for digest, owner in ((b"a1", ada), (b"a2", ada), (b"b1", bob)):
        await owners.open_session(session(shop, owner, digest))

    await owners.end_sessions(owner_id=ada.id, keep=b"a2")

    left = [digest for digest in (b"a1", b"a2", b"b1") if await owners.session(digest)]
    assert left == [b"a2", b"b1"]


async def test_removing_an_owner_ends_sessions_and_resets(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    await owners.open_session(session(shop, owner))
    now = shop.clock.now()
    await owners.add_reset(Reset(b"r1", owner.id, now + timedelta(hours=1)))

    await owners.remove(owner.id)

    assert await owners.find(owner_id=owner.id) is None
    assert await owners.session(b"d1") is None
    assert await owners.take_reset(b"r1", now) is None


async def test_a_reset_is_used_once_and_only_before_its_end(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    now = shop.clock.now()
    end = now + timedelta(hours=1)
    await owners.add_reset(Reset(b"r1", owner.id, end))
    first = await owners.take_reset(b"r1", now)
    second = await owners.take_reset(b"r1", now)
    await owners.add_reset(Reset(b"r2", owner.id, end))

    late = await owners.take_reset(b"r2", end)

    assert (first, second, late) == (owner.id, None, None)


async def test_a_newer_reset_ends_the_older_one(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    now = shop.clock.now()
    for digest in (b"r1", b"r2"):
        await owners.add_reset(Reset(digest, owner.id, now + timedelta(hours=1)))

    assert await owners.take_reset(b"r1", now) is None
    assert await owners.take_reset(b"r2", now) == owner.id


async def test_sweeping_drops_what_is_idle_old_or_expired(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    now = shop.clock.now()
    hour = timedelta(hours=1)
    fresh = session(shop, owner, b"fresh")
    await owners.open_session(fresh)
    await owners.open_session(replace(fresh, digest=b"idle", seen_at=now - 3 * hour))
    await owners.open_session(replace(fresh, digest=b"old", created_at=now - 9 * hour))
    await owners.add_reset(Reset(b"r1", owner.id, now))

    await owners.sweep(seen_before=now - 2 * hour, opened_before=now - 8 * hour, now=now)

    left = [digest for digest in (b"fresh", b"idle", b"old") if await owners.session(digest)]
    assert left == [b"fresh"]
    assert await owners.take_reset(b"r1", now - hour) is None
