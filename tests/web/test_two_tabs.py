"""One form in two tabs: both changes are kept, or what collides is said and nothing is lost."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.records import Owner, Webhook
from tests.api.service import URL, Service
from tests.web.filling import changed, fields
from tests.web.visiting import ADA, Browser, House

SETTINGS = "/webhooks/1/settings"
ACCOUNT = "/settings/account"
SECRETS = "/webhooks/1/secrets"

Typed = dict[str, str | list[str]]


class Tab(Browser):
    """A tab of somebody's browser, with one form open."""

    action = ""

    @classmethod
    async def open(cls, browser: Browser, path: str) -> "Tab":
        tab = cls(browser.client)
        tab.action = path
        await tab.get(path)
        return tab

    async def save(self, typed: Typed) -> str:
        """Type into the open form and save it as a browser does."""
        sent = changed(fields(self.page.text, self.action), typed)
        self.page = await self.client.post(self.action, data=sent, follow_redirects=True)
        return self.text

    def shows(self, name: str) -> list[str]:
        return [value for key, value in fields(self.page.text, self.action) if key == name]


def error_beside(text: str, name: str) -> str:
    found = re.search(rf'id="{re.escape(name)}-error">([^<]+)<', text)
    return found[1] if found else ""


@pytest.fixture
async def webhook(house: House) -> Webhook:
    await house.service.webhook(
        policy={"max_events": 250, "retry_waits_s": [5, 120]}, headers={"X-Token": "hush"}
    )
    return await house.service.desk.find_webhook(None, 1)


async def settings(service: Service) -> dict[str, Any]:
    stored = await service.desk.find_webhook(None, 1)
    return {
        "url": stored.url,
        "types": sorted(map(str, stored.types or ())),
        "dialect": stored.dialect,
        "api_user": stored.api_user,
        "headers": dict(stored.headers),
        **{f"policy.{name}": value for name, value in stored.policy.items()},
        **{f"options.{name}": value for name, value in stored.options.items()},
    }


CHANGES: dict[str, tuple[Typed, Typed, Any, str]] = {
    "url": ({"url": URL + "/a"}, {"url": URL + "/b"}, URL + "/a", URL + "/b"),
    "types": ({"types": ["open"]}, {"types": ["click", "open"]}, ["open"], "click open"),
    "api_user": ({"api_user": "alice"}, {"api_user": "all"}, "alice", ""),
    "dialect": (
        {"dialect": "engagelab", "types": ["click"], "policy.max_events": ""},
        {"dialect": "sendpulse", "types": ["opened"]},
        "engagelab",
        "SendPulse SMTP",
    ),
    "headers": (
        {"headers": "X-Token: mine"},
        {"headers": "X-Token: theirs\r\nX-More: 1"},
        {"X-Token": "mine"},
        "X-Token: theirs · X-More: 1",
    ),
    "policy.max_events": (
        {"policy.max_events": "300"},
        {"policy.max_events": ""},
        300,
        "as the default",
    ),
    "policy.timeout_s": ({"policy.timeout_s": "3"}, {"policy.timeout_s": "4"}, 3, "4"),
    "policy.ordered": (
        {"policy.ordered": "true"},
        {"policy.ordered": "false"},
        True,
        "false",
    ),
    "policy.retry_waits_s": (
        {"policy.retry_waits_s": "7s"},
        {"policy.retry_waits_s": "1h"},
        (7.0,),
        "1h",
    ),
}
"""What one tab types, what the other types, what the first means, and how the other's is shown."""

INDEPENDENT = [name for name in CHANGES if name not in ("dialect", "api_user")]


@pytest.mark.parametrize("mine", INDEPENDENT)
@pytest.mark.parametrize("theirs", INDEPENDENT)
async def test_different_fields_of_a_webhook_are_both_kept(
    house: House, ada: Browser, webhook: Webhook, mine: str, theirs: str
) -> None:
    if mine == theirs:
        return
    first, second = await Tab.open(ada, SETTINGS), await Tab.open(ada, SETTINGS)
    before = await settings(house.service)
    await first.save(CHANGES[mine][0])

    await second.save(CHANGES[theirs][0])

    after = await settings(house.service)
    wanted = before | {name: CHANGES[name][2] for name in (mine, theirs)}
    assert second.status == 200
    assert after == wanted


