"""Batches by forms alone: found, read to the last byte, tried again, split, parked."""

import re
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.attempts import Used, used_of
from postbell.blocks import Position, Range
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    LaneChange,
    OpenBatch,
    Outcome,
    Verdict,
)
from tests.api.service import URL
from tests.web.visiting import Browser, House

ANSWER = b'{"error": "maintenance"}'


async def put(
    house: House, name: str, *, webhook_id: int = 1, used: Used | None = None, **members: Any
) -> None:
    """Leave an open batch of the first three events, after one attempt that got a 503."""
    service = house.service
    batch = replace(
        OpenBatch(
            id=name,
            webhook_id=webhook_id,
            revision=1,
            range=Range(Position(1, 0), Position(1, 3)),
            count=3,
            cut_at=service.clock.now(),
            attempts=1,
            next_at=service.clock.now() + timedelta(seconds=30),
            last_status=503,
        ),
        **members,
    )
    entry = Entry(
        kind=EntryKind.ATTEMPT,
        at=service.clock.now(),
        account_id=service.acme,
        webhook_id=webhook_id,
        revision=1,
        batch_id=name,
        range=batch.range,
        count=3,
        attempt=1,
        verdict=Verdict.RETRY,
        next_at=batch.next_at,
        outcome=Outcome(
            status=503,
            phases_ms=(1.5, 3.0, 9.0, 40.0, 41.5),
            headers=(("retry-after", "30"),),
            headers_cut=7,
            body=ANSWER,
            peer="203.0.113.9:443",
            used=used,
        ),
        body_bytes=321,
    )
    claim = await service.engine.ledger.lane(webhook_id)
    assert claim is not None
    lane = replace(claim.lane, cursor=batch.range.end)
    change = LaneChange(
        webhook_id=webhook_id, epoch=claim.lane.epoch, lane=lane, put=(batch,), entries=(entry,)
    )
    await service.engine.ledger.record([change])


@pytest.fixture
async def shown(house: House, ada: Browser) -> Browser:
    """Ada's browser on the page of a batch that is tried again."""
    await house.service.webhook(headers={"X-Token": "it's hush"})
    await house.service.events("open", "click", "delivered")
    house.service.clock.advance(60)
    await put(house, "bat_1")
    await ada.get("/batches/bat_1")
    return ada


async def test_a_batch_shows_the_whole_exchange(shown: Browser) -> None:
    text = shown.text

    assert "Not taken yet after 1 attempt." in text
    assert "in 30" in text
    assert "webhook-id: bat_1" in text and "X-Token: it's hush" in text
    assert re.search(r"webhook-signature: v1,\S+", text)
    assert '"type": "click"' in text and "ada@example.net" in text
    assert "header lines that were not kept: 7" in text
    assert "retry-after: 30" in text and ANSWER.decode() in text
    assert "203.0.113.9:443" in text and "31.0 ms" in text and "41.5 ms" in text


async def test_the_phases_of_an_attempt_are_in_the_readers_unit(shown: Browser) -> None:
    await shown.get("/batches/bat_1", headers={"accept-language": "ru"})

    assert "31,0 мс" in shown.text and " ms" not in shown.text


async def test_the_curl_line_is_safe_to_paste(shown: Browser) -> None:
    (line,) = re.findall(r"<pre[^>]*>(curl .*?)</pre>", shown.text, re.DOTALL)

    assert """-H 'X-Token: it'"'"'s hush'""" in line
    assert "--data-binary '[" in line


async def test_the_body_is_the_one_that_is_sent_byte_for_byte(house: House, shown: Browser) -> None:
    answer = await shown.client.get("/batches/bat_1/body")

    sent = await house.service.reports.exchange.sent(
        house.service.acme, "bat_1", house.service.clock.now()
    )
    assert sent is not None
    assert answer.content == sent.body
    assert [event["type"] for event in answer.json()] == ["open", "click", "delivered"]
    assert answer.headers["content-disposition"] == 'attachment; filename="bat_1.json"'


