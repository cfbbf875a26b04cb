"""Signing in and out: who gets in, how often one may try, what the cookies are like."""

import pytest

from postbell.desk.owners import ABSOLUTE_DAYS, IDLE_DAYS
from postbell.desk.throttle import RULES, WINDOW_S
from postbell.errors import ServiceError
from postbell.ports import WeakSetting
from tests.web.visiting import ADA, BOB, OPAL, PASSWORD, Browser, House, open_house

DAY_S = 86_400


async def test_a_page_asks_who_is_there_and_goes_on_to_it(house: House) -> None:
    browser = house.browser()

    await browser.get("/webhooks?after=0.0")
    asked = browser.path
    await browser.send("/login", email=ADA, password=PASSWORD, next="/webhooks?after=0.0")

    assert asked == "/login?next=%2Fwebhooks%3Fafter%3D0.0"
    assert browser.path == "/webhooks?after=0.0"
    assert browser.status == 200


async def test_an_address_is_taken_in_any_case(house: House) -> None:
    browser = house.browser()

    text = await browser.sign_in(f" {ADA.upper()} ")

    assert browser.status == 200
    assert ADA in text


@pytest.mark.parametrize(
    ("email", "password"),
    [(ADA, "wrong horse battery"), ("nobody@acme.example", PASSWORD), (ADA, ""), ("", PASSWORD)],
)
async def test_a_wrong_pair_says_the_same_and_keeps_the_address(
    house: House, email: str, password: str
) -> None:
    browser = house.browser()

    text = await browser.sign_in(email, password)

    assert browser.status == 422
    assert 'role="alert"' in text
    assert f'value="{email}"' in text
    assert (PASSWORD in text) is False
    assert "postbell_session" not in browser.client.cookies


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/\\\n"]
)
async def test_signing_in_never_leads_to_another_site(house: House, target: str) -> None:
    browser = house.browser()
    await browser.get("/login")

    await browser.send("/login", email=ADA, password=PASSWORD, next=target)

    assert browser.page.url.host == "postbell"
    assert browser.path == "/"


async def test_too_many_tries_for_an_address_are_refused_until_the_window_ends(
    house: House,
) -> None:
    browser = house.browser()
    for _ in range(RULES["sign-in"].by_pair):
        await browser.sign_in(ADA, "wrong horse battery")

    await browser.sign_in(ADA, PASSWORD)
    refused = browser.page
    house.service.clock.advance(WINDOW_S)
    await browser.sign_in(ADA, PASSWORD)

    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_S + 1
    assert browser.status == 200


async def test_strangers_do_not_lock_out_an_owner_who_was_here_before(house: House) -> None:
    ada = await house.visitor()
    await ada.send("/logout")
    for number in range(12):
        stranger = house.browser(address=f"203.0.113.{number}")
        for _ in range(RULES["sign-in"].by_pair):
            await stranger.sign_in(ADA, "wrong horse battery")
    elsewhere = house.browser(address="192.0.2.1", cookies=dict(ada.client.cookies))
    unknown = house.browser(address="192.0.2.2")

    await ada.sign_in()
    await elsewhere.sign_in()
    await unknown.sign_in()

    assert stranger.status == unknown.status == 429
    assert ada.status == elsewhere.status == 200


async def test_who_set_a_password_by_mail_is_no_stranger() -> None:
    async with open_house(can_mail=True, public_url="http://postbell") as house:
        browser = house.browser()
        await browser.get("/forgot")
        await browser.send("/forgot", email=ADA)
        ((_, _, text),) = house.mails
        link = next(word for word in text.split() if "/reset/" in word)
        await browser.get(link)
        await browser.send(link, password="an entirely new one")
        for number in range(12):
            stranger = house.browser(address=f"203.0.113.{number}")
            for _ in range(RULES["sign-in"].by_pair):
                await stranger.sign_in(ADA, "wrong horse battery")

        await browser.sign_in(ADA, "an entirely new one")

        assert stranger.status == 429
        assert browser.status == 200


async def test_one_client_may_not_try_many_addresses(house: House) -> None:
    browser, other = house.browser(), house.browser(address="198.51.100.8")
    for number in range(RULES["sign-in"].by_network):
        await browser.sign_in(f"user{number}@acme.example", "wrong horse battery")

    await browser.sign_in(ADA, PASSWORD)
    await other.sign_in(ADA, PASSWORD)

    assert browser.status == 429
    assert other.status == 200


