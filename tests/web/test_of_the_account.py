"""Headings speak of the account and not of the page; what needs attention can be told apart."""

import re

import pytest
from msgspec.structs import replace

from postbell.ports import SourceState
from postbell.records import LaneChange, WebhookState
from tests.reports.test_sources import FAULT, standing
from tests.web.figures import words
from tests.web.test_webhook_pages import park
from tests.web.visiting import OPAL, Browser, House

PLACE = "https://app.example.com/hooks"


async def fail(house: House, webhook_id: int) -> None:
    """Let the webhook fail, as the worker notes it."""
    ledger = house.service.engine.ledger
    claim = await ledger.lane(webhook_id)
    assert claim is not None
    lane = replace(claim.lane, failing_since=house.service.clock.now(), failures=3)
    await ledger.record([LaneChange(webhook_id=webhook_id, epoch=claim.lane.epoch, lane=lane)])


async def many(house: House, count: int) -> None:
    for number in range(count):
        await house.service.webhook(url=f"{PLACE}/{number}")


async def test_the_heading_counts_all_webhooks_and_those_that_fail_come_first(
    house: House, ada: Browser
) -> None:
    await many(house, 60)
    await fail(house, 58)
    await fail(house, 59)

    first = await ada.get("/webhooks")
    (after,) = re.findall(r"\?after=([\d.]+)", first)
    second = await ada.get(f"/webhooks?after={after}")
    dashboard, settings = await ada.get("/"), await ada.get("/settings/api")

    listed = [re.findall(r'class="row" href="/webhooks/(\d+)"', each) for each in (first, second)]
    assert listed[0][:3] == ["58", "59", "1"]
    assert sorted(map(int, listed[0] + listed[1])) == list(range(1, 61))
    assert all("Up to date: 58 of 60 webhooks." in each for each in (first, second, dashboard))
    assert "60 webhooks; give a URL for another one." in settings


async def test_a_mark_that_no_page_gave_is_refused(house: House, ada: Browser) -> None:
    await many(house, 2)

    text = await ada.get("/webhooks?after=x")

    assert ada.status == 422
    assert "Begin with the first page." in text


async def test_webhooks_of_one_host_are_told_apart(house: House, ada: Browser) -> None:
    for number in range(1, 7):
        await house.service.webhook(url=f"https://me:word@app.example.com/hooks/{number}?key=s")
        await fail(house, number)

    text = words(await ada.get("/"))

    said = set(re.findall(r"(#\d app\.example\.com/hooks/\d) is failing", text))
    assert said == {f"#{number} app.example.com/hooks/{number}" for number in range(1, 7)}


async def test_more_than_fit_are_counted(house: House, ada: Browser) -> None:
    await many(house, 15)
    for number in range(1, 16):
        await house.service.desk.pause(None, number)

    text = await ada.get("/")

    assert text.count('class="what"') == 12
    assert "3 more webhooks need attention" in text


async def test_a_poison_webhook_says_what_is_parked_and_offers_to_send_that(
    house: House, ada: Browser
) -> None:
    await house.service.events("open", "open", "open")
    await house.service.webhook(start="oldest")
    await park(house.service, 1, count=3)
    await fail(house, 1)

    text = await ada.get("/webhooks/1")
    card = words(await ada.get("/"))

    assert "Nothing waits. 3 events are parked." in text
    assert "Try everything now" not in text
    assert "Send the 3 parked events again" in text
    assert "3 events are parked." in card


@pytest.mark.parametrize(("count", "said"), [(1, "1 event waits."), (2, "2 events wait.")])
async def test_a_failing_webhook_counts_in_words_that_agree(
    house: House, ada: Browser, count: int, said: str
) -> None:
    await house.service.webhook()
    await house.service.events(*["open"] * count)
    await fail(house, 1)

    assert f"since 12:00. {said}" in await ada.get("/webhooks/1")


async def test_what_waits_too_long_counts_as_behind_and_what_does_not_match_does_not(
    house: House, ada: Browser
) -> None:
    await house.service.webhook(types=["open"])
    await house.service.webhook(url=PLACE, types=["click"])
    await house.service.events("open")
    house.service.clock.advance(600)
    await house.service.events("open", "click")

    text = await ada.get("/webhooks")

    assert "Up to date: 1 of 2 webhooks." in text
    assert (await house.service.reports.webhook(None, 1)).health == "behind"
    assert (await house.service.reports.webhook(None, 2)).health == "up_to_date"
    assert house.service.desk.directory.known.webhooks[1].state is WebhookState.ACTIVE


async def test_the_times_of_the_list_are_those_it_is_sorted_by(house: House, ada: Browser) -> None:
    for occurred_at in ("2026-11-20T08:00:00Z", "2026-11-01T09:00:00Z"):
        body = [{"type": "open", "recipient": "a@b.example", "occurred_at": occurred_at}]
        await house.service.call("POST", "/api/v1/events", json=body)
        house.service.clock.advance(60)

    text = await ada.get("/events")

    rows = re.findall(r'<tr class="opens">(.*?)</tr>', text, re.S)
    times = [re.findall(r'datetime="([^"]+)"', row) for row in rows]
    assert [row[0] for row in times] == sorted((row[0] for row in times), reverse=True)
    assert [row[1] for row in times] == ["2026-11-01T09:00:00Z", "2026-11-20T08:00:00Z"]
    assert "Arrived" in text and "Occurred" in text


async def test_an_unknown_type_finds_nothing_and_says_so(house: House, ada: Browser) -> None:
    await house.service.events("open")

    text = await ada.get("/events?type=opne")

    assert ada.status == 422
    assert "“opne”: no such choice" in text
    assert 'class="row" href="/' not in text


async def test_the_operator_sees_counts_of_every_account(house: House) -> None:
    opal = await house.visitor(OPAL)
    fine = words(await opal.get("/operator"))
    await house.service.events("open", "open", "open")
    await house.service.webhook(start="oldest")
    await park(house.service, 1, count=3)
    await fail(house, 1)
    await house.service.webhook(url=PLACE)
    await house.service.webhook(url=PLACE + "/2")
    await house.service.desk.pause(None, 2)

    text = words(await opal.get("/operator"))

    assert "2 accounts; no webhook is failing." in fine
    assert "1 account has a failing webhook." in text
    assert "acme failing 3 2 2 3 Open" in text
    assert text.index("acme failing") < text.index("beta no webhooks")


async def test_the_operator_sees_sources_and_what_hinders_them(house: House) -> None:
    opal = await house.visitor(OPAL)
    without = await opal.get("/operator")
    failing = standing(house.service.clock, state=SourceState.FAILING)
    fine = standing(house.service.clock)
    await house.service.engine.checkpoints.tell({"mail": fine, "bounces": failing})

    text = words(await opal.get("/operator"))

    assert 'id="sources"' not in without
    assert f"The source bounces cannot read on: {FAULT}" in text
    assert "The source mail cannot" not in text
    assert "bounces acme · /var/log/mail.jsonl failing 0 0 0.0 12 B –" in text
    assert "mail acme · /var/log/mail.jsonl up to date 0 0 0.0 12 B –" in text