async def test_a_batch_is_tried_now(house: House, shown: Browser) -> None:
    text = await shown.send("/batches/bat_1/retry")

    batch = await house.service.engine.ledger.batch("bat_1")
    assert "It is due now." in text
    assert batch is not None and batch.next_at == house.service.clock.now()


async def test_a_paused_webhooks_batch_says_to_resume_first(house: House, shown: Browser) -> None:
    await house.service.desk.pause(None, 1)

    text = await shown.send("/batches/bat_1/retry")

    assert shown.status == 409
    assert "Resume it first" in text


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("{base}/batches/bat_1?show=1#top", ["/batches/bat_1?show=1"]),
        ("https://elsewhere.example/batches/bat_1", []),
        ("{base}//elsewhere.example/x", ["/"]),
        ("http://[", []),
        ("", []),
    ],
)
async def test_a_refused_form_leads_back_to_its_own_page(
    shown: Browser, referer: str, back: list[str]
) -> None:
    base = str(shown.client.base_url).rstrip("/")

    answer = await shown.client.post(
        "/batches/bat_gone/retry",
        data={"csrf": shown.token},
        headers={"referer": referer.format(base=base)},
    )

    assert answer.status_code == 404
    assert re.findall(r'<a href="([^"]*)">Back to the page before</a>', answer.text) == back


async def test_a_batch_is_parked_by_hand_and_sent_again(house: House, shown: Browser) -> None:
    text = await shown.send("/batches/bat_1/park")
    parked = await house.service.engine.ledger.batch("bat_1")
    listed = await shown.get("/batches")
    await shown.get("/batches/bat_1")
    await shown.send("/batches/bat_1/retry")

    batch = await house.service.engine.ledger.batch("bat_1")
    assert "can be sent again" in text
    assert parked is not None and parked.state is BatchState.PARKED and parked.next_at is None
    assert "1 batch is parked" in listed
    assert batch is not None and (batch.state, batch.attempts) == (BatchState.WAITING, 0)


async def test_a_batch_is_split_by_hand_and_leads_to_its_halves(shown: Browser) -> None:
    text = await shown.send("/batches/bat_1/split")
    halves = re.findall(r'href="/batches/(bat_[0-9a-f]+)"', text)

    for half in halves:
        await shown.get(f"/batches/{half}")
        assert shown.status == 200

    assert "Split into two halves" in text
    assert len(set(halves)) == 2


async def test_the_refused_event_is_looked_for_in_one_press(house: House, shown: Browser) -> None:
    text = await shown.send("/batches/bat_1/bisect")

    batch = await house.service.engine.ledger.batch("bat_1")
    assert "The search is on" in text and "until the event is found" in text
    assert batch is not None
    assert batch.bisect_since == batch.next_at == house.service.clock.now()


async def test_an_event_is_skipped_beside_its_line(house: House, shown: Browser) -> None:
    skips = re.findall(r'action="/batches/bat_1/skip".*?name="event" value="([^"]+)"', shown.text)
    text = await shown.send("/batches/bat_1/skip", event=skips[0])
    rest = shown.path.partition("?")[0]
    last = await shown.send(f"{rest}/skip", event=skips[1])
    gone = await shown.send(f"{shown.path.partition('?')[0]}/skip", event=skips[2])

    assert len(skips) == 3
    assert "The event is skipped" in text and "The event is skipped" in last
    assert "This batch left without an attempt." in gone
    view = await house.service.reports.webhook(None, 1)
    assert (view.waiting, view.parked) == (0, 0)


