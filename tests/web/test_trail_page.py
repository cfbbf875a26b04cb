"""The page of the audit trail: an account's own, and the installation's for operators."""

import re

from postbell.ports import TrailQuery
from tests.web.visiting import ADA, OPAL, Browser, House

PATH = "/settings/trail"


async def test_the_newest_change_is_the_answer_and_opens_what_it_was_and_is(
    house: House, ada: Browser
) -> None:
    webhook = await house.service.webhook()
    await house.service.call("PATCH", f"/api/v1/webhooks/{webhook['id']}", json={"types": ["open"]})

    text = await ada.get(PATH)

    assert "The newest change, now: key of alice changed the webhook." in text
    assert "https://hooks.example.com/***" in ada.page.text
    assert '<th class="mono">types</th>' in text
    assert ">open</td>" in text


async def test_what_a_person_does_is_listed_by_e_mail_and_address(
    house: House, ada: Browser
) -> None:
    await ada.get("/settings/account")
    await ada.send("/settings/account", language="fr", time_zone="", wants_notices="on")
    await ada.get("/settings/account")
    await ada.send("/settings/account", language="en", time_zone="", wants_notices="on")

    text = await ada.get(PATH + "?actor=" + ADA + "&action=owner.changed")

    assert text.count('class="case"') == 2
    assert f"{ADA} changed a user" in text
    assert "<code>198.51.100.7</code>" in text


async def test_an_operators_look_is_seen_by_the_account_without_a_name(
    house: House, ada: Browser
) -> None:
    opal = await house.visitor(OPAL)
    await opal.get("/operator")
    await opal.send(f"/operator/look/{house.service.acme}")
    await opal.get("/webhooks")

    text = await ada.get(PATH + "?action=account.viewed")
    seen = await opal.get(PATH + "?action=account.viewed")

    assert text.count('class="case"') == 1
    assert "operator looked into the account" in text
    assert OPAL not in text
    assert f"operator {OPAL}" in seen


async def test_only_operators_see_the_installations(house: House, ada: Browser) -> None:
    opal = await house.visitor(OPAL)

    refused = await ada.get("/operator/trail")
    text = await opal.get("/operator/trail")

    assert ada.status == 404 and "There is no such page" in refused
    assert "beta ·" in text and "acme ·" in text


async def test_filters_stand_in_the_address_and_a_wrong_one_is_said(ada: Browser) -> None:
    await ada.get(PATH + "?since=2026-11-20T10:00")
    shared = ada.path
    text = await ada.get(PATH + "?since=tomorrow")
    nothing = await ada.get(PATH + "?subject=webhook:99")

    assert shared == PATH + "?since=2026-11-20T10%3A00%3A00Z"
    assert 'id="since-error"' in text
    assert "Nothing that fits was changed." in nothing


async def test_what_a_customer_writes_stays_text(house: House, ada: Browser) -> None:
    await house.service.desk.create_api_user("acme", "<b>&'\"")

    await ada.get(PATH)

    assert "<b>&" not in ada.page.text
    assert "&lt;b&gt;&amp;" in ada.page.text


async def test_wrong_passwords_and_a_lock_are_kept_but_not_without_end(
    house: House, ada: Browser
) -> None:
    stranger = house.browser(address="203.0.113.5")
    for _ in range(14):
        await stranger.sign_in(ADA, "wrong")

    text = await ada.get(PATH + "?actor=guest")

    assert stranger.status == 429
    assert text.count('<span class="did">gave a wrong password') == 5
    assert text.count('<span class="did">tried to sign in too often') == 1
    assert "<code>203.0.113.5</code>" in text


async def test_a_stranger_who_tries_many_addresses_writes_nothing(house: House) -> None:
    stranger = house.browser(address="203.0.113.5")
    before = await house.service.engine.trail.entries(TrailQuery())

    for number in range(40):
        await stranger.sign_in(f"nobody{number}@acme.example", "wrong")

    assert stranger.status == 429
    assert await house.service.engine.trail.entries(TrailQuery()) == before


async def test_a_full_page_is_small_and_leads_to_the_next(house: House, ada: Browser) -> None:
    webhook = await house.service.webhook()
    for number in range(1, 40):
        policy = {"max_events": number, "max_wait_s": number, "timeout_s": number}
        await house.service.call(
            "PATCH", f"/api/v1/webhooks/{webhook['id']}", json={"policy": policy}
        )

    text = await ada.get(PATH)
    size_bytes = len(ada.page.content)
    following = re.findall(r'href="([^"]+)">Next page', text)
    first = re.findall(r'id="e([0-9]+)"', text)
    text = await ada.get(following[0])
    second = re.findall(r'id="e([0-9]+)"', text)

    assert len(first) == 30
    assert 20_000 < size_bytes < 50_000
    assert int(second[0]) == int(first[-1]) - 1
    assert "First page" in text