async def test_signing_out_ends_the_session_for_a_copied_cookie_too(
    house: House, ada: Browser
) -> None:
    thief = house.browser(cookies=dict(ada.client.cookies))

    await ada.get("/webhooks")
    await ada.send("/logout")
    await thief.get("/webhooks")

    assert ada.path.startswith("/login")
    assert thief.path.startswith("/login")


async def test_a_session_ends_when_idle(house: House, ada: Browser) -> None:
    house.service.clock.advance(IDLE_DAYS * DAY_S - 60)
    await ada.get("/webhooks")
    still = ada.path
    house.service.clock.advance(IDLE_DAYS * DAY_S + 60)

    await ada.get("/webhooks")

    assert still == "/webhooks"
    assert ada.path.startswith("/login")


async def test_a_session_ends_when_old_however_busy(house: House, ada: Browser) -> None:
    for _ in range(ABSOLUTE_DAYS // 10):
        house.service.clock.advance(10 * DAY_S)
        await ada.get("/webhooks")
    last = ada.path
    house.service.clock.advance(DAY_S)

    await ada.get("/webhooks")

    assert last == "/webhooks"
    assert ada.path.startswith("/login")


async def test_only_a_hash_of_the_token_is_stored(house: House, ada: Browser) -> None:
    token = ada.client.cookies["postbell_session"]

    stored = house.service.engine.owners._tables.sessions

    assert len(token) >= 43
    assert len(stored) == 1
    assert token.encode() not in next(iter(stored))


async def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(house: House) -> None:
    browser = house.browser()
    await browser.get("/login")

    answer = await browser.client.post(
        "/login", data={"csrf": browser.token, "email": ADA, "password": PASSWORD}
    )

    (cookie,) = (c for c in answer.headers.get_list("set-cookie") if "session=" in c)
    assert cookie.startswith("postbell_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie


@pytest.mark.parametrize(
    ("base_url", "public_url"),
    [("https://postbell", ""), ("http://postbell", "https://postbell.example")],
)
async def test_with_tls_cookies_are_secure_and_bound_to_the_host(
    base_url: str, public_url: str
) -> None:
    async with open_house(base_url=base_url, public_url=public_url) as house:
        browser = house.browser()

        answer = await browser.client.get("/login")

    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-postbell_guest=")
    assert "Secure" in cookie
    assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_a_reset_by_mail_sets_a_new_password_once_and_ends_all_sessions() -> None:
    async with open_house(can_mail=True, public_url="http://postbell") as house:
        ada, browser = await house.visitor(), house.browser()
        await browser.get("/forgot")
        await browser.send("/forgot", email=ADA)
        ((to, _, text),) = house.mails
        link = next(word for word in text.split() if "/reset/" in word)
        await browser.get(link)
        await browser.send(link, password="an entirely new one")
        done = browser.path
        await ada.get("/webhooks")
        await browser.get(link)
        again = await browser.send(link, password="yet another new one")
        await browser.sign_in(ADA, "an entirely new one")

        assert to == ADA
        assert done == "/login"
        assert ada.path.startswith("/login")
        assert "used already" in again
        assert browser.path == "/"


@pytest.mark.parametrize(
    ("chosen", "browsers", "said"),
    [("ru", "fr", "Новый пароль"), ("", "fr", "Votre nouveau mot de passe"), ("", "", "Your new")],
)
async def test_the_link_is_mailed_in_the_persons_language(
    chosen: str, browsers: str, said: str
) -> None:
    async with open_house(can_mail=True, public_url="http://postbell") as house:
        desk = house.service.desk
        await desk.prefer(await desk.find_owner(ADA), language=chosen)
        browser = house.browser(headers={"accept-language": browsers})
        await browser.get("/forgot")

        await browser.send("/forgot", email=ADA)

        ((_, subject, text),) = house.mails
        assert said in subject
        assert "http://postbell/reset/" in text


async def test_a_reset_expires(house: House) -> None:
    begun = await house.service.desk.begin_reset(ADA)
    assert begun
    token, _ = begun
    house.service.clock.advance(3 * 3600)
    browser = house.browser()

    await browser.get(f"/reset/{token}")
    await browser.send(f"/reset/{token}", password="an entirely new one")

    assert browser.status == 422


async def test_asking_for_a_reset_tells_nothing_about_addresses() -> None:
    async with open_house(can_mail=True, public_url="http://postbell") as house:
        browser = house.browser()
        await browser.get("/forgot")
        known = await browser.send("/forgot", email=ADA)
        await browser.get("/forgot")
        unknown = await browser.send("/forgot", email="nobody@acme.example")

        assert known == unknown
        assert len(house.mails) == 1


async def test_a_link_never_has_the_host_that_a_request_claims() -> None:
    async with open_house(can_mail=True, base_url="http://evil.example") as house:
        browser = house.browser()
        await browser.get("/forgot")

        token = (await browser.get("/login")) and browser.token
        answer = await browser.client.post("/forgot", data={"csrf": token, "email": ADA})

        assert house.mails == []
        assert "postbell owners reset-password" in answer.text


@pytest.mark.parametrize(
    ("base_url", "status"),
    [
        ("http://evil.example", 421),
        ("http://127.0.0.1.evil.example", 421),
        ("http://postbell.example", 200),
        ("http://127.0.0.1:8025", 200),
        ("http://[::1]:8025", 200),
        ("http://localhost", 200),
    ],
)
async def test_without_sign_in_a_foreign_name_leads_nowhere(base_url: str, status: int) -> None:
    async with open_house(
        sign_in=False, base_url=base_url, public_url="http://postbell.example"
    ) as house:
        browser = house.browser()

        await browser.get("/webhooks")

        assert browser.status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "evil.example"},
        {"x-forwarded-host": "postbell.example, evil.example:80"},
        {"forwarded": 'for=198.51.100.7;host="evil.example"'},
    ],
)
async def test_without_sign_in_no_header_of_a_proxy_names_another_host(
    headers: dict[str, str],
) -> None:
    async with open_house(sign_in=False, public_url="http://postbell.example") as house:
        browser = house.browser()

        text = await browser.get("/webhooks", headers=headers)

        assert browser.status == 421
        assert "public_url or hosts" in text