async def test_filters_live_in_the_address(house: House, ada: Browser) -> None:
    service = house.service
    await service.webhook()
    await service.webhook(url="https://other.example.com/in")
    await service.events("open", "click", "delivered")
    await put(house, "bat_1")
    await put(house, "bat_2", webhook_id=2, state=BatchState.PARKED, last_status=400)
    await put(house, "bat_3", last_status=None, last_error="timeout")

    async def ids(query: str) -> set[str]:
        return set(re.findall(r'href="/batches/(bat_\d)"', await ada.get(f"/batches?{query}")))

    assert await ids("") == {"bat_1", "bat_2", "bat_3"}
    assert await ids("webhook=2") == {"bat_2"}
    assert await ids("state=parked") == {"bat_2"}
    assert await ids("state=waiting") == {"bat_1", "bat_3"}
    assert await ids("status=503") == {"bat_1"}
    assert await ids("status=4xx") == {"bat_2"}
    assert await ids("status=timeout") == {"bat_3"}
    assert await ids("since=2026-11-21T12:00:01") == set()
    for wrong, said in (
        ("since=nonsense", "is not a date"),
        ("webhook=x", "“x”: no such choice"),
        ("state=y", "“y”: no such choice"),
    ):
        assert await ids(wrong) == set()
        assert ada.status == 422 and said in ada.text


async def listed(browser: Browser, query: str = "") -> list[str]:
    """Return the ids of the rows of the list, in their order."""
    text = await browser.get(f"/batches?{query}")
    return re.findall(r'class="row" href="/batches/(\w+)"', text)


async def finish(house: House, name: str) -> None:
    """Leave a delivered batch in the journal."""
    service = house.service
    claim = await service.engine.ledger.lane(1)
    assert claim is not None
    entry = Entry(
        kind=EntryKind.ATTEMPT,
        at=service.clock.now(),
        account_id=service.acme,
        webhook_id=1,
        revision=1,
        batch_id=name,
        range=Range(Position(1, 0), Position(1, 3)),
        count=3,
        delivered=3,
        attempt=1,
        verdict=Verdict.DELIVERED,
        outcome=Outcome(status=200, phases_ms=(0.0, 0.0, 0.0, 300.0, 310.0)),
    )
    change = LaneChange(webhook_id=1, epoch=claim.lane.epoch, entries=(entry,))
    await service.engine.ledger.record([change])


