"""Where somebody is signed in: shown on a page, and ended from afar at once."""

import pytest

from tests.web.visiting import ADA, BOB, Browser, House, open_house

PATH = "/settings/account/sessions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


async def sign_in(house: House, email: str = ADA, *, agent: str, address: str) -> Browser:
    browser = house.browser(address=address, headers={"user-agent": agent})
    await browser.sign_in(email)
    assert browser.status == 200
    return browser


async def signed_in(browser: Browser) -> bool:
    await browser.get("/webhooks")
    return not browser.path.startswith("/login")


async def ids(house: House, email: str = ADA) -> list[str]:
    owner = await house.service.desk.find_owner(email)
    return [each.id for each in await house.service.desk.sessions_of(owner.id)]


async def test_sessions_show_browser_place_and_last_use_and_mark_this_one(house: House) -> None:
    await sign_in(house, agent=FIREFOX, address="2001:db8::7")
    house.service.clock.advance(7200)
    here = await sign_in(house, agent="curl/8", address="192.0.2.7")

    text = await here.get(PATH)

    first, second = (text.index(each) for each in ("192.0.2.7", "2001:db8::7"))
    assert "You are signed in with 2 browsers." in text
    assert "Firefox, Linux" in text
    assert "2\u00a0h ago" in text
    assert text.count(">this one<") == 1
    assert first < text.index("Firefox, Linux") < second
    assert "datetime=" in here.page.text


async def test_the_place_is_that_of_the_last_use(house: House) -> None:
    here, phone = await house.visitor(), await sign_in(house, agent="x", address="192.0.2.7")
    moved = house.browser(address="203.0.113.9", cookies=dict(phone.client.cookies))
    await moved.get("/webhooks")

    text = await here.get(PATH)

    assert "203.0.113.9" in text
    assert "192.0.2.7" not in text


async def test_a_hostile_browser_is_shown_by_no_word_of_its_own(house: House) -> None:
    hostile = "<img src=x onerror=alert(1)> \x1b[31m Firefox/1 " + "A" * 5000
    browser = await sign_in(house, agent=hostile, address="192.0.2.7")

    text = await browser.get(PATH)

    assert "onerror" not in text
    assert "AAAA" not in text
    assert "Firefox" in text


async def test_an_unknown_browser_is_called_so(house: House) -> None:
    browser = await sign_in(house, agent="x", address="192.0.2.7")

    assert "Unknown browser" in await browser.get(PATH)


async def test_signing_out_everywhere_else_ends_others_at_once(house: House) -> None:
    others = [await house.visitor() for _ in range(3)]
    bob, here = await house.visitor(BOB), await house.visitor()
    await here.get(PATH)

    text = await here.send(f"{PATH}/others/end")

    assert "You are signed out everywhere else." in text
    assert "You are signed in with this browser only." in text
    assert [await signed_in(each) for each in others] == [False] * 3
    assert await signed_in(bob)
    assert await signed_in(here)


async def test_signing_out_everywhere_ends_this_one_too(house: House) -> None:
    other, here = await house.visitor(), await house.visitor()
    await here.get(PATH)

    await here.send(f"{PATH}/all/end")

    assert here.path == "/login"
    assert "postbell_session" not in here.client.cookies
    assert [await signed_in(each) for each in (other, here)] == [False, False]


async def test_one_session_is_ended_by_its_id(house: House) -> None:
    other, here = await house.visitor(), await house.visitor()
    await here.get(PATH)
    (own,) = [each for each in await ids(house) if f"/{each}/end" not in here.text]
    (theirs,) = [each for each in await ids(house) if each != own]

    text = await here.send(f"{PATH}/{theirs}/end")

    assert "That browser is signed out." in text
    assert [await signed_in(each) for each in (other, here)] == [False, True]


@pytest.mark.parametrize("name", ["0" * 16, "..", "x" * 500, "others"])
async def test_ending_what_is_not_there_changes_nothing(house: House, name: str) -> None:
    here = await house.visitor()
    await here.get(PATH)

    await here.send(f"{PATH}/{name}/end")

    assert await signed_in(here)


async def test_nobody_ends_a_session_of_somebody_else(house: House) -> None:
    ada, bob = await house.visitor(), await house.visitor(BOB)
    (adas,) = await ids(house)
    await bob.get(PATH)

    await bob.send(f"{PATH}/{adas}/end")

    assert bob.status == 404
    assert await signed_in(ada)


async def test_the_page_holds_no_digest_and_no_token(house: House, ada: Browser) -> None:
    owner = await house.service.desk.find_owner(ADA)
    (session,) = await house.service.engine.owners.sessions(owner.id)

    text = await ada.get(PATH)

    assert session.digest.hex() not in text
    assert ada.client.cookies["postbell_session"] not in text


async def test_an_idle_session_is_not_shown(house: House) -> None:
    await house.visitor()
    house.service.clock.advance(15 * 86_400)
    here = await house.visitor()

    text = await here.get(PATH)

    assert "this browser only" in text


async def test_a_session_from_a_time_far_ahead_is_over_until_then(house: House) -> None:
    house.service.clock.advance(86_400 * 30)
    browser = await house.visitor()
    house.service.clock.advance(-86_400 * 30)

    await browser.get(PATH)
    turned_away = browser.path
    house.service.clock.advance(86_400 * 30)
    await browser.get(PATH)

    assert turned_away.startswith("/login")
    assert browser.path == PATH


async def test_without_sign_in_there_are_no_sessions() -> None:
    async with open_house(sign_in=False) as house:
        browser = house.browser()

        await browser.get(PATH)

        assert browser.status == 404


async def test_the_account_page_leads_to_the_sessions(house: House) -> None:
    await house.visitor()
    here = await house.visitor()

    text = await here.get("/settings/account")

    assert "2 browsers are signed in." in text
    assert f'href="{PATH}"' in here.page.text