async def test_the_operator_reads_of_a_proxy_that_is_not_named() -> None:
    async with open_house(sign_in=False, unnamed_proxy=lambda: "10.0.0.7") as house:
        text = await house.browser().get("/operator")

        assert "10.0.0.7" in text
        assert "trusted_proxies" in text


@pytest.mark.parametrize("is_sure", [True, False])
async def test_the_operator_reads_of_a_clock_that_jumped(is_sure: bool) -> None:
    async with open_house(sign_in=False) as house:
        house.service.clock.is_sure = is_sure
        text = await house.browser().get("/operator")

        assert ("The clock of this machine jumped" in text) is not is_sure


async def test_the_operator_reads_of_a_database_that_makes_less_durable() -> None:
    async with open_house(sign_in=False) as house:
        well = await house.browser().get("/operator")
        house.service.engine.weak.append(WeakSetting("fsync", "power can lose everything"))
        text = await house.browser().get("/operator")

        said = "On the database server fsync is off: events that were accepted can be lost"
        assert said in text
        assert said not in well


async def test_without_mail_the_page_names_the_operators_command(house: House) -> None:
    text = await house.browser().get("/forgot")

    assert "postbell owners reset-password" in text


async def test_an_operator_opens_every_account(house: House) -> None:
    await house.service.webhook()
    opal = await house.visitor(OPAL)

    listed = await opal.get("/operator")
    await opal.send(f"/operator/look/{house.service.acme}")
    webhooks = await opal.get("/webhooks/1")

    assert "acme" in listed and "beta" in listed
    assert opal.status == 200
    assert "hooks.example.com" in webhooks


async def test_others_have_no_operators_page(house: House) -> None:
    bob = await house.visitor(BOB)

    await bob.get("/operator")
    seen = bob.status
    token = (await bob.get("/settings/account")) and bob.token
    answer = await bob.client.post(
        f"/operator/look/{house.service.acme}", data={"csrf": token}, follow_redirects=False
    )

    assert seen == 404
    assert answer.status_code == 404


async def test_with_sign_in_off_everybody_is_an_operator() -> None:
    async with open_house(sign_in=False) as house:
        browser = house.browser()
        first = await browser.get("/webhooks")
        await browser.get("/operator")
        await browser.send(f"/operator/look/{house.service.accounts['beta'].id}")
        second = await browser.get("/webhooks")
        login = await browser.get("/login")

        assert "<summary><span>acme</span>" in first
        assert "<summary><span>beta</span>" in second
        assert browser.path == "/"
        assert "beta" in login


async def test_a_mail_that_cannot_be_sent_changes_nothing_in_the_answer() -> None:
    async def fail(to: str, subject: str, text: str) -> None:
        raise ServiceError("the mail server is away")

    async with open_house(can_mail=True, public_url="http://postbell") as house:
        object.__setattr__(house.site, "send_mail", fail)
        browser = house.browser()
        await browser.get("/forgot")

        text = await browser.send("/forgot", email=ADA)

        assert browser.status == 200
        assert "a link is on its way" in text