@pytest.mark.parametrize("field", [name for name in CHANGES if name != "api_user"])
async def test_the_same_field_of_a_webhook_collides_and_nothing_typed_is_lost(
    house: House, ada: Browser, webhook: Webhook, field: str
) -> None:
    mine, theirs, meant, shown = CHANGES[field]
    first, second = await Tab.open(ada, SETTINGS), await Tab.open(ada, SETTINGS)
    other = "policy.keep_parked_days" if field != "policy.keep_parked_days" else "url"
    await first.save(theirs | {"policy.rate_per_s": "11"})
    stored = await settings(house.service)

    text = await second.save(mine | {other: "9"})

    assert second.status == 409
    assert "somebody changed the same meanwhile" in text and "Save all the same" in text
    assert f"Stored meanwhile: {shown}." in error_beside(text, field)
    assert await settings(house.service) == stored
    assert second.shows(other) == ["9"] and second.shows("policy.rate_per_s") == ["11"]

    await second.save({})

    after = await settings(house.service)
    assert second.status == 200
    assert after[field] == meant
    assert (after[other], after["policy.rate_per_s"]) == (9, 11)


async def test_options_are_merged_one_by_one(house: House, ada: Browser) -> None:
    await house.service.webhook(dialect="sendpulse")
    tabs = [await Tab.open(ada, SETTINGS) for _ in range(3)]
    await tabs[0].save({"options.bounces": "bounces"})
    await tabs[1].save({"options.profile": "current"})

    text = await tabs[2].save({"options.bounces": "both"})

    after = await settings(house.service)
    assert (after["options.bounces"], after["options.profile"]) == ("bounces", "current")
    assert tabs[2].status == 409
    assert "Stored meanwhile: bounces." in error_beside(text, "options.bounces")
    assert tabs[2].shows("options.profile") == ["current"]


async def test_the_same_change_from_two_tabs_is_no_collision(
    house: House, ada: Browser, webhook: Webhook
) -> None:
    first, second = await Tab.open(ada, SETTINGS), await Tab.open(ada, SETTINGS)
    await first.save({"url": URL + "/a"})

    await second.save({"url": URL + "/a", "policy.max_events": "9"})

    assert second.status == 200
    assert (await settings(house.service))["policy.max_events"] == 9


async def test_saving_all_the_same_collides_with_what_came_after_the_look(
    house: House, ada: Browser, webhook: Webhook
) -> None:
    tabs = [await Tab.open(ada, SETTINGS) for _ in range(3)]
    await tabs[0].save({"url": URL + "/first"})
    await tabs[1].save({"url": URL + "/second"})
    await tabs[2].save({"url": URL + "/third"})
    await tabs[2].save({})

    text = await tabs[1].save({})

    assert tabs[1].status == 409
    assert f"Stored meanwhile: {URL}/third." in error_beside(text, "url")
    assert tabs[1].shows("url") == [URL + "/second"]


async def test_a_field_to_mend_does_not_lose_what_the_other_tab_stored(
    house: House, ada: Browser, webhook: Webhook
) -> None:
    first, second = await Tab.open(ada, SETTINGS), await Tab.open(ada, SETTINGS)
    await first.save({"url": URL + "/a"})
    text = await second.save({"policy.timeout_s": "soon"})

    assert second.status == 422 and "write digits" in text
    await second.save({"policy.timeout_s": "3"})

    after = await settings(house.service)
    assert (after["url"], after["policy.timeout_s"]) == (URL + "/a", 3)


async def test_choosing_another_payload_keeps_what_the_form_was_made_from(
    house: House, ada: Browser, webhook: Webhook
) -> None:
    first, second = await Tab.open(ada, SETTINGS), await Tab.open(ada, SETTINGS)
    await second.save({"format": "sendpulse"})
    await first.save({"url": URL + "/a", "policy.max_events": "300"})

    await second.save({})

    after = await settings(house.service)
    assert second.status == 200
    assert (after["dialect"], after["url"]) == ("sendpulse", URL + "/a")
    assert after["policy.max_events"] == 300


class Meanwhile:
    """A registry in which somebody else stores another URL just before ours, once."""

    def __init__(self, service: Service) -> None:
        self._registry = service.engine.registry
        self._is_done = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._registry, name)

    async def set_webhook(
        self, webhook: Webhook, *, expect: Webhook | None = None, is_url_unique: bool = False
    ) -> Webhook:
        if not self._is_done:
            self._is_done = True
            present = await self._registry.webhook(webhook.id)
            assert present is not None
            await self._registry.set_webhook(replace(present, url=URL + "/theirs"))
        return await self._registry.set_webhook(webhook, expect=expect, is_url_unique=is_url_unique)


