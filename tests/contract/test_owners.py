"""What every engine promises of people who sign in, their sessions and resets."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.errors import Conflict, NotFound
from postbell.ports import RESET_LASTS, SESSIONS_KEPT
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


async def open_session(
    shop: Shop, owner: Owner, digest: bytes = b"d1", *, expect: str = "$argon2id$", **more: str
) -> Owner | None:
    return await shop.engine.owners.open_session(
        session(shop, owner, digest), expect=expect, **more
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

    with pytest.raises(Conflict, match="signs in already"):
        await add(shop, account=1)


async def test_unknown_accounts_and_owners_are_not_found(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)

    with pytest.raises(NotFound):
        await owners.add(replace(owner, account_id=99, email="x@example.com"))
    with pytest.raises(NotFound):
        await owners.prefer(99, language="fr")
    with pytest.raises(NotFound):
        await owners.set_operator(99, True)
    with pytest.raises(NotFound):
        await owners.set_password(99, expect="", password_hash="$argon2id$")
    with pytest.raises(NotFound):
        await owners.remove(99)


async def test_a_form_writes_its_own_columns(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop, language="ru", time_zone="Asia/Tokyo")
    await owners.set_password(owner.id, expect="$argon2id$", password_hash="$argon2id$new")

    spoken = await owners.prefer(owner.id, language="fr")
    stored = await owners.prefer(owner.id, wants_notices=False)

    assert spoken == replace(owner, password_hash="$argon2id$new", language="fr")
    assert stored == replace(spoken, wants_notices=False)
    assert await owners.find(owner_id=owner.id) == stored
    assert await owners.prefer(owner.id, language="") == replace(stored, language="")


async def test_a_preference_that_moved_is_not_written_over(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop, language="ru", time_zone="Asia/Tokyo")
    moved = await owners.prefer(owner.id, language="fr")

    with pytest.raises(Conflict, match="language was changed meanwhile"):
        await owners.prefer(owner.id, language="en", time_zone="", expect=owner)
    other = await owners.prefer(owner.id, time_zone="", expect=owner)
    same = await owners.prefer(owner.id, language="fr", expect=owner)

    assert other == replace(moved, time_zone="") == same


async def test_a_password_is_replaced_only_where_it_is_the_expected_one(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    await owners.set_password(owner.id, expect="$argon2id$", password_hash="$argon2id$mine")
    await open_session(shop, owner, b"d1", expect="$argon2id$mine")

    with pytest.raises(Conflict, match="changed meanwhile"):
        await owners.set_password(owner.id, expect="$argon2id$", password_hash="$argon2id$theirs")

    found = await owners.find(owner_id=owner.id)
    assert found is not None
    assert found.password_hash == "$argon2id$mine"
    assert await owners.session(b"d1") is not None


async def test_a_new_password_ends_other_sessions_and_every_reset(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    bob = await add(shop, "bob@example.com")
    for digest, whose in ((b"here", owner), (b"there", owner), (b"bobs", bob)):
        await open_session(shop, whose, digest)
    now = shop.clock.now()
    await owners.add_reset(Reset(b"r1", owner.id, now + timedelta(hours=1)))

    await owners.set_password(
        owner.id, expect="$argon2id$", password_hash="$argon2id$new", keep=b"here"
    )

    left = [one for one in (b"here", b"there", b"bobs") if await owners.session(one)]
    assert left == [b"here", b"bobs"]
    assert await owners.finish_reset(b"r1", password_hash="$argon2id$old", now=now) is None


async def test_a_reset_that_a_clock_made_that_was_ahead_is_over(shop: Shop) -> None:
    owners, owner, now = shop.engine.owners, await add(shop), shop.clock.now()
    soon, later = now + RESET_LASTS, now + timedelta(days=365)
    await owners.add_reset(Reset(b"r1", owner.id, later + RESET_LASTS))
    ahead = await owners.finish_reset(b"r1", password_hash="$argon2id$old", now=now)
    await owners.add_reset(Reset(b"r2", owner.id, soon))

    good = await owners.finish_reset(b"r2", password_hash="$argon2id$new", now=now)

    assert ahead is None
    assert good is not None
    assert good.password_hash == "$argon2id$new"


async def test_no_session_opens_with_a_password_that_was_changed(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    await owners.set_password(owner.id, expect="$argon2id$", password_hash="$argon2id$new")

    opened = await open_session(
        shop, owner, b"d1", expect="$argon2id$", rehashed="$argon2id$more", seen_language="fr"
    )

    found = await owners.find(owner_id=owner.id)
    assert opened is None
    assert await owners.session(b"d1") is None
    assert found == replace(owner, password_hash="$argon2id$new")


async def test_a_sign_in_notes_the_language_and_a_stronger_hash(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    both = await open_session(shop, owner, b"d1", rehashed="$argon2id$more", seen_language="fr")

    neither = await open_session(shop, owner, b"d2", expect="$argon2id$more")

    assert both == replace(owner, password_hash="$argon2id$more", seen_language="fr")
    assert neither == both
    assert await owners.find(owner_id=owner.id) == both


async def test_nobody_signs_in_to_an_owner_who_is_gone(shop: Shop) -> None:
    owner = await add(shop)
    await add(shop, "bob@example.com")
    await shop.engine.owners.remove(owner.id)

    assert await open_session(shop, owner, b"d1") is None


async def test_the_limit_of_users_counts_no_operators(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    root = await add(shop, "root@example.com", is_operator=True)
    await add(shop, "eve@example.com", account=1)

    bob = await owners.add(replace(ada, email="bob@example.com"), most=2)
    with pytest.raises(Conflict, match="2 users"):
        await owners.add(replace(ada, email="cy@example.com"), most=2)
    more = await owners.add(replace(root, email="more@example.com"), most=2)

    assert await owners.users(ada.account_id) == [ada, bob]
    assert await owners.of(ada.account_id) == [ada, root, bob, more]


async def test_an_operator_is_nobodys_user(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    root = await add(shop, "root@example.com", is_operator=True)
    await add(shop, "more@example.com", is_operator=True)

    for account in shop.accounts:
        with pytest.raises(NotFound):
            await owners.remove(root.id, account_id=account.id)
    with pytest.raises(NotFound):
        await owners.remove(ada.id, account_id=shop.accounts[1].id)

    assert await owners.remove(root.id) == root


async def test_the_last_user_and_the_last_operator_stay(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    root = await add(shop, "root@example.com", is_operator=True)
    await add(shop, "eve@example.com", account=1)

    with pytest.raises(Conflict, match="last user"):
        await owners.remove(ada.id, account_id=ada.account_id)
    with pytest.raises(Conflict, match="last user"):
        await owners.remove(ada.id)
    with pytest.raises(Conflict, match="last operator"):
        await owners.remove(root.id)
    with pytest.raises(Conflict, match="last operator"):
        await owners.set_operator(root.id, False)

    assert await owners.users(ada.account_id) == [ada]


async def test_another_role_ends_the_sessions_of_the_old_one(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    root = await add(shop, "root@example.com", is_operator=True)
    for digest, owner in ((b"d1", ada), (b"d2", root)):
        await open_session(shop, owner, digest)

    raised = await owners.set_operator(ada.id, True)
    lowered = await owners.set_operator(root.id, False)
    same = await owners.set_operator(ada.id, True)

    assert raised == same == replace(ada, is_operator=True)
    assert lowered == replace(root, is_operator=False)
    assert [await owners.session(digest) for digest in (b"d1", b"d2")] == [None, None]


async def test_only_an_operators_session_looks_at_another_account(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    root = await add(shop, "root@example.com", is_operator=True)
    for digest, owner in ((b"adas", ada), (b"roots", root)):
        await open_session(shop, owner, digest)
    other = shop.accounts[1].id

    looked = [await owners.look_at(digest, other) for digest in (b"adas", b"roots", b"none")]
    unknown = await owners.look_at(b"roots", 99)

    sessions = [await owners.session(digest) for digest in (b"adas", b"roots")]
    assert (looked, unknown) == ([False, True, False], False)
    assert [one and one.account_id for one in sessions] == [ada.account_id, other]


async def test_a_session_is_found_touched_and_ended(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    opened = session(shop, owner)
    await owners.open_session(opened, expect="$argon2id$")
    later = shop.clock.now() + timedelta(hours=1)

    await owners.touch_session(b"d1", later, "192.0.2.7")
    touched = await owners.session(b"d1")
    await owners.touch_session(b"unknown", later, "")
    await owners.end_sessions(digest=b"d1")

    assert touched == replace(opened, seen_at=later, place="192.0.2.7")
    assert await owners.session(b"d1") is None
    assert await owners.session(b"unknown") is None


async def test_sessions_of_an_owner_are_listed_the_one_used_last_first(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    bob = await add(shop, "bob@example.com")
    first = replace(session(shop, ada, b"a1"), device="Firefox, Linux", place="192.0.2.7")
    await owners.open_session(first, expect="$argon2id$")
    shop.clock.advance(60)
    second = session(shop, ada, b"a2")
    await owners.open_session(second, expect="$argon2id$")
    await open_session(shop, bob, b"b1")

    listed = await owners.sessions(ada.id)

    assert listed == [second, first]
    assert len({each.id for each in listed}) == 2
    assert all(each.digest.hex() not in each.id for each in listed)


async def test_ending_sessions_says_how_many_there_were(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    for digest in (b"a1", b"a2", b"a3"):
        await open_session(shop, ada, digest)

    one = await owners.end_sessions(digest=b"a1")
    again = await owners.end_sessions(digest=b"a1")
    others = await owners.end_sessions(owner_id=ada.id, keep=b"a3")
    rest = await owners.end_sessions(owner_id=ada.id)

    assert (one, again, others, rest) == (1, 0, 1, 1)


async def test_of_very_many_sessions_those_used_last_are_kept(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    bob = await add(shop, "bob@example.com")
    await open_session(shop, bob, b"bobs")
    for number in range(SESSIONS_KEPT + 2):
        shop.clock.advance(1)
        await open_session(shop, ada, b"%d" % number)

    listed = await owners.sessions(ada.id)

    assert len(listed) == SESSIONS_KEPT
    assert [await owners.session(digest) for digest in (b"0", b"1")] == [None, None]
    assert await owners.session(b"bobs") is not None


async def test_all_sessions_of_an_owner_end_but_one(shop: Shop) -> None:
    owners, ada = shop.engine.owners, await add(shop)
    bob = await add(shop, "bob@example.com")
    for digest, owner in ((b"a1", ada), (b"a2", ada), (b"b1", bob)):
        await open_session(shop, owner, digest)

    await owners.end_sessions(owner_id=ada.id, keep=b"a2")

    left = [digest for digest in (b"a1", b"a2", b"b1") if await owners.session(digest)]
    assert left == [b"a2", b"b1"]


async def test_removing_an_owner_ends_sessions_and_resets(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    await add(shop, "bob@example.com")
    await open_session(shop, owner)
    now = shop.clock.now()
    await owners.add_reset(Reset(b"r1", owner.id, now + timedelta(hours=1)))

    await owners.remove(owner.id)

    assert await owners.find(owner_id=owner.id) is None
    assert await owners.session(b"d1") is None
    assert await owners.finish_reset(b"r1", password_hash="$argon2id$new", now=now) is None


async def test_a_reset_of_an_owner_who_is_gone_is_not_kept(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    await add(shop, "bob@example.com")
    await owners.remove(owner.id)
    now = shop.clock.now()

    await owners.add_reset(Reset(b"r1", owner.id, now + timedelta(hours=1)))

    assert await owners.finish_reset(b"r1", password_hash="$argon2id$new", now=now) is None


async def test_a_reset_is_used_once_and_only_before_its_end(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    now = shop.clock.now()
    end = now + timedelta(hours=1)
    await owners.add_reset(Reset(b"r1", owner.id, end))
    first = await owners.finish_reset(b"r1", password_hash="$argon2id$first", now=now)
    second = await owners.finish_reset(b"r1", password_hash="$argon2id$second", now=now)
    await owners.add_reset(Reset(b"r2", owner.id, end))

    late = await owners.finish_reset(b"r2", password_hash="$argon2id$late", now=end)

    assert first == replace(owner, password_hash="$argon2id$first")
    assert (second, late) == (None, None)
    assert await owners.find(owner_id=owner.id) == first


async def test_a_reset_ends_every_session(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    await open_session(shop, owner)
    now = shop.clock.now()
    await owners.add_reset(Reset(b"r1", owner.id, now + timedelta(hours=1)))

    await owners.finish_reset(b"r1", password_hash="$argon2id$new", now=now)

    assert await owners.session(b"d1") is None


async def test_a_newer_reset_ends_the_older_one(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    now = shop.clock.now()
    for digest in (b"r1", b"r2"):
        await owners.add_reset(Reset(digest, owner.id, now + timedelta(hours=1)))

    older = await owners.finish_reset(b"r1", password_hash="$argon2id$old", now=now)
    newer = await owners.finish_reset(b"r2", password_hash="$argon2id$new", now=now)

    assert older is None
    assert newer == replace(owner, password_hash="$argon2id$new")


async def test_sweeping_drops_what_is_idle_old_or_expired(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    now = shop.clock.now()
    hour = timedelta(hours=1)
    fresh = session(shop, owner, b"fresh")
    idle = replace(fresh, digest=b"idle", seen_at=now - 3 * hour)
    old = replace(fresh, digest=b"old", created_at=now - 9 * hour)
    for one in (fresh, idle, old):
        await owners.open_session(one, expect="$argon2id$")
    await owners.add_reset(Reset(b"r1", owner.id, now))

    await owners.sweep(seen_before=now - 2 * hour, opened_before=now - 8 * hour, now=now)

    left = [digest for digest in (b"fresh", b"idle", b"old") if await owners.session(digest)]
    assert left == [b"fresh"]
    last = await owners.finish_reset(b"r1", password_hash="$argon2id$new", now=now - hour)
    assert last is None
