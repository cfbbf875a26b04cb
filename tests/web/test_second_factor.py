"""A second factor on the pages: set up, asked for, recovered, turned off."""

import re

import pytest

from postbell.desk.second_factor import SETUP_MINUTES
from postbell.desk.throttle import RULES, WINDOW_S
from postbell.ports import HALF_LASTS, TrailQuery
from tests.web.proving import PATH, half_way, recovery_on, secret_on, set_up
from tests.web.visiting import ADA, BOB, OPAL, PASSWORD, Browser, House, open_house

NEW = "an entirely new one"


async def signed_in(browser: Browser) -> bool:
    await browser.get("/webhooks")
    return browser.path == "/webhooks"


async def test_setting_up_takes_the_password_a_picture_and_a_first_code(
    house: House, ada: Browser
) -> None:
    before = await ada.get(PATH)
    begun = await ada.send(f"{PATH}/begin", present=PASSWORD)
    secret = secret_on(begun)
    authenticator, _ = await set_up(house, ada)

    after = await ada.get(PATH)

    assert "Your password alone signs you in." in before
    assert len(secret) == 32
    assert "Signing in takes your password and a one-time code." in after
    assert "10 left" in after
    assert secret not in after
    assert secret_on(begun) != authenticator


async def test_the_picture_is_an_inline_svg_without_styles_or_scripts(
    house: House, ada: Browser
) -> None:
    await ada.get(PATH)
    await ada.send(f"{PATH}/begin", present=PASSWORD)

    page = ada.page
    (svg,) = re.findall(r'<svg[^>]*class="qr".*?</svg>', page.text, re.DOTALL)
    assert "style" not in svg
    assert "script" not in svg
    assert "http" not in svg
    assert page.headers["cache-control"] == "no-store"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert len(page.content) < 50_000


async def test_a_wrong_password_begins_nothing(house: House, ada: Browser) -> None:
    await ada.get(PATH)

    text = await ada.send(f"{PATH}/begin", present="wrong horse battery")

    assert ada.status == 422
    assert "not your present password" in text
    assert "otpauth" not in text


async def test_a_wrong_first_code_shows_the_picture_again(house: House, ada: Browser) -> None:
    await ada.get(PATH)
    secret = secret_on(await ada.send(f"{PATH}/begin", present=PASSWORD))

    text = await ada.send(f"{PATH}/confirm", code="12345")

    assert ada.status == 422
    assert "The code is wrong" in text
    assert secret_on(text) == secret
    assert not await house.service.desk.has_second_factor(1)


async def test_the_secret_is_shown_to_who_typed_the_password_only(
    house: House, ada: Browser
) -> None:
    await ada.get(PATH)
    await ada.send(f"{PATH}/begin", present=PASSWORD)

    text = await ada.get(PATH)

    assert "otpauth" not in text


async def test_a_setting_up_ends_with_its_time(house: House, ada: Browser) -> None:
    await ada.get(PATH)
    await ada.send(f"{PATH}/begin", present=PASSWORD)
    house.service.clock.advance(SETUP_MINUTES * 60)

    await ada.send(f"{PATH}/confirm", code="123456")

    assert ada.status == 409


async def test_turning_it_on_ends_every_other_session(house: House, ada: Browser) -> None:
    other, bob = await house.visitor(), await house.visitor(BOB)

    await set_up(house, ada)

    assert [await signed_in(each) for each in (ada, other, bob)] == [True, False, True]


async def test_a_password_alone_opens_no_page(house: House, ada: Browser) -> None:
    await set_up(house, ada)

    browser = await half_way(house)

    assert "postbell_session" not in browser.client.cookies
    assert not await signed_in(browser)


