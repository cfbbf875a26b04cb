"""The suppression list as a page: searched, added to, removed from, its rules set."""

import html
import re
from typing import Any

import pytest

from postbell.ports import SuppressionQuery
from postbell.suppressing.follower import SuppressionFollower
from tests.web.visiting import ADA, BOB, Browser, House

PATH = "/suppressions"


def rows_of(text: str) -> list[str]:
    """Return the table's rows as plain text."""
    body = re.search(r"<tbody>(.*?)</tbody>", text.partition('id="add-head"')[0], re.S)
    rows = re.findall(r"<tr>(.*?)</tr>", body[1] if body else "", re.S)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


def fields_of(text: str) -> dict[str, str]:
    """Return the fields of the rules' form as the page shows them."""
    form = text.partition("rules-head")[2]
    pairs = re.findall(r'name="([a-z_.]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in pairs if name not in ("csrf", "at")}


async def listed(house: House) -> list[tuple[str, str, str]]:
    service = house.service
    page = await service.reports.suppressions.page(SuppressionQuery(service.acme))
    return [(row.address, row.api_user, row.note) for row in page.rows]


@pytest.fixture
async def ada(house: House) -> Browser:
    return await house.visitor(ADA)


async def test_an_empty_list_says_what_it_is_for(ada: Browser) -> None:
    text = await ada.get(PATH)

    assert "0 addresses are suppressed. Only people add to them" in text
    assert "No address is suppressed." in text
    assert 'aria-current="page">Suppressed' in text


async def test_addresses_are_added_by_hand_for_whom_they_are_meant(
    house: House, ada: Browser
) -> None:
    await ada.get(PATH)
    await ada.send(PATH, addresses="Eve@example.net", api_user="anna", note="by phone")
    one = ada.text
    await ada.send(PATH, addresses="a@x.example\n b@x.example, c@x.example")
    text = await ada.get(PATH)

    assert "It is on the suppression list." in one
    assert await listed(house) == [
        ("a@x.example", "all", ""), ("b@x.example", "all", ""), ("c@x.example", "all", ""),
        ("Eve@example.net", "anna", "by phone"),
    ]  # fmt: skip
    assert "4 addresses are suppressed." in text
    assert rows_of(text)[3].startswith("Eve@example.net Only mail of anna By hand by phone")


@pytest.mark.parametrize(("fields", "field", "told"), [
    ({"addresses": ""}, "addresses", "Type at least one address."),
    ({"addresses": "nobody"}, "addresses", "is not an e-mail address"),
    ({"addresses": "a@b.example no c@d.example"}, "addresses", "Line 1, “no”"),
    ({"addresses": "a@b.example, b@b.example\n\nc@b.example no"}, "addresses", "Line 3, “no”"),
    ({"addresses": "a@b.example " * 1001}, "addresses", "At most 1000 addresses"),
    ({"addresses": "a@b.example", "until": "2020-01-01T00:00"}, "until", "over already"),
    ({"addresses": "a@b.example, c@d.example", "until": "2020-01-01T00:00"},
     "until", "over already"),
    ({"addresses": "a@b.example c@d.example", "note": "x" * 201}, "note", "200"),
    ({"addresses": "a@b.example c@d.example", "api_user": "bob"}, "api_user", "bob"),
    ({"addresses": "a@b.example", "until": "soon"}, "until", "is not a date and time"),
    ({"addresses": "a@b.example", "api_user": "bob"}, "api_user", "bob"),
    ({"addresses": "a@b.example", "note": "x" * 201}, "note", "200"),
])  # fmt: skip
async def test_what_is_wrong_is_said_beside_its_field_and_kept(
    ada: Browser, fields: dict[str, Any], field: str, told: str
) -> None:
    await ada.get(PATH)
    await ada.send(PATH, **fields)

    error = re.search(rf'<p class="error" id="{field}-error">([^<]*)</p>', ada.text)
    assert ada.page.status_code == 422
    assert error is not None
    assert told in html.unescape(error[1])
    assert html.escape(fields["addresses"].strip()[:40]) in ada.text


async def test_a_row_tells_why_and_opens_the_event(house: House, ada: Browser) -> None:
    service = house.service
    await service.desk.set_suppression_rules(service.acme, {"is_on": True})
    event = {"type": "hard_bounce", "recipient": "gone@example.net", "event_id": "ev_cause"}
    await service.call("POST", "/api/v1/events", json=event)
    await SuppressionFollower(service.engine, service.clock).catch_up()

    text = await ada.get(PATH)

    (row,) = rows_of(text)
    assert row.startswith("gone@example.net Hard bounce · the event")
    assert "its next hard bounce does" in row
    assert 'href="/events/ev_cause"' in text
    assert "Bounces, complaints and unsubscriptions add to them." in text


async def test_an_address_is_removed_for_whom_the_row_is(house: House, ada: Browser) -> None:
    for user in ("all", "anna"):
        form = {"address": "eve@example.net", "api_user": user}
        await house.service.desk.add_suppression(house.service.acme, form)
    await ada.get(PATH)
    fields = {"address": "eve@example.net", "api_user": "anna"}

    first = await ada.send(PATH + "/remove", **fields)
    second = await ada.send(PATH + "/remove", **fields)

    assert [user for _, user, _ in await listed(house)] == ["all"]
    assert "It is off the suppression list." in first
    assert "It was not on the suppression list any more." in second


async def test_the_list_is_searched_and_a_wrong_filter_is_said(house: House, ada: Browser) -> None:
    for name in ("ann", "bob"):
        form = {"address": f"{name}@example.net", "reason": "complaint"}
        await house.service.desk.add_suppression(house.service.acme, form)

    found = await ada.get(PATH + "?search=ANN@Ex&reason=complaint")
    none = await ada.get(PATH + "?search=zed")
    wrong = await ada.get(PATH + "?reason=love")
    mark = await ada.get(PATH + "?after=junk")

    assert [row.split()[0] for row in rows_of(found)] == ["ann@example.net"]
    assert "No suppressed address fits." in none
    assert "no such choice" in wrong
    assert "note bad" in mark


async def test_a_long_list_has_pages_and_goes_out_whole(house: House, ada: Browser) -> None:
    lines = [(n, {"address": f"u{n:03}@example.net"}) for n in range(60)]
    await house.service.desk.import_suppressions(house.service.acme, lines)

    first = await ada.get(PATH)
    href = re.search(r'href="(/suppressions\?after=[^"]+)"', first)
    assert href is not None
    second = await ada.get(html.unescape(href[1]))
    table = await ada.get(PATH + "/export")

    assert (len(rows_of(first)), len(rows_of(second))) == (40, 20)
    assert len(table.splitlines()) == 61
    assert ada.page.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(first) < 50_000


async def test_rules_are_set_and_wrong_numbers_said_and_kept(house: House, ada: Browser) -> None:
    await ada.get(PATH)
    fields = fields_of(ada.page.text)
    done = await ada.send(PATH + "/rules", **fields | {"is_on": "on", "soft_bounce.after": "3"})
    rules = await house.service.desk.suppression_rules(house.service.acme)
    await ada.send(PATH + "/rules", **fields | {"soft_bounce.after": "4"})
    stale = ada.page.status_code
    await ada.get(PATH)
    now = fields_of(ada.page.text)
    await ada.send(PATH + "/rules", **now | {"hard_bounce.after": "7"})
    few = ada.text
    await ada.send(PATH + "/rules", **now | {"complaint.after": "many"})

    assert "Saved." in done
    assert stale == 409
    assert "do not fit in: give at least 7" in few
    assert (rules.rules.is_on, rules.rules.soft_bounce.after) == (True, 3)
    assert ada.page.status_code == 422
    assert 'value="many"' in ada.text
    assert 'id="complaint.after-error"' in ada.text


@pytest.mark.parametrize("language", ["fr", "ru"])
async def test_the_page_speaks_the_viewers_language(
    house: House, ada: Browser, language: str
) -> None:
    await house.service.desk.add_suppression(house.service.acme, {"address": "eve@example.net"})
    owner = await house.service.desk.find_owner(ADA)
    await house.service.desk.prefer(owner, language=language, time_zone="", wants_notices=True)

    text = await ada.get(PATH)

    told = {"fr": "1 adresse est exclue.", "ru": "В стоп-листе 1 адрес."}[language]
    assert told in text
    assert "Suppress" not in re.sub(r"<[^>]+>", "", text)


async def test_another_account_sees_and_removes_nothing(house: House) -> None:
    await house.service.desk.add_suppression(house.service.acme, {"address": "eve@example.net"})
    bob = await house.visitor(BOB)

    text = await bob.get(PATH)
    await bob.send(PATH + "/remove", address="eve@example.net", api_user="all")

    assert "eve@example.net" not in text
    assert len(await listed(house)) == 1