async def test_the_newest_batch_comes_first_open_or_over_whatever_its_id(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await house.service.events("open", "click", "delivered")
    for number, name in enumerate(("bat_m", "bat_z", "bat_a")):
        await put(house, name)
        await finish(house, f"over_{number}")
        house.service.clock.advance(60)

    found = await listed(ada)

    assert found == ["over_2", "bat_a", "over_1", "bat_z", "over_0", "bat_m"]
    assert "310 ms" in ada.text.replace("\u00a0", " ")


async def test_the_sentence_counts_all_parked_batches_not_those_of_the_page(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await house.service.events("open", "click", "delivered")
    for number in range(60):
        await put(house, f"bat_{number:02}", state=BatchState.PARKED)

    assert len(await listed(ada)) == 50
    assert "60 batches are parked" in ada.text
    assert len(await listed(ada, "state=waiting")) == 0
    assert "60 batches are parked" in ada.text


async def test_a_view_keeps_its_filters_from_page_to_page(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await house.service.events("open", "click", "delivered")
    for number in range(60):
        await put(house, f"bat_{number:02}", state=BatchState.PARKED)
    first = await listed(ada, "state=parked&status=503")
    following = re.search(r'href="(/batches\?[^"]*after=[^"]+)"', ada.text)
    assert following

    text = await ada.get(following[1])

    assert len(first) == 50
    assert len(re.findall(r'class="row" href="/batches/bat_', text)) == 10
    assert 'href="/batches?state=parked&status=503"' in text


async def test_a_time_is_shared_in_utc_and_a_wrong_one_is_kept_with_what_to_do(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    ada.client.cookies.set("postbell_zone", "Europe/Paris")

    text = await ada.get("/batches?since=2026-11-21T13:00")
    shared = ada.path
    wrong = await ada.get("/batches?since=yesterday")

    assert shared == "/batches?since=2026-11-21T12%3A00%3A00Z"
    assert 'value="2026-11-21T13:00"' in text
    assert ada.status == 422
    assert 'value="yesterday"' in wrong and 'id="since-error"' in wrong


async def test_the_body_is_searched_to_its_end(house: House, shown: Browser) -> None:
    found = await shown.get("/batches/bat_1?find=CLICK")
    nothing = await shown.get("/batches/bat_1?find=absent")

    assert "1 line has it." in found
    assert "<mark>click</mark>" in found
    assert "Nothing in the body has it." in nothing


async def test_a_run_in_the_list_opens_with_the_events_that_it_delivered(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook()
    await service.events("open", "click", "delivered")
    claim = await service.engine.ledger.lane(1)
    assert claim is not None
    entries = tuple(
        Entry(
            kind=EntryKind.RUN,
            at=service.clock.now(),
            account_id=service.acme,
            webhook_id=1,
            revision=1,
            batch_id="run_1",
            range=Range(Position(1, 0), Position(1, 3)),
            count=3,
            delivered=1,
            attempt=1,
            verdict=Verdict.DELIVERED,
            outcome=Outcome(status=200),
            done=bytes([bits]),
        )
        for bits in (0b001, 0b100)
    )
    change = LaneChange(webhook_id=1, epoch=claim.lane.epoch, entries=entries)
    await service.engine.ledger.record([change])
    [path] = set(re.findall(r'class="row" href="(/batches/\w+)"', await ada.get("/batches")))

    text = await ada.get(path)

    assert ada.status == 200
    assert "Delivered one by one: 2 events." in text
    assert "Opened" in text and "Delivered</span>" in text and "Clicked" not in text
    assert "Nothing is left" not in text


async def test_pages_of_batches_follow_each_other_from_open_to_finished(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook()
    await service.events("open", "click", "delivered")
    for number in range(60):
        await put(house, f"bat_{number:02}")
        await put(house, f"parkedbat_{number:02}", state=BatchState.PARKED)
        service.clock.advance(number % 3)
    for number in range(60):
        await finish(house, f"donebat_{number:02}")

    seen: list[str] = []
    path = "/batches"
    while path:
        text = await ada.get(path)
        seen += re.findall(r'class="row" href="/batches/(\w+)"', text)
        following = re.search(r'href="(/batches\?[^"]*after=[^"]+)"', text)
        path = following[1] if following else ""

    assert len(seen) == len(set(seen)) == 180


async def test_a_batch_of_which_nothing_is_left_still_shows_its_attempts(
    house: House, shown: Browser
) -> None:
    await house.service.desk.delete_webhook(None, 1)

    text = await shown.get("/batches/bat_1")

    assert shown.status == 200
    assert "Nothing is left to show" in text
    assert (await shown.client.get("/batches/bat_1/body")).status_code == 404


async def test_each_attempt_says_where_it_went(house: House, ada: Browser) -> None:
    await house.service.webhook(url=URL + "?token=then", headers={"X-Token": "hush"})
    await house.service.events("open", "click", "delivered")
    used = used_of(URL + "?token=then", (("X-Token", "hush"),))
    await put(house, "bat_1", used=used)
    changes = {"url": URL + "?token=now", "headers": {"X-Token": "present-one"}}
    await house.service.desk.update_webhook(None, 1, changes)

    text = await ada.get("/batches/bat_1")
    (attempt,) = (await house.service.call("GET", "/api/v1/attempts")).json()["attempts"]

    assert text.count(f"POST {URL}?token=***") == 2
    assert "X-Token: ***" in text and "present-one" not in text
    assert "has another URL or other headers by now" in text
    assert (attempt["url"], attempt["request_headers"]) == (f"{URL}?token=***", ["X-Token"])
