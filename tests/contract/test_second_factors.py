"""What every engine promises of second factors: what proves them is used once, by one write."""

import asyncio
from datetime import timedelta

from postbell.ports import HALF_SIGN_INS_KEPT, HalfSignIn, Proof, SecondFactor
from postbell.records import Owner, Session
from tests.contract.making import Shop
from tests.contract.test_owners import add, open_session, session

PASSWORD = "$argon2id$"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
STEP = 1000
CODES = (b"c1", b"c2")
HERE = b"here"


async def begin(shop: Shop, owner: Owner, *, password: str = PASSWORD) -> SecondFactor | None:
    return await shop.engine.second_factors.begin(
        owner.id, SECRET, password_hash=password, now=shop.clock.now()
    )


async def put_in_force(
    shop: Shop, factor: SecondFactor, *, step: int = STEP, keep: bytes = HERE
) -> bool:
    now = shop.clock.now()
    return await shop.engine.second_factors.put_in_force(
        Proof(factor.id, step=step),
        CODES,
        begun_after=now - timedelta(minutes=15),
        keep=keep,
        now=now,
    )


async def with_factor(shop: Shop, email: str = "ada@example.com") -> tuple[Owner, SecondFactor]:
    """Store an owner who has a session and a factor in force."""
    owner = await add(shop, email)
    digest = HERE + str(owner.id).encode()
    await open_session(shop, owner, digest)
    factor = await begin(shop, owner)
    assert factor is not None
    assert await put_in_force(shop, factor, keep=digest)
    return owner, factor


async def half(shop: Shop, owner: Owner, digest: bytes = b"h1", *, expect: str = PASSWORD) -> bool:
    now = shop.clock.now()
    return await shop.engine.second_factors.begin_sign_in(
        HalfSignIn(digest, owner.id, expect, now + timedelta(minutes=5)),
        expect=expect,
        seen_language="fr",
        now=now,
    )


async def finish(
    shop: Shop, owner: Owner, proof: Proof, digest: bytes = b"h1", opens: bytes = b"new"
) -> bool:
    return await shop.engine.second_factors.finish_sign_in(
        digest, proof, session(shop, owner, opens), shop.clock.now()
    )


async def test_a_factor_is_awaited_then_in_force(shop: Shop) -> None:
    factors, owner = shop.engine.second_factors, await add(shop)
    await open_session(shop, owner, HERE)
    begun = await begin(shop, owner)
    assert begun is not None
    awaited, was_in_force = await factors.of(owner.id), await factors.is_in_force(owner.id)

    done = await put_in_force(shop, begun)

    found = await factors.of(owner.id)
    now = shop.clock.now()
    assert awaited == begun == SecondFactor(begun.id, owner.id, SECRET, now)
    assert (was_in_force, done) == (False, True)
    assert found == begun._replace(since=now, last_step=STEP, codes_left=2)
    assert await factors.is_in_force(owner.id)
    assert await factors.in_force(owner.account_id) == {owner.id} == await factors.in_force()
    assert await factors.in_force(shop.accounts[1].id) == set()


async def test_a_later_beginning_replaces_an_earlier_one_but_nothing_in_force(shop: Shop) -> None:
    owner = await add(shop)
    await open_session(shop, owner, HERE)
    first, second = await begin(shop, owner), await begin(shop, owner)
    assert first is not None and second is not None

    by_first, by_second = await put_in_force(shop, first), await put_in_force(shop, second)

    assert (by_first, by_second) == (False, True)
    assert await begin(shop, owner) is None
    assert await put_in_force(shop, second) is False


