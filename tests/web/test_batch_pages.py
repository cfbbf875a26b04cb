"""Batches by forms alone: found, read to the last byte, tried again, split, parked."""

import re
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

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
from tests.web.visiting import Browser, House

ANSWER = b'{"error": "maintenance"}'


async def put(house: House, name: str, *, webhook_id: int = 1, **members: Any) -> None:
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
            body=ANSWER,
            peer="203.0.113.9:443",
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
    assert "retry-after: 30" in text and ANSWER.decode() in text
    assert "203.0.113.9:443" in text and "31.0 ms" in text and "41.5 ms" in text


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
    assert "It goes out now." in text
    assert batch is not None and batch.next_at == house.service.clock.now()


async def test_a_paused_webhooks_batch_says_to_resume_first(house: House, shown: Browser) -> None:
    await house.service.desk.pause(None, 1)

    text = await shown.send("/batches/bat_1/retry")

    assert shown.status == 409
    assert "Resume it first" in text


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
    assert await ids("since=nonsense&webhook=x&state=y") == {"bat_1", "bat_2", "bat_3"}


async def test_pages_of_batches_follow_each_other_from_open_to_finished(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook()
    await service.events("open", "click", "delivered")
    for number in range(60):
        await put(house, f"bat_{number:02}")
    for number in range(60):
        name = f"bat_{number:02}"
        claim = await service.engine.ledger.lane(1)
        assert claim is not None
        entry = Entry(
            kind=EntryKind.ATTEMPT,
            at=service.clock.now(),
            account_id=service.acme,
            webhook_id=1,
            revision=1,
            batch_id="done" + name,
            range=Range(Position(1, 0), Position(1, 3)),
            count=3,
            delivered=3,
            attempt=1,
            verdict=Verdict.DELIVERED,
            outcome=Outcome(status=200),
        )
        await service.engine.ledger.record(
            [LaneChange(webhook_id=1, epoch=claim.lane.epoch, entries=(entry,))]
        )

    seen: list[str] = []
    path = "/batches"
    while path:
        text = await ada.get(path)
        seen += re.findall(r'class="row" href="/batches/(\w+)"', text)
        following = re.search(r'href="(/batches\?[^"]*after=[^"]+)"', text)
        path = following[1] if following else ""

    assert len(seen) == len(set(seen)) == 120


async def test_a_batch_of_which_nothing_is_left_still_shows_its_attempts(
    house: House, shown: Browser
) -> None:
    await house.service.desk.delete_webhook(None, 1)

    text = await shown.get("/batches/bat_1")

    assert shown.status == 200
    assert "Nothing is left to show" in text
    assert (await shown.client.get("/batches/bat_1/body")).status_code == 404
