"""Who is signed out in mid form signs in, and finds what was typed; nothing was done meanwhile."""

import re
from datetime import timedelta

import pytest

from tests.api.service import URL
from tests.web.filling import changed, fields
from tests.web.proving import set_up
from tests.web.visiting import ADA, BOB, PASSWORD, Browser, House

TYPED = {
    "url": URL + "/typed?token=a%20b&c=d",
    "types": ["open", "click"],
    "policy.max_events": "77",
    "headers": "X-One: 1\r\nX-Two: b",
    "start": "oldest",
}


async def end_session(house: House) -> None:
    for owner in await house.service.engine.owners.of(house.service.acme):
        await house.service.desk.sign_out_everywhere(owner)


async def opened(browser: Browser, path: str) -> str:
    """Return a page as it came, entities and all."""
    await browser.get(path)
    return browser.page.text


async def go_on(browser: Browser) -> str:
    """Press the button of the page that brings a form back."""
    (action,) = re.findall(r'action="([^"]+)" data-again', browser.page.text)
    pairs = fields(browser.page.text, action)
    return await browser.send(action, **changed([p for p in pairs if p[0] != "csrf"], {}))


async def sign_in_again(browser: Browser, email: str = ADA) -> str:
    kept = dict(fields(browser.page.text, "/login"))
    await browser.send(
        "/login", email=email, password=PASSWORD, next=kept["next"], kept=kept.get("kept", "")
    )
    return browser.text


@pytest.mark.parametrize("path", ["/webhooks/new", "/settings/api"])
async def test_the_form_of_a_webhook_comes_back_as_typed(
    house: House, ada: Browser, path: str
) -> None:
    action = path if path == "/webhooks/new" else path + "#new"
    form = changed(fields(await opened(ada, path), action), TYPED)
    await end_session(house)

    asked = await ada.send(path, **form)
    await sign_in_again(ada)
    text = await go_on(ada)

    back = changed(fields(ada.page.text, action), {})
    assert "Sign in, and what you typed comes back." in asked
    assert "so nothing was done" in text
    assert {name: back[name] for name in TYPED} == {
        name: [value] if isinstance(value, str) else value for name, value in TYPED.items()
    }
    assert not house.service.desk.directory.known.webhooks
    await ada.send(path, **back)
    (webhook,) = house.service.desk.directory.known.webhooks.values()
    assert (webhook.url, webhook.policy) == (TYPED["url"], {"max_events": 77})