async def test_a_code_goes_on_to_the_page_that_was_asked_for(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    browser = house.browser()
    await browser.get("/webhooks?after=0.0")
    await browser.send("/login", email=ADA, password=PASSWORD, next="/webhooks?after=0.0")
    asked = browser.path
    back = re.search(r'name="next" value="([^"]+)"', browser.page.text)
    assert back

    await browser.send("/login/code", code=authenticator.next(), next=back[1])

    assert asked == "/login/code?next=%2Fwebhooks%3Fafter%3D0.0"
    assert browser.path == "/webhooks?after=0.0"
    assert "postbell_half" not in browser.client.cookies


async def test_the_form_asks_for_a_one_time_code(house: House, ada: Browser) -> None:
    await set_up(house, ada)

    text = (await half_way(house)).page.text

    assert 'autocomplete="one-time-code"' in text
    assert 'inputmode="numeric"' in text
    assert "autofocus" in text


async def test_a_code_signs_in_once(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    first, second = await half_way(house), await half_way(house)
    code = authenticator.next()
    await first.send("/login/code", code=code)

    text = await second.send("/login/code", code=code)

    assert await signed_in(first)
    assert "was used already" in text
    assert not await signed_in(second)


async def test_the_code_that_turned_it_on_signs_nobody_in(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    browser = await half_way(house)

    await browser.send("/login/code", code=authenticator.code())

    assert browser.status == 422


@pytest.mark.parametrize(
    ("steps", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
async def test_a_clock_may_be_one_step_off(
    house: House, ada: Browser, steps: int, is_taken: bool
) -> None:
    authenticator, _ = await set_up(house, ada)
    house.service.clock.advance(300)
    browser = await half_way(house)

    await browser.send("/login/code", code=authenticator.code(steps))

    assert await signed_in(browser) is is_taken


async def test_codes_are_limited_for_a_person_wherever_they_come_from(
    house: House, ada: Browser
) -> None:
    authenticator, _ = await set_up(house, ada)
    refused = 0
    for number in range(RULES["code"].by_subject):
        browser = await half_way(house, address=f"198.51.100.{number + 20}")
        await browser.send("/login/code", code=authenticator.wrong())
        refused += browser.status == 422
    browser = await half_way(house, address="198.51.100.90")

    await browser.send("/login/code", code=authenticator.next())
    limited = browser.page
    house.service.clock.advance(WINDOW_S)
    browser = await half_way(house, address="198.51.100.91")
    await browser.send("/login/code", code=authenticator.code())

    assert refused == RULES["code"].by_subject
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 0
    assert await signed_in(browser)


async def test_who_does_not_know_the_password_cannot_use_the_limit_up(
    house: House, ada: Browser
) -> None:
    authenticator, _ = await set_up(house, ada)
    stranger = house.browser(address="203.0.113.9")
    for _ in range(8):
        await stranger.sign_in(ADA, "wrong horse battery")
        await stranger.send("/login/code", code="123456")
    browser = await half_way(house)

    await browser.send("/login/code", code=authenticator.next())

    assert await signed_in(browser)


async def test_the_step_ends_after_five_minutes(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    browser = await half_way(house)
    house.service.clock.advance(HALF_LASTS.total_seconds())

    text = await browser.send("/login/code", code=authenticator.code())

    assert "This took too long" in text
    assert not await signed_in(browser)


async def test_without_a_right_password_before_there_is_no_second_step(house: House) -> None:
    browser = house.browser()

    await browser.get("/login/code")
    asked = browser.path
    await browser.send("/login/code", code="123456")

    assert asked == "/login"
    assert browser.status == 422


async def test_the_half_token_opens_nothing_else(house: House, ada: Browser) -> None:
    await set_up(house, ada)
    browser = await half_way(house)
    token = browser.client.cookies["postbell_half"]

    thief = house.browser(cookies={"postbell_session": token})

    assert not await signed_in(thief)


async def test_a_new_password_ends_what_the_old_one_began(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    browser = await half_way(house)
    await ada.get("/settings/account")
    await ada.send("/settings/account/password", present=PASSWORD, password=NEW)

    text = await browser.send("/login/code", code=authenticator.next())

    assert "This took too long" in text
    assert not await signed_in(browser)


async def test_a_reset_by_mail_does_not_skip_the_second_factor() -> None:
    async with open_house(can_mail=True, public_url="http://postbell") as house:
        ada, browser = await house.visitor(), house.browser()
        authenticator, _ = await set_up(house, ada)
        await browser.get("/forgot")
        await browser.send("/forgot", email=ADA)
        ((_, _, mail),) = house.mails
        link = next(word for word in mail.split() if "/reset/" in word)
        await browser.get(link)
        await browser.send(link, password=NEW)

        await browser.sign_in(ADA, NEW)
        asked = browser.path
        await browser.send("/login/code", code=authenticator.next())

        assert asked == "/login/code"
        assert await signed_in(browser)


async def test_signing_out_everywhere_ends_what_is_half_way(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    browser = await half_way(house)
    await ada.get("/settings/account/sessions")
    await ada.send("/settings/account/sessions/others/end")

    await browser.send("/login/code", code=authenticator.next())

    assert not await signed_in(browser)


async def test_a_recovery_code_signs_in_once_and_is_counted(house: House, ada: Browser) -> None:
    _, (code, *_) = await set_up(house, ada)
    first, second = await half_way(house), await half_way(house)
    link = re.search(r'href="([^"]+)">Use a recovery code', first.page.text)
    assert link
    await first.get(link[1])
    text = await first.send("/login/code?with=recovery", code=code.upper().replace("-", " "))

    again = await second.send("/login/code?with=recovery", code=code)

    assert "Sign out" in text
    assert await signed_in(first)
    assert "was used already" in again
    assert "9 left" in await first.get(PATH)


async def test_recovery_codes_are_shown_once_and_stored_as_hashes(
    house: House, ada: Browser
) -> None:
    _, codes = await set_up(house, ada)

    again = await ada.get(PATH)

    held = house.service.engine.second_factors._tables.factors[1]
    assert len(codes) == len(set(codes)) == 10
    assert not any(code in again for code in codes)
    assert all(len(digest) == 32 for digest in held.recovery)


async def test_new_recovery_codes_end_the_old_ones(house: House, ada: Browser) -> None:
    authenticator, (old, *_) = await set_up(house, ada)
    await ada.get(PATH)
    (new, *_) = recovery_on(
        await ada.send(f"{PATH}/recovery", renew_present=PASSWORD, renew_code=authenticator.next())
    )
    first, second = await half_way(house), await half_way(house)

    await first.send("/login/code?with=recovery", code=old)
    await second.send("/login/code?with=recovery", code=new)

    assert [await signed_in(each) for each in (first, second)] == [False, True]


@pytest.mark.parametrize(
    ("path", "prefix"), [(f"{PATH}/recovery", "renew"), (f"{PATH}/off", "off")]
)
async def test_changing_it_takes_the_password_and_an_unused_code(
    house: House, ada: Browser, path: str, prefix: str
) -> None:
    authenticator, _ = await set_up(house, ada)
    used = authenticator.code()
    await ada.get(PATH)
    tries = ((PASSWORD, used), (PASSWORD, ""), ("wrong horse battery", authenticator.next()))
    statuses = []
    for password, code in tries:
        await ada.send(path, **{f"{prefix}_present": password, f"{prefix}_code": code})
        statuses.append(ada.status)

    assert statuses == [422, 422, 422]
    assert await house.service.desk.has_second_factor(1)


async def test_turned_off_the_password_alone_signs_in_again(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    await ada.get(PATH)

    text = await ada.send(f"{PATH}/off", off_present=PASSWORD, off_code=authenticator.next())

    assert "The second factor is off." in text
    assert await signed_in(await house.visitor())


async def test_a_recovery_code_turns_it_off_where_the_phone_is_lost(
    house: House, ada: Browser
) -> None:
    _, (code, *_) = await set_up(house, ada)
    await ada.get(PATH)

    text = await ada.send(f"{PATH}/off", off_present=PASSWORD, off_code=code)

    assert "The second factor is off." in text


async def test_an_operators_reset_lets_the_password_sign_in_again(
    house: House, ada: Browser
) -> None:
    await set_up(house, ada)

    await house.service.desk.reset_second_factor(ADA)

    assert not await signed_in(ada)
    assert await signed_in(await house.visitor())


@pytest.mark.parametrize(
    ("setting", "must"), [("optional", ""), ("operators", OPAL), ("required", ADA)]
)
async def test_who_must_have_one_is_led_to_it_and_reaches_nothing_else(
    setting: str, must: str
) -> None:
    async with open_house(second_factor=setting) as house:
        for email in (ADA, BOB, OPAL):
            browser = house.browser()
            await browser.sign_in(email)
            is_led = setting == "required" or email == must

            assert browser.path == (PATH if is_led else "/")
            assert ("Set up a second factor to go on." in browser.text) is is_led


async def test_no_page_at_all_is_open_before_it_is_set_up() -> None:
    async with open_house(second_factor="required") as house:
        browser = house.browser()
        await browser.sign_in()
        token = browser.token
        open_paths = {"/login", "/login/code", "/logout", "/forgot", "/reset/{id}"}
        leads_in = {PATH, f"{PATH}/begin", f"{PATH}/confirm"}
        routes = [each for each in house.app.routes if not each.path.startswith("/static")]  # type: ignore[attr-defined]
        reached = set()
        for route in routes:
            path = route.path  # type: ignore[attr-defined]
            if path in open_paths:
                continue
            address = path.replace("{id}", "1")
            got = await browser.client.get(address)
            sent = await browser.client.post(address, data={"csrf": token})
            for answer in (got, sent):
                leads = answer.status_code == 303 and answer.headers["location"] == PATH
                if not (leads or answer.status_code == 405):
                    reached.add(path)

        assert len(routes) > 30
        assert reached == leads_in


async def test_once_it_is_set_up_everything_is_open() -> None:
    async with open_house(second_factor="required") as house:
        browser = house.browser()
        await browser.sign_in()

        authenticator, _ = await set_up(house, browser)
        here = await signed_in(browser)
        other = await half_way(house)
        await other.send("/login/code", code=authenticator.next())

        assert here
        assert await signed_in(other)


async def test_turned_off_where_it_is_required_leads_to_setting_it_up() -> None:
    async with open_house(second_factor="required") as house:
        browser = house.browser()
        await browser.sign_in()
        authenticator, _ = await set_up(house, browser)
        await browser.get(PATH)

        await browser.send(f"{PATH}/off", off_present=PASSWORD, off_code=authenticator.next())
        await browser.get("/webhooks")

        assert browser.path == PATH


async def test_who_is_led_to_it_can_sign_out() -> None:
    async with open_house(second_factor="required") as house:
        browser = house.browser()
        text = await browser.sign_in()

        await browser.send("/logout")

        assert 'action="/logout"' in text
        assert browser.path == "/login"


async def test_the_list_of_users_says_who_has_one(house: House, ada: Browser) -> None:
    await house.service.desk.create_owner(house.service.acme, "eve@acme.example", PASSWORD)
    await set_up(house, ada)

    text = (await ada.get("/settings/account")).partition("<tbody>")[2]

    assert re.findall(r'<td class="minor">(on|off)</td>', text) == ["on", "off"]


async def test_the_trail_tells_of_it_all_and_holds_no_code(house: House, ada: Browser) -> None:
    authenticator, (recovery, *_) = await set_up(house, ada)
    browser = await half_way(house)
    await browser.send("/login/code", code=authenticator.wrong())
    await browser.send("/login/code", code=authenticator.next())
    other = await half_way(house)
    await other.send("/login/code?with=recovery", code=recovery)
    await browser.get(PATH)
    await browser.send(f"{PATH}/recovery", renew_present=PASSWORD, renew_code=authenticator.next())
    await browser.get("/settings/account/sessions")
    await browser.send("/settings/account/sessions/others/end")
    await browser.get(PATH)
    await browser.send(f"{PATH}/off", off_present=PASSWORD, off_code=authenticator.next())

    found = await house.service.engine.trail.entries(TrailQuery(), limit=100)
    told = [(each.action, each.new) for each in reversed(found) if each.actor.face == "pages"]
    assert told == [
        ("owner.signed_in", {}),
        ("second_factor.begun", {}),
        ("second_factor.turned_on", {}),
        ("owner.sign_in_begun", {}),
        ("owner.code_refused", {}),
        ("owner.signed_in", {"by": "one-time code"}),
        ("owner.sign_in_begun", {}),
        ("owner.signed_in", {"by": "recovery code"}),
        ("second_factor.codes_renewed", {}),
        ("session.ended", {"sessions": 2}),
        ("second_factor.turned_off", {}),
    ]
    assert all(each.actor.name == ADA for each in found if each.action == "owner.signed_in")
