"""What a page says was done was done: told once, to who did it, and by no address."""

import pytest
from msgspec.structs import replace

from postbell.records import LaneChange, ReplayState
from tests.api.service import URL
from tests.web.visiting import Browser, House

THERE = "The webhook is there."
PAUSED = "Paused. Events wait in the log."


async def pause(browser: Browser) -> str:
    await browser.get("/webhooks/1")
    return await browser.send("/webhooks/1/pause")


@pytest.mark.parametrize("key", ["webhook_deleted", "secret_rotated", "signed_out", "saved"])
async def test_no_address_makes_a_page_claim_anything(house: House, ada: Browser, key: str) -> None:
    await house.service.webhook()

    for path in ("/", "/webhooks", "/webhooks/1", "/login", "/settings/account"):
        assert 'class="done"' not in await ada.get(f"{path}?done={key}")


async def test_it_is_told_once(house: House, ada: Browser) -> None:
    await house.service.webhook()

    told, again = await pause(ada), await ada.get("/webhooks/1")

    assert PAUSED in told
    assert 'class="done"' not in again


async def test_it_is_told_on_the_page_that_was_sent_for_and_on_no_other(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1")
    await ada.client.post("/webhooks/1/pause", data={"csrf": ada.token})

    elsewhere = await ada.get("/webhooks")
    refreshed = await ada.get("/webhooks/1", headers={"x-postbell-part": "1"})
    there = await ada.get("/webhooks/1")

    assert 'class="done"' not in elsewhere + refreshed
    assert PAUSED in there


async def test_somebody_elses_cookie_tells_nothing(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1")
    answer = await ada.client.post("/webhooks/1/pause", data={"csrf": ada.token})
    again = await house.visitor()
    again.client.cookies.set("postbell_done", answer.cookies["postbell_done"])

    assert 'class="done"' not in await again.get("/webhooks/1")


async def test_who_signed_out_is_told_so_as_a_guest(ada: Browser) -> None:
    await ada.get("/")

    text = await ada.send("/logout")

    assert "You are signed out." in text
    assert 'class="done"' not in await ada.get("/login")


@pytest.mark.parametrize(
    ("start", "said"),
    [("now", "with what comes in from now on"), ("oldest", "with the oldest event in the log")],
)
async def test_a_new_webhook_says_where_it_begins(ada: Browser, start: str, said: str) -> None:
    await ada.get("/webhooks/new")

    text = await ada.send("/webhooks/new", url=URL, types="open", start=start)

    assert f"{THERE} It starts {said}." in text


async def test_a_replay_that_had_ended_is_not_said_to_be_cancelled(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await house.service.events("open")
    replay = await house.service.desk.create_replay(None, 1, {})
    claim = await house.service.engine.ledger.lane(1)
    assert claim is not None
    change = LaneChange(
        webhook_id=1, epoch=claim.lane.epoch, replay=replace(replay, state=ReplayState.DONE)
    )
    await house.service.engine.ledger.record([change])
    await ada.get("/webhooks/1")

    text = await ada.send("/webhooks/1/replay", cancel=str(replay.id))

    assert "Nothing was left to cancel" in text
