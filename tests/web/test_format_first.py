"""The form of a webhook asks for the format first, and no tick means anything in another one."""

import re

import pytest

from tests.api.service import URL
from tests.web.filling import changed, fields
from tests.web.visiting import Browser, House, open_house

SIX = ["delivered", "undelivered", "opened", "clicked", "spam_by_user", "unsubscribed"]
FORMS = ("/webhooks/new", "/settings/api")
RUSSIAN = {"accept-language": "ru"}


def pressed(text: str) -> list[str]:
    """Return the formats that a page shows as chosen."""
    return re.findall(r'name="format" value="([a-z-]+)"[^>]*aria-pressed="true"', text)


async def types_of(house: House) -> set[str]:
    newest = max(house.service.desk.directory.known.webhooks.values(), key=lambda each: each.id)
    return set(map(str, newest.types or ()))


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_without_scripts_subscribes_to_what_the_format_offers(
    house: House, ada: Browser, path: str
) -> None:
    action = path if path == FORMS[0] else path + "#new"
    typed = changed(fields(await ada.get(path), action), {"url": URL, "format": "sendpulse"})
    text = await ada.send(path, **typed)
    untouched = changed(fields(text, action), {})

    await ada.send(path, **untouched)

    assert untouched["types"] == SIX
    assert untouched["url"] == [URL]
    assert await types_of(house) == {
        "delivered", "soft_bounce", "hard_bounce", "dropped", "failed", "open", "click",
        "spam_report", "unsubscribe",
    }  # fmt: skip


async def test_the_format_is_asked_before_everything_else(ada: Browser) -> None:
    text = await ada.get("/settings/api", headers=RUSSIAN)
    form = text[text.index('class="webhook-form"') :]

    places = [form.index(f'id="{name}"') for name in ("dialect", "url", "types", "api_user")]
    assert places == sorted(places)


async def test_further_events_are_folded_and_unticked_until_one_is_chosen(
    house: House, ada: Browser
) -> None:
    text = await ada.get("/webhooks/new?dialect=sendpulse")
    folded = text[text.index('<details class="further">') :].partition("</details>")[0]
    await ada.send("/webhooks/new", url=URL, dialect="sendpulse", types=[*SIX, "resubscribed"])

    later = await ada.get("/webhooks/1/settings")

    assert re.findall(r'value="(\w+)"', folded) == ["resubscribed"] and "checked" not in folded
    assert '<details class="further" open>' in later


async def test_ticks_of_another_format_are_refused_and_not_left_out(
    house: House, ada: Browser
) -> None:
    await ada.get("/webhooks/new")

    text = await ada.send(
        "/webhooks/new", url=URL, dialect="sendpulse", types=["delivered", "open", "click"]
    )

    assert ada.status == 422
    assert "click, open: not an event of SendPulse SMTP" in text
    assert not house.service.desk.directory.known.webhooks


async def test_an_account_begins_with_the_format_of_its_newest_webhook(
    house: House, ada: Browser
) -> None:
    first = await ada.get("/webhooks/new")
    await house.service.webhook(dialect="engagelab")
    await house.service.webhook(user="bob", dialect="sendpulse-bulk")

    second, third = await ada.get("/webhooks/new"), await ada.get("/settings/api")

    assert [pressed(each) for each in (first, second, third)] == [
        ["native"], ["engagelab"], ["engagelab"],
    ]  # fmt: skip


async def test_an_account_without_a_webhook_begins_with_the_installations_format() -> None:
    async with open_house(default_dialect="sendpulse") as house:
        text = await (await house.visitor()).get("/settings/api")

    assert pressed(text) == ["sendpulse"]


async def test_enter_in_a_field_saves_and_asks_for_no_other_format(ada: Browser) -> None:
    text = await ada.get("/webhooks/new")
    form = text[text.index('class="webhook-form"') :]

    (first, *_) = re.findall(r"<button[^>]*>", form)

    assert "name=" not in first
