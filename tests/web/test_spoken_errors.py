"""What goes wrong on a page is told in the language of who looks at it."""

import re
from typing import Any, NamedTuple

import pytest

from tests.web.visiting import ADA, BOB, PASSWORD, Browser, House

CYRILLIC = re.compile("[а-яё]")
SHOWN = re.compile(
    r'<p class="(?:error|lead|note bad)"[^>]*>([^<]+)<|<li><a href="#[^"]*">([^<]+)</a></li>'
)


class Mistake(NamedTuple):
    """What somebody does wrong: the page of the form, where it goes, what is in it."""

    name: str
    page: str
    path: str
    fields: dict[str, Any]


def form(**fields: Any) -> dict[str, Any]:
    return {"url": "https://app.example.com/hooks", "types": "open"} | fields


NEW = "/webhooks/new"
MISTAKES = (
    *(
        Mistake(name, NEW, NEW, form(**fields))
        for name, fields in {
            "no url": {"url": ""},
            "no scheme": {"url": "app.example.com"},
            "a space": {"url": "https://app.example.com/a b"},
            "a fragment": {"url": "https://app.example.com/#a"},
            "a letter": {"url": "https://пример.example/"},
            "a port": {"url": "https://app.example.com:99999/"},
            "a refused port": {"url": "https://app.example.com:25/"},
            "an inside address": {"url": "http://10.1.2.3/"},
            "an inside name": {"url": "http://localhost/"},
            "no events": {"types": []},
            "a number in words": {"policy__timeout_s": "soon"},
            "a number too high": {"policy__max_events": "100000"},
            "half an event": {"policy__max_events": "1.5"},
            "waits in words": {"policy__retry_waits_s": "later"},
            "waits too long": {"policy__retry_waits_s": "90d"},
            "a status": {"policy__success": "99"},
            "a header without colon": {"headers": "X-Token"},
            "a header of ours": {"headers": "Host: x"},
            "a header's letter": {"headers": "X-A: день"},
            "an api user": {"api_user": "mallory"},
            "a key": {"secret": "short"},
            "a key too short": {"secret": "whsec_YWJj"},
            "a payload": {"dialect": "nope"},
            "several events a request": {"dialect": "engagelab", "policy__max_events": "5"},
            "a key for nothing": {"dialect": "sendpulse", "secret": "whsec_YWJj"},
        }.items()
    ),
    Mistake("a name taken", "/settings/api", "/settings/api/users", {"name": "alice"}),
    Mistake("a name too long", "/settings/api", "/settings/api/users", {"name": "a" * 65}),
    Mistake("a name with a colon", "/settings/api", "/settings/api/users", {"name": "a:b"}),
    Mistake("all", "/settings/api", "/settings/api/users", {"name": "all"}),
    Mistake(
        "a wrong password", "/settings/account", "/settings/account/password",
        {"present": "wrong", "password": PASSWORD},
    ),
    Mistake(
        "a short password", "/settings/account", "/settings/account/password",
        {"present": PASSWORD, "password": "short"},
    ),
    Mistake(
        "a dull password", "/settings/account", "/settings/account/users",
        {"email": "eve@acme.example", "user_password": "aaaaaaaaaaaa"},
    ),
    Mistake(
        "an address taken", "/settings/account", "/settings/account/users",
        {"email": BOB, "user_password": PASSWORD},
    ),
    Mistake(
        "no address", "/settings/account", "/settings/account/users",
        {"email": "eve", "user_password": PASSWORD},
    ),
    Mistake("oneself", "/settings/account", "/settings/account/users/1/remove", {}),
    Mistake("a stranger", "/settings/account", "/settings/account/users/99/remove", {}),
    Mistake("no such webhook", "/settings/account", "/webhooks/99/pause", {}),
    Mistake("no such batch", "/settings/account", "/batches/bat_none/retry", {}),
    Mistake("no such test", "/webhooks/1/test", "/webhooks/1/test", {"only": "nonsense"}),
    Mistake("a time", "/webhooks/1", "/webhooks/1/replay", {"since": "yesterday"}),
    Mistake("no events then", "/webhooks/1", "/webhooks/1/replay", {"since": "2001-01-01"}),
    Mistake("nothing parked", "/webhooks/1", "/webhooks/1/replay", {"parked": "on"}),
    Mistake("an overlap", "/webhooks/1/secrets", "/webhooks/1/secrets", {"overlap_h": "9999"}),
    Mistake("a kind of key", "/webhooks/1/secrets", "/webhooks/1/secrets", {"kind": "none"}),
    Mistake("a broken form", "/settings/api", "/settings/api/users", {"name": "a\0b"}),
)  # fmt: skip


async def told(browser: Browser, mistake: Mistake) -> list[str]:
    """Return the errors that a page shows of a mistake."""
    await browser.get(mistake.page)
    text = await browser.send(mistake.path, **mistake.fields)
    assert browser.status >= 400, text
    return [one or other for one, other in SHOWN.findall(text)]


async def speaking(house: House, language: str) -> Browser:
    browser = house.browser(headers={"accept-language": language})
    await browser.sign_in(ADA)
    return browser


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.name)
async def test_a_mistake_is_told_in_each_language(house: House, mistake: Mistake) -> None:
    await house.service.webhook()

    english, russian, french = [
        await told(await speaking(house, language), mistake) for language in ("en", "ru", "fr")
    ]

    assert english
    assert [line for line in russian if not CYRILLIC.search(line)] == []
    assert set(french).isdisjoint(english)
    assert len(english) == len(russian) == len(french)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/login", {"email": ADA, "password": "wrong horse battery"}),
        ("/login", {"email": "", "password": ""}),
        ("/reset/nothing", {"password": "a new password"}),
        ("/reset/nothing", {"password": "short"}),
    ],
)
async def test_who_has_not_signed_in_is_told_in_the_browsers_language(
    house: House, path: str, fields: dict[str, str]
) -> None:
    browser = house.browser(headers={"accept-language": "ru"})

    lines = await told(browser, Mistake("", path, path, fields))

    assert lines
    assert [line for line in lines if not CYRILLIC.search(line)] == []


async def test_too_many_tries_are_told_in_the_browsers_language(house: House) -> None:
    browser = house.browser(headers={"accept-language": "fr"})
    for _ in range(11):
        text = await browser.sign_in(ADA, "wrong horse battery")

    assert browser.status == 429
    assert "Trop de tentatives. Attendez 15 minutes." in text


async def test_an_owners_language_wins_over_the_browsers(house: House) -> None:
    browser = await speaking(house, "fr")
    await browser.get("/settings/account")
    await browser.send("/settings/account", language="ru")

    [line] = await told(browser, Mistake("", "/settings/account", "/webhooks/99/pause", {}))

    assert CYRILLIC.search(line)


async def test_apis_stay_english(house: House) -> None:
    answer = await house.service.call(
        "POST", "/api/v1/webhooks", json={"url": ""}, headers={"accept-language": "ru"}
    )

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("url is missing")