@pytest.mark.parametrize(
    ("typed", "status"), [({"policy.timeout_s": "3"}, 200), ({"url": URL + "/mine"}, 409)]
)
async def test_what_is_stored_between_the_look_and_the_write_is_merged_too(
    house: House, ada: Browser, webhook: Webhook, typed: Typed, status: int
) -> None:
    tab = await Tab.open(ada, SETTINGS)
    house.service.engine.registry = Meanwhile(house.service)  # type: ignore[assignment]

    await tab.save(typed)

    after = await settings(house.service)
    assert tab.status == status
    assert after["url"] == URL + "/theirs"
    assert after.get("policy.timeout_s") == (3 if status == 200 else None)


async def test_a_base_that_is_not_ours_is_refused(ada: Browser, webhook: Webhook) -> None:
    tab = await Tab.open(ada, SETTINGS)

    await tab.save({"base": '{"url": 1}'})

    assert tab.status == 422


async def owner(house: House) -> Owner:
    return await house.service.desk.find_owner(ADA)


async def test_preferences_of_two_tabs_are_both_kept(house: House, ada: Browser) -> None:
    first, second = await Tab.open(ada, ACCOUNT), await Tab.open(ada, ACCOUNT)
    third = await Tab.open(ada, ACCOUNT)
    await first.save({"language": "en"})
    await second.save({"time_zone": "Asia/Tokyo"})

    await third.save({"wants_notices": []})

    found = await owner(house)
    assert (found.language, found.time_zone, found.wants_notices) == ("en", "Asia/Tokyo", False)


@pytest.mark.parametrize(
    ("field", "theirs", "mine", "shown"),
    [
        ("time_zone", "Asia/Tokyo", "Europe/Paris", "Asia/Tokyo"),
        ("language", "en", "fr", "English"),
    ],
)
async def test_one_preference_from_two_tabs_collides(
    house: House, ada: Browser, field: str, theirs: str, mine: str, shown: str
) -> None:
    first, second = await Tab.open(ada, ACCOUNT), await Tab.open(ada, ACCOUNT)
    await first.save({field: theirs})

    text = await second.save({field: mine, "wants_notices": []})

    assert second.status == 409
    assert f"Stored meanwhile: {shown}." in error_beside(text, field)
    assert second.shows(field) == [mine] and second.shows("wants_notices") == []
    assert getattr(await owner(house), field) == theirs

    await second.save({})

    found = await owner(house)
    assert (getattr(found, field), found.wants_notices) == (mine, False)


async def test_a_key_is_made_beside_those_that_the_page_showed_and_no_others(
    house: House, ada: Browser, webhook: Webhook
) -> None:
    first, second = await Tab.open(ada, SECRETS), await Tab.open(ada, SECRETS)
    await first.save({"overlap_h": "0"})
    made = (await house.service.desk.find_webhook(None, 1)).secrets

    text = await second.save({"overlap_h": "1", "secret": "whsec_" + "A" * 32})

    assert second.status == 409
    assert "somebody changed this meanwhile" in text
    assert second.shows("overlap_h") == ["1"] and second.shows("secret") == ["whsec_" + "A" * 32]
    assert (await house.service.desk.find_webhook(None, 1)).secrets == made

    await second.save({})

    assert second.status == 200
    assert len((await house.service.desk.find_webhook(None, 1)).secrets) > len(made)


@pytest.mark.parametrize("path", [SETTINGS, ACCOUNT, SECRETS])
@pytest.mark.parametrize("language", ["en", "fr", "ru"])
async def test_a_form_of_stored_values_says_what_it_was_rendered_from(
    ada: Browser, webhook: Webhook, path: str, language: str
) -> None:
    tab = Tab(ada.client)
    await tab.get(path, headers={"accept-language": language})

    assert "base" in dict(fields(tab.page.text, path))


async def test_a_replaced_key_is_not_replaced_again_by_a_tab_that_did_not_see_it(
    house: House, ada: Browser
) -> None:
    async def keys() -> list[Any]:
        users = await house.service.reports.api_users(house.service.acme)
        return [user.keys for user in users]

    tabs = [Tab(ada.client), Tab(ada.client)]
    for tab in tabs:
        text = await tab.get("/settings/api")
        [tab.action, *_] = re.findall(r'action="(/settings/api/keys/\d+/rotate[^"]*)"', text)
    await tabs[0].save({"overlap_h": "24"})
    after_the_first = await keys()

    text = await tabs[1].save({"overlap_h": "0"})

    assert tabs[1].status == 409
    assert "somebody changed this meanwhile" in text
    assert await keys() == after_the_first
