"""Event search and the timeline of a message, as pages."""

import re
from html import unescape

import pytest

from postbell.records import Outcome
from tests.delivery.rig import event
from tests.web.figures import open_house, words

MESSAGE = {"id": "m 1/$x", "subject": "Your receipt", "from": "shop@acme.example"}


async def test_the_newest_events_are_there_without_a_search() -> None:
    async with open_house() as house:
        await house.send(event(1), event(2, "open"))

        text = words(await house.page("/events"))

    assert text.index("user2@example.net") < text.index("user1@example.net")


async def test_every_filter_is_in_the_address() -> None:
    async with open_house() as house:
        await house.send(event(1), event(2, "open"), event(3, "open", recipient="a@x.example"))

        by_type = words(await house.page("/events?type=open"))
        by_both = words(await house.page("/events?type=open&recipient=a@X.example"))

    assert "user2@example.net" in by_type and "user1@example.net" not in by_type
    assert "1 event found" in by_both and "user2@example.net" not in by_both


async def test_typed_times_become_utc_so_that_others_see_the_same() -> None:
    async with open_house() as house:
        house.client.cookies.set("postbell_zone", "Europe/Berlin")

        response = await house.client.get("/events?recipient=&since=2026-11-21T14:00&until=")

    assert response.status_code == 303
    assert response.headers["location"] == "/events?since=2026-11-21T13%3A00%3A00Z"


async def test_a_wrong_time_is_kept_and_explained() -> None:
    async with open_house() as house:
        html = await house.page("/events?since=yesterday&recipient=a@x.example", 422)

    assert 'value="a@x.example"' in html
    assert "is not a date and time" in html


async def test_pages_follow_each_other() -> None:
    async with open_house() as house:
        await house.send(*(event(number) for number in range(60)))

        first = await house.page("/events")
        link = re.search(r'href="(/events\?after=[^"]+)"', first)
        assert link is not None
        second = words(await house.page(unescape(link[1])))

    assert "user9@example.net" in second and "First page" in second
    assert "user10@example.net" not in second


async def test_an_event_is_found_by_its_id_in_the_field_of_messages() -> None:
    async with open_house() as house:
        await house.send(event(7))

        text = words(await house.page("/events?message=e7"))

    assert "1 event found" in text


async def test_nothing_found_says_what_to_mind() -> None:
    async with open_house() as house:
        await house.send(event(1))

        text = words(await house.page("/events?recipient=nobody@x.example"))

    assert "Nothing found." in text and "kept for 30 days" in text


async def test_an_empty_log_teaches_how_to_send() -> None:
    async with open_house() as house:
        text = words(await house.page("/events"))

    assert "curl -u main:API_KEY https://bell.example/api/v1/events" in text


async def test_a_row_opens_the_timeline_of_its_message() -> None:
    async with open_house() as house:
        await house.send(event(1, message=MESSAGE))

        link = re.search(r'class="row" href="([^"]+)"', await house.page("/events"))
        assert link is not None
        html = await house.page(unescape(link[1]).partition("#")[0])

    assert "Your receipt" in html


async def test_a_timeline_tells_what_went_where() -> None:
    async with open_house() as house:
        url = "https://app.example.com/hooks"
        webhook = await house.rig.webhook(url, types=("delivered",), policy={"max_wait_s": 0})
        house.rig.sender.answers[url] = [Outcome(status=503, phases_ms=(30.0,))]
        smtp = {"code": 250, "text": "OK queued as 8F2A"}
        machine = {"kind": "prefetch"}
        await house.rig.send(
            event(3, "open", message=MESSAGE, recipient="ada@example.net", actor=machine),
            event(1, message=MESSAGE, recipient="ada@example.net", smtp=smtp),
        )
        await house.turn()
        house.rig.clock.advance(60)
        await house.turn()

        html = await house.message(MESSAGE["id"])

    text = words(html)
    assert "Delivered: ada@example.net" in text
    assert text.index("250 OK queued as 8F2A") < text.index("Loaded by a mail provider's proxy")
    assert f"/webhooks/{webhook.id}" in html
    assert "attempt 1 503" in text and "attempt 2 200" in text
    assert "No webhook takes this event." in text
    assert "+2.0 s" in text


async def test_an_event_without_a_message_has_a_page_of_its_own() -> None:
    async with open_house() as house:
        await house.send(event(5))

        text = words(await house.page("/events/e5"))

    assert "Delivered: user5@example.net" in text
    assert '"event_id": "e5"' in text.replace("&#34;", '"')


@pytest.mark.parametrize("path", ["/events/nothing", "/messages/nothing", "/messages/a/b%2Fc"])
async def test_what_is_not_there_is_said_so(path: str) -> None:
    async with open_house() as house:
        text = words(await house.page(path, 404))

    assert "There is no such page" in text