async def test_settings_come_back_and_are_merged_with_what_was_stored_meanwhile(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    path = "/webhooks/1/settings"
    form = changed(fields(await opened(ada, path), path), {"policy.max_events": "55"})
    await end_session(house)
    await house.service.desk.update_webhook(None, 1, {"url": URL + "/meanwhile"})

    await ada.send(path, **form)
    await sign_in_again(ada)
    await go_on(ada)
    back = changed(fields(ada.page.text, path), {})
    await ada.send(path, **back)

    webhook = await house.service.desk.find_webhook(None, 1)
    assert back["policy.max_events"] == ["55"]
    assert (webhook.url, webhook.policy) == (URL + "/meanwhile", {"max_events": 55})


async def test_preferences_and_names_come_back(house: House, ada: Browser) -> None:
    form = changed(
        fields(await opened(ada, "/settings/account"), "/settings/account"),
        {"time_zone": "Europe/Paris"},
    )
    await end_session(house)
    await ada.send("/settings/account", **form)
    await sign_in_again(ada)
    account = await go_on(ada)
    await end_session(house)
    await ada.get("/login")
    await ada.sign_in()
    await ada.get("/settings/api")
    await end_session(house)
    await ada.send("/settings/api/users", name="shop", scope="ingest")
    await sign_in_again(ada)
    keys = await go_on(ada)

    assert "<option selected>Europe/Paris</option>" in account
    assert 'value="shop"' in keys
    assert "shop" not in {user.name for user in await house.service.reports.api_users()}


async def test_a_button_is_not_pressed_by_itself_and_the_page_says_so(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1")
    await end_session(house)

    await ada.send("/webhooks/1/pause")
    await sign_in_again(ada)
    text = await go_on(ada)

    assert ada.path == "/webhooks/1"
    assert "Press again what you want done." in text
    assert (await house.service.desk.find_webhook(None, 1)).state == "active"


async def test_a_wrong_password_in_between_keeps_it(house: House, ada: Browser) -> None:
    form = changed(fields(await opened(ada, "/webhooks/new"), "/webhooks/new"), TYPED)
    await end_session(house)
    await ada.send("/webhooks/new", **form)
    kept = dict(fields(ada.page.text, "/login"))

    await ada.send("/login", email=ADA, password="wrong", next=kept["next"], kept=kept["kept"])
    await sign_in_again(ada)
    await go_on(ada)

    assert dict(fields(ada.page.text, "/webhooks/new"))["url"] == TYPED["url"]


async def test_it_does_not_come_back_to_another_account(house: House, ada: Browser) -> None:
    form = changed(fields(await opened(ada, "/webhooks/new"), "/webhooks/new"), TYPED)
    await end_session(house)
    await ada.send("/webhooks/new", **form)

    await sign_in_again(ada, BOB)
    text = await go_on(ada)

    assert ada.status == 403
    assert TYPED["url"] not in text


async def test_passwords_are_not_carried(house: House, ada: Browser) -> None:
    await ada.get("/settings/account")
    await end_session(house)

    await ada.send(
        "/settings/account/users", email="eve@acme.example", user_password="a good long secret"
    )
    asked = ada.page.text
    await sign_in_again(ada)

    assert "kept" in dict(fields(asked, "/login"))
    assert "good long" not in asked + ada.text
    assert 'value="eve@acme.example"' in await go_on(ada)


async def test_only_a_form_of_ours_is_kept(house: House, ada: Browser) -> None:
    await end_session(house)
    forged = await ada.client.post("/webhooks/new", data={"csrf": "x", "url": URL})
    stranger = house.browser()
    unknown = await stranger.client.post("/webhooks/new", data={"csrf": "x", "url": URL})

    assert (forged.status_code, unknown.status_code) == (303, 303)
    assert forged.headers["location"] == unknown.headers["location"] == "/login"


async def test_what_is_kept_is_bounded_and_rubbish_gives_nothing(
    house: House, ada: Browser
) -> None:
    await ada.get("/webhooks/new")
    await end_session(house)
    await ada.send("/webhooks/new", url=URL, headers="X: " + "y" * 40_000)
    kept = dict(fields(ada.page.text, "/login"))

    await ada.send("/login", email=ADA, password=PASSWORD, next="/", kept="no base64 é")

    assert "kept" not in kept
    assert ada.status == 200
    assert house.service.clock.now() - timedelta(days=1) < house.service.clock.now()


async def test_a_second_factor_in_between_keeps_it(house: House, ada: Browser) -> None:
    authenticator, _ = await set_up(house, ada)
    form = changed(fields(await opened(ada, "/webhooks/new"), "/webhooks/new"), TYPED)
    await end_session(house)
    await ada.send("/webhooks/new", **form)

    await sign_in_again(ada)
    (action,) = re.findall(r'action="(/login/code[^"]*)"', ada.page.text)
    kept = dict(fields(ada.page.text, action))
    wrong = await ada.send(action, code=authenticator.wrong(), next=kept["next"], kept=kept["kept"])
    kept = dict(fields(ada.page.text, action))
    await ada.send(action, code=authenticator.next(), next=kept["next"], kept=kept["kept"])
    await go_on(ada)

    assert 'id="code-error"' in wrong
    assert dict(fields(ada.page.text, "/webhooks/new"))["url"] == TYPED["url"]
