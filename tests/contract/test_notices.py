"""What notices were told, those that wait, and who hands them over."""

import asyncio

from postbell.ports import LETTERS_KEPT, Letter, Telling, ToldOf, ToldState
from tests.contract.making import Shop

SUBJECT = "webhook 7 delivery"
ADA, OPS = "ada@acme.example", "ops@example.com"
LEASE_S = 60.0


def failing(shop: Shop, before: int = 0, *letters: Letter, subject: str = SUBJECT) -> Telling:
    return Telling(subject, ToldState("failing", shop.clock.now(), "failing"), before, letters)


async def waiting(shop: Shop, recipient: str = ADA) -> list[bytes]:
    return [letter.notice for letter in await shop.engine.notices.letters(recipient, 9999)]


async def known(shop: Shop, after: int = 0) -> list[ToldOf]:
    return await shop.engine.notices.told(after, 100)


async def test_what_was_told_is_found_by_what_changed_since(shop: Shop) -> None:
    notices = shop.engine.notices
    await notices.tell([failing(shop), failing(shop, subject="account 1 silence")])
    first, second = await known(shop)
    well = ToldState("ok", first.told.worse_at, "failing")

    await notices.tell([Telling(SUBJECT, well, first.version)])
    changed = await known(shop, second.version)

    assert (first.subject, second.subject) == (SUBJECT, "account 1 silence")
    assert first.told == ToldState("failing", shop.clock.now(), "failing")
    assert [(each.subject, each.told) for each in changed] == [(SUBJECT, well)]
    assert await known(shop) == [second, *changed]
    assert await notices.told(0, 1) == [second]


async def test_of_those_who_see_the_same_change_one_tells_it(shop: Shop) -> None:
    tellings = [failing(shop, 0, Letter(ADA, 1, b"%d" % n)) for n in range(8)]

    refused = await asyncio.gather(*(shop.engine.notices.tell([each]) for each in tellings))

    assert sorted(refused) == [[]] + [[SUBJECT]] * 7
    assert await waiting(shop) == [b"%d" % refused.index([])]
    assert len(await known(shop)) == 1


async def test_what_is_refused_takes_nothing_else_with_it(shop: Shop) -> None:
    await shop.engine.notices.tell([failing(shop)])

    refused = await shop.engine.notices.tell(
        [
            failing(shop, 0, Letter(ADA, 1, b"again")),
            failing(shop, 0, Letter(ADA, 1, b"other"), subject="webhook 8 delivery"),
            Telling("", None, 0, [Letter(ADA, 1, b"expiring")]),
        ]
    )

    assert refused == [SUBJECT]
    assert await waiting(shop) == [b"other", b"expiring"]


async def test_what_nothing_is_remembered_of_is_told_every_time(shop: Shop) -> None:
    for _ in range(2):
        await shop.engine.notices.tell([Telling("", None, 0, [Letter(OPS, 0, b"expiring")])])

    assert await waiting(shop, OPS) == [b"expiring"] * 2
    assert await known(shop) == []


async def test_what_is_something_else_by_now_is_not_forgotten(shop: Shop) -> None:
    notices = shop.engine.notices
    await notices.tell([failing(shop)])
    [old] = await known(shop)
    await notices.tell([failing(shop, old.version)])

    await notices.forget([old])
    [new] = await known(shop)
    await notices.forget([new])

    assert new.version > old.version
    assert await known(shop) == []
    assert await notices.tell([failing(shop, old.version)]) == []
    [again] = await known(shop)
    assert again.version > new.version


async def test_letters_wait_for_each_recipient_until_they_are_handed_over(shop: Shop) -> None:
    notices = shop.engine.notices
    letters = [Letter(ADA, 1, b"1"), Letter(OPS, 0, b"1"), Letter(ADA, 1, b"2")]
    await notices.tell([failing(shop, 0, *letters)])

    found = await notices.letters(ADA, 1)
    names = await notices.recipients()
    await notices.handed([found[0].id])

    assert found == [Letter(ADA, 1, b"1", found[0].id)]
    assert sorted(names) == [ADA, OPS]
    assert await waiting(shop) == [b"2"]
    assert await waiting(shop, OPS) == [b"1"]
    await notices.handed([letter.id for letter in await notices.letters(ADA, 9)])
    assert await notices.recipients() == [OPS]


async def test_only_the_newest_wait_for_one(shop: Shop) -> None:
    letters = [Letter(ADA, 1, b"%d" % n) for n in range(LETTERS_KEPT + 3)]

    await shop.engine.notices.tell([failing(shop, 0, Letter(OPS, 0, b"kept"), *letters)])

    assert await waiting(shop) == [b"%d" % n for n in range(3, LETTERS_KEPT + 3)]
    assert await waiting(shop, OPS) == [b"kept"]


async def test_one_hands_over_until_its_lease_ends(shop: Shop) -> None:
    async def hold(owner: str) -> bool:
        return await shop.engine.notices.hold(owner, lease_s=LEASE_S)

    taken = [await hold("w1"), await hold("w2")]
    await shop.later(LEASE_S / 2)
    renewed = [await hold("w1")]
    await shop.later(LEASE_S - 1)
    held = [await hold("w2")]
    await shop.later(1)
    over = [await hold("w2"), await hold("w1")]
    await shop.engine.notices.release("w1")
    of_another = [await hold("w1")]
    await shop.engine.notices.release("w2")
    released = [await hold("w1")]

    assert taken == [True, False]
    assert (renewed, held, over) == ([True], [False], [True, False])
    assert (of_another, released) == ([False], [True])


async def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_off(shop: Shop) -> None:
    await shop.engine.notices.hold("w1", lease_s=LEASE_S)
    await shop.later(-2 * 86_400)

    is_held = await shop.engine.notices.hold("w2", lease_s=LEASE_S)

    assert is_held