async def test_nothing_is_begun_or_put_in_force_after_a_new_password(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    await open_session(shop, owner, HERE)
    begun = await begin(shop, owner)
    assert begun is not None
    await owners.set_password(owner.id, expect=PASSWORD, password_hash="$new", keep=HERE)

    done, again = await put_in_force(shop, begun), await begin(shop, owner)

    assert (done, again) == (False, None)
    assert not await shop.engine.second_factors.is_in_force(owner.id)


async def test_what_was_begun_too_long_ago_is_not_put_in_force(shop: Shop) -> None:
    owner = await add(shop)
    await open_session(shop, owner, HERE)
    begun = await begin(shop, owner)
    assert begun is not None
    shop.clock.advance(900)

    assert await put_in_force(shop, begun) is False


async def test_only_a_session_that_is_open_puts_in_force(shop: Shop) -> None:
    owner, bob = await add(shop), await add(shop, "bob@example.com")
    await open_session(shop, bob, b"bobs")
    begun = await begin(shop, owner)
    assert begun is not None

    ended, others = await put_in_force(shop, begun), await put_in_force(shop, begun, keep=b"bobs")

    assert (ended, others) == (False, False)


async def test_putting_in_force_ends_all_other_sessions(shop: Shop) -> None:
    owners, owner = shop.engine.owners, await add(shop)
    for digest in (HERE, b"there"):
        await open_session(shop, owner, digest)
    begun = await begin(shop, owner)
    assert begun is not None

    await put_in_force(shop, begun)

    assert [each.digest for each in await owners.sessions(owner.id)] == [HERE]


async def test_with_a_factor_in_force_a_password_alone_opens_no_session(shop: Shop) -> None:
    owner, _ = await with_factor(shop)

    opened = await open_session(shop, owner, b"alone")

    assert opened is None
    assert await shop.engine.owners.session(b"alone") is None


async def test_a_half_sign_in_and_a_step_open_one_session(shop: Shop) -> None:
    owners, (owner, factor) = shop.engine.owners, await with_factor(shop)
    begun = await half(shop, owner)
    kept = await shop.engine.second_factors.half_sign_in(b"h1", shop.clock.now())

    done = await finish(shop, owner, Proof(factor.id, step=STEP + 1))

    again = await finish(shop, owner, Proof(factor.id, step=STEP + 2), opens=b"more")
    noted = await owners.find(owner_id=owner.id)
    assert (begun, done, again) == (True, True, False)
    assert kept is not None and kept.owner_id == owner.id
    assert noted is not None and noted.seen_language == "fr"
    assert await owners.session(b"new") is not None
    assert await owners.session(b"more") is None


async def test_a_step_proves_once_and_an_older_one_never(shop: Shop) -> None:
    owner, factor = await with_factor(shop)
    steps = (STEP, STEP - 1, STEP + 2, STEP + 2, STEP + 1, STEP + 3)
    done = []
    for number, step in enumerate(steps):
        digest = b"h%d" % number
        await half(shop, owner, digest)
        done.append(await finish(shop, owner, Proof(factor.id, step=step), digest, b"s" + digest))

    assert done == [False, False, True, False, False, True]


async def test_of_many_at_once_one_uses_a_step_or_a_code(shop: Shop) -> None:
    owner, factor = await with_factor(shop)
    for number in range(10):
        await half(shop, owner, b"h%d" % number)
    proofs = [Proof(factor.id, step=STEP + 1)] * 5 + [Proof(factor.id, recovery=b"c1")] * 5

    done = await asyncio.gather(
        *(
            finish(shop, owner, proof, b"h%d" % number, b"s%d" % number)
            for number, proof in enumerate(proofs)
        )
    )

    assert (sum(done[:5]), sum(done[5:])) == (1, 1)


async def test_a_recovery_code_proves_once(shop: Shop) -> None:
    factors, (owner, factor) = shop.engine.second_factors, await with_factor(shop)
    for digest in (b"h1", b"h2", b"h3"):
        await half(shop, owner, digest)
    proof = Proof(factor.id, recovery=b"c1")

    first = await finish(shop, owner, proof)
    second = await finish(shop, owner, proof, b"h2", b"more")
    unknown = await finish(shop, owner, Proof(factor.id, recovery=b"c9"), b"h3", b"more")

    found = await factors.of(owner.id)
    assert (first, second, unknown) == (True, False, False)
    assert found is not None and (found.codes_left, found.last_step) == (1, STEP)


async def test_a_proof_of_somebody_else_proves_nothing(shop: Shop) -> None:
    ada, _ = await with_factor(shop)
    bob, bobs = await with_factor(shop, "bob@example.com")
    await half(shop, ada)

    as_ada = await finish(shop, ada, Proof(bobs.id, step=STEP + 1))
    as_bob = await finish(shop, bob, Proof(bobs.id, step=STEP + 1))

    assert (as_ada, as_bob) == (False, False)
    assert await shop.engine.owners.session(b"new") is None


async def test_a_half_sign_in_ends_with_its_time_and_with_the_password(shop: Shop) -> None:
    factors, (owner, factor) = shop.engine.second_factors, await with_factor(shop)
    await half(shop, owner, b"slow")
    shop.clock.advance(300)
    late = await finish(shop, owner, Proof(factor.id, step=STEP + 1), b"slow")
    await half(shop, owner, b"old")
    await shop.engine.owners.set_password(owner.id, expect=PASSWORD, password_hash="$new")

    old = await finish(shop, owner, Proof(factor.id, step=STEP + 1), b"old")

    assert (late, old) == (False, False)
    assert await factors.half_sign_in(b"old", shop.clock.now()) is None
    assert await half(shop, owner) is False
    assert await half(shop, owner, expect="$new") is True


async def test_a_half_sign_in_that_a_clock_began_that_was_ahead_is_over(shop: Shop) -> None:
    factors, (owner, factor) = shop.engine.second_factors, await with_factor(shop)
    shop.clock.advance(86_400)
    await half(shop, owner)
    shop.clock.advance(-86_400)

    done = await finish(shop, owner, Proof(factor.id, step=STEP + 1))

    assert done is False
    assert await factors.half_sign_in(b"h1", shop.clock.now()) is None


async def test_without_a_factor_in_force_no_sign_in_is_half_way(shop: Shop) -> None:
    owner = await add(shop)
    await begin(shop, owner)

    assert await half(shop, owner) is False


async def test_ending_all_sessions_ends_sign_ins_half_way(shop: Shop) -> None:
    owner, factor = await with_factor(shop)
    await half(shop, owner)

    await shop.engine.owners.end_sessions(owner_id=owner.id)

    assert await finish(shop, owner, Proof(factor.id, step=STEP + 1)) is False


async def test_of_very_many_sign_ins_half_way_the_newest_are_kept(shop: Shop) -> None:
    factors, (owner, _) = shop.engine.second_factors, await with_factor(shop)
    bob, _ = await with_factor(shop, "bob@example.com")
    await half(shop, bob, b"bobs")
    for number in range(HALF_SIGN_INS_KEPT + 2):
        shop.clock.advance(1)
        await half(shop, owner, b"h%d" % number)

    now = shop.clock.now()
    kept = [
        number
        for number in range(HALF_SIGN_INS_KEPT + 2)
        if await factors.half_sign_in(b"h%d" % number, now)
    ]

    assert kept == list(range(2, HALF_SIGN_INS_KEPT + 2))
    assert await factors.half_sign_in(b"bobs", now) is not None


async def test_new_recovery_codes_replace_the_old_ones(shop: Shop) -> None:
    factors, (owner, factor) = shop.engine.second_factors, await with_factor(shop)
    proof = Proof(factor.id, step=STEP + 1)

    wrong = await factors.replace_recovery(proof, [b"n1"], password_hash="$other")
    done = await factors.replace_recovery(proof, [b"n1", b"n2", b"n3"], password_hash=PASSWORD)
    again = await factors.replace_recovery(proof, [b"n4"], password_hash=PASSWORD)

    await half(shop, owner)
    found = await factors.of(owner.id)
    assert (wrong, done, again) == (False, True, False)
    assert found is not None and found.codes_left == 3
    assert await finish(shop, owner, Proof(factor.id, recovery=b"c1")) is False
    assert await finish(shop, owner, Proof(factor.id, recovery=b"n2")) is True


async def test_a_factor_is_turned_off_with_a_proof_and_the_password(shop: Shop) -> None:
    factors, (owner, factor) = shop.engine.second_factors, await with_factor(shop)
    await half(shop, owner)
    used = await factors.turn_off(Proof(factor.id, step=STEP), password_hash=PASSWORD)
    wrong = await factors.turn_off(Proof(factor.id, step=STEP + 1), password_hash="$other")

    done = await factors.turn_off(Proof(factor.id, recovery=b"c2"), password_hash=PASSWORD)

    assert (used, wrong, done) == (False, False, True)
    assert await factors.of(owner.id) is None
    assert await finish(shop, owner, Proof(factor.id, step=STEP + 1)) is False
    assert await open_session(shop, owner, b"alone") is not None


async def test_a_proof_of_a_factor_that_is_gone_does_not_prove_the_next_one(shop: Shop) -> None:
    factors, (owner, factor) = shop.engine.second_factors, await with_factor(shop)
    await factors.remove(owner.id)
    await open_session(shop, owner, HERE)
    begun = await begin(shop, owner)
    assert begun is not None
    await put_in_force(shop, begun)
    await half(shop, owner)

    old = await finish(shop, owner, Proof(factor.id, step=STEP + 1))
    new = await finish(shop, owner, Proof(begun.id, step=STEP + 1))

    assert (old, new) == (False, True)


async def test_an_operators_removal_ends_every_session(shop: Shop) -> None:
    factors, (owner, _) = shop.engine.second_factors, await with_factor(shop)
    await half(shop, owner)

    done, again = await factors.remove(owner.id), await factors.remove(owner.id)

    assert (done, again) == (True, False)
    assert await factors.of(owner.id) is None
    assert await shop.engine.owners.sessions(owner.id) == []
    assert await factors.half_sign_in(b"h1", shop.clock.now()) is None


async def test_an_owner_who_is_removed_leaves_nothing(shop: Shop) -> None:
    factors, (owner, _) = shop.engine.second_factors, await with_factor(shop)
    await add(shop, "bob@example.com")
    await half(shop, owner)

    await shop.engine.owners.remove(owner.id)

    assert await factors.of(owner.id) is None
    assert await factors.in_force() == set()
    assert await factors.half_sign_in(b"h1", shop.clock.now()) is None


def test_a_session_is_named_by_what_opens_nothing(shop: Shop) -> None:
    now = shop.clock.now()
    one = Session(digest=b"d1", owner_id=1, account_id=1, created_at=now, seen_at=now)

    assert len(one.id) == 16
    assert one.id.isalnum()
    assert one.id != Session(digest=b"d2", owner_id=1, account_id=1, created_at=now, seen_at=now).id
