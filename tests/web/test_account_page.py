"""A person's own settings: language, time zone, notices, password; and who else signs in."""

import asyncio

import pytest

from tests.web.visiting import ADA, BOB, OPAL, PASSWORD, Browser, House, open_house

NEW = "an entirely new one"


async def test_language_zone_and_notices_are_kept(house: House, ada: Browser) -> None:
    await ada.get("/settings/account")

    text = await ada.send("/settings/account", language="fr", time_zone="Asia/Tokyo")

    owner = await house.service.desk.find_owner(ADA)
    assert (owner.language, owner.time_zone, owner.wants_notices) == ("fr", "Asia/Tokyo", False)
    assert '<html lang="fr"' in text
    assert "Asia/Tokyo" in text


@pytest.mark.parametrize(
    ("fields", "place"),
    [({"language": "xx"}, "language"), ({"time_zone": "Europe/Nowhere"}, "time_zone")],
)
async def test_an_unknown_choice_is_refused(
    ada: Browser, fields: dict[str, str], place: str
) -> None:
    await ada.get("/settings/account")

    text = await ada.send("/settings/account", **fields)

    assert ada.status == 422
    assert f'id="{place}-error"' in text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ru", "ru"),
        ("de-DE, fr;q=0.8, en;q=0.9", "en"),
        ("fr-CA", "fr"),
        ("de", "en"),
        ("", "en"),
        ("ru;q=0, fr;q=0.1", "fr"),
        ("fr;q=abc, ru", "fr"),
    ],
)
async def test_the_browsers_language_is_spoken(house: House, header: str, language: str) -> None:
    text = await house.browser().get("/login", headers={"accept-language": header})

    assert f'<html lang="{language}"' in text


async def test_times_are_in_the_browsers_zone_as_the_script_told(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    ada.client.cookies.set("postbell_zone", "Asia/Tokyo")
    told = await ada.get("/webhooks/1")
    ada.client.cookies.set("postbell_zone", "Not/AZone")
    lied = await ada.get("/webhooks/1")

    assert "Times are in Asia/Tokyo" in told
    assert "Times are in UTC" in lied


async def test_a_changed_password_ends_other_sessions_and_keeps_this_one(
    house: House, ada: Browser
) -> None:
    other = await house.visitor()
    await ada.get("/settings/account")

    await ada.send("/settings/account/password", present=PASSWORD, password=NEW)

    await other.get("/webhooks")
    fresh = house.browser()
    await fresh.sign_in(ADA, NEW)
    assert ada.path == "/settings/account"
    assert other.path.startswith("/login")
    assert fresh.path == "/"


@pytest.mark.parametrize(
    ("present", "password", "place"),
    [("wrong", NEW, "present"), (PASSWORD, "short", "password"), (PASSWORD, "a" * 12, "password")],
)
async def test_a_wrong_or_weak_password_changes_nothing(
    house: House, ada: Browser, present: str, password: str, place: str
) -> None:
    await ada.get("/settings/account")

    text = await ada.send("/settings/account/password", present=present, password=password)

    assert ada.status == 422
    assert f'id="{place}-error"' in text
    assert f'value="{password}"' not in text
    assert await house.service.desk.sign_in(ADA, PASSWORD)


async def test_users_of_the_account_are_added_and_removed(house: House, ada: Browser) -> None:
    await ada.get("/settings/account")
    await ada.send("/settings/account/users", email="eve@acme.example", user_password=NEW)
    eve = house.browser()
    await eve.sign_in("eve@acme.example", NEW)
    signed_in = eve.path
    owner = await house.service.desk.find_owner("eve@acme.example")

    await ada.send(f"/settings/account/users/{owner.id}/remove")
    await eve.get("/webhooks")

    assert signed_in == "/"
    assert "eve@acme.example" not in ada.text
    assert eve.path.startswith("/login")


async def test_one_cannot_remove_oneself_or_somebody_of_another_account(
    house: House, ada: Browser
) -> None:
    me = await house.service.desk.find_owner(ADA)
    bob = await house.service.desk.find_owner(BOB)
    await ada.get("/settings/account")
    token = ada.token

    own = await ada.client.post(f"/settings/account/users/{me.id}/remove", data={"csrf": token})
    other = await ada.client.post(f"/settings/account/users/{bob.id}/remove", data={"csrf": token})

    assert (own.status_code, other.status_code) == (409, 404)
    assert await house.service.desk.find_owner(BOB) == bob


async def test_an_operator_is_no_user_of_the_account(house: House) -> None:
    bob = await house.visitor(BOB)
    opal = await house.service.desk.find_owner(OPAL)

    text = await bob.get("/settings/account")
    await bob.send(f"/settings/account/users/{opal.id}/remove")

    assert opal.account_id == house.service.accounts["beta"].id
    assert OPAL not in text
    assert bob.status == 404
    assert await house.service.desk.find_owner(OPAL) == opal


async def test_two_who_remove_each_other_at_once_do_not_leave_the_account_empty(
    house: House, ada: Browser
) -> None:
    desk, acme = house.service.desk, house.service.acme
    eve = await desk.create_owner(acme, "eve@acme.example", NEW)
    me = await desk.find_owner(ADA)
    other = house.browser()
    await other.sign_in("eve@acme.example", NEW)
    for browser in (ada, other):
        await browser.get("/settings/account")

    await asyncio.gather(
        ada.send(f"/settings/account/users/{eve.id}/remove"),
        other.send(f"/settings/account/users/{me.id}/remove"),
    )

    assert len(await house.service.engine.owners.users(acme)) == 1


async def test_a_form_of_another_account_is_refused(house: House) -> None:
    opal = await house.visitor(OPAL)
    await opal.get("/settings/api")
    of_beta = {"csrf": opal.token, "at": str(house.service.accounts["beta"].id), "name": "shop"}
    await opal.get("/operator")
    await opal.send(f"/operator/look/{house.service.acme}")

    answer = await opal.client.post("/settings/api/users", data=of_beta)

    users = await house.service.reports.api_users(house.service.acme)
    assert answer.status_code == 403
    assert "shop" not in {user.name for user in users}


async def test_an_address_that_signs_in_elsewhere_is_refused(ada: Browser) -> None:
    await ada.get("/settings/account")

    text = await ada.send("/settings/account/users", email=BOB, user_password=NEW)

    assert ada.status == 409
    assert 'id="email-error"' in text


async def test_with_sign_in_off_there_is_nothing_to_set() -> None:
    async with open_house(sign_in=False) as house:
        browser = house.browser()

        text = await browser.get("/settings/account")

    assert browser.status == 200
    assert "Sign-in is switched off." in text
