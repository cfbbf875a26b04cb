"""Webhooks by forms alone: made, refused with a way out, changed, paused, resumed, deleted."""

import re

import msgspec
import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.body_limits import BodyLimit
from postbell.events import EventType
from postbell.records import BatchState, LaneChange, OpenBatch
from tests.api.service import URL, Service
from tests.web.visiting import Browser, House


async def park(service: Service, webhook_id: int, count: int = 2) -> None:
    """Leave a parked batch behind, as the worker would."""
    claim = await service.engine.ledger.lane(webhook_id)
    assert claim is not None
    parked = OpenBatch(
        id="bat_parked",
        webhook_id=webhook_id,
        revision=1,
        range=Range(Position(1, 0), Position(1, count)),
        count=count,
        cut_at=service.clock.now(),
        state=BatchState.PARKED,
        attempts=12,
        last_status=500,
    )
    lane = replace(claim.lane, cursor=Position(1, count))
    change = LaneChange(webhook_id=webhook_id, epoch=claim.lane.epoch, lane=lane, put=(parked,))
    await service.engine.ledger.record([change])


async def teach(service: Service, webhook_id: int, limit: BodyLimit) -> None:
    """Leave what a receiver's 413 has taught behind, as the worker would."""
    claim = await service.engine.ledger.lane(webhook_id)
    assert claim is not None
    lane = replace(claim.lane, body_limit=limit)
    change = LaneChange(webhook_id=webhook_id, epoch=claim.lane.epoch, lane=lane)
    await service.engine.ledger.record([change])


def ticked(text: str) -> list[str]:
    return re.findall(r'name="types" value="([a-z_]+)" checked', text)


async def test_a_url_and_ticks_make_a_webhook(house: House, ada: Browser) -> None:
    await ada.get("/webhooks/new")

    text = await ada.send("/webhooks/new", url=URL, types=["delivered", "click"])

    webhook = await house.service.desk.find_webhook(house.service.acme, 1)
    assert ada.path == "/webhooks/1"
    assert "The webhook is there." in text
    assert webhook.url == URL
    assert set(map(str, webhook.types or ())) == {"delivered", "click"}
    assert len(webhook.secrets) == 1


async def test_all_ticks_mean_every_event_also_later_ones(house: House, ada: Browser) -> None:
    text = await ada.get("/webhooks/new")

    await ada.send("/webhooks/new", url=URL, types=ticked(text))

    assert len(ticked(text)) == len(EventType)
    assert (await house.service.desk.find_webhook(None, 1)).types is None


async def test_one_tick_can_stand_for_several_types(house: House, ada: Browser) -> None:
    text = await ada.get("/webhooks/new?dialect=sendpulse")

    await ada.send("/webhooks/new", url=URL, dialect="sendpulse", types="undelivered")

    assert "undelivered" in ticked(text) and "hard_bounce" not in ticked(text)
    types = (await house.service.desk.find_webhook(None, 1)).types
    assert set(map(str, types or ())) == {"soft_bounce", "hard_bounce", "dropped", "failed"}


async def test_choosing_a_payload_shows_its_words_and_keeps_the_url(ada: Browser) -> None:
    await ada.get("/webhooks/new")

    text = await ada.send(
        "/webhooks/new", url=URL, dialect="native", types="delivered", format="engagelab"
    )

    assert ada.status == 200
    assert f'value="{URL}"' in text
    assert ticked(text) == [
        "deliver", "report_spam", "invalid_email", "soft_bounce", "click", "open", "unsubscribe",
        "request", "sent",
    ]  # fmt: skip
    assert 'name="options.signature"' in text


@pytest.mark.parametrize(
    ("fields", "place", "way_out"),
    [
        ({"url": ""}, "url", "Give the URL to call"),
        ({"url": "http://127.0.0.1/hook"}, "url", "127.0.0.1"),
        ({"types": []}, "types", "at least one"),
        ({"policy__max_wait_s": "soon"}, "policy.max_wait_s", "write digits"),
        ({"policy__max_events": "0"}, "policy.max_events", "from 1 to 10,000"),
        ({"policy__retry_waits_s": "5s, later"}, "policy.retry_waits_s", "5s 30s 2m 1h"),
        ({"headers": "X-Token"}, "headers", "colon"),
        ({"headers": "Host: inside"}, "headers", "Leave it out"),
        ({"api_user": "mallory"}, "api_user", "“mallory”: no such API user"),
        ({"secret": "short"}, "secret", "whsec"),
        ({"dialect": "nope"}, "dialect", "Choose one from the list"),
    ],
)
async def test_wrong_input_keeps_what_was_typed_and_says_what_to_do(
    ada: Browser, fields: dict[str, str], place: str, way_out: str
) -> None:
    await ada.get("/webhooks/new")
    typed = {"url": URL, "types": ["open", "click"], "policy__timeout_s": "7", "headers": "X-A: 1"}

    text = await ada.send("/webhooks/new", **typed | fields)

    sent = typed | fields
    assert ada.status == 422
    error = re.search(rf'id="{re.escape(place)}-error">([^<]+)<', text)
    assert error and way_out in error[1]
    assert f'<a href="#{place}">' in text
    assert re.search(rf'id="{re.escape(place)}-error"', text)
    assert f'name="url" type="url" value="{sent["url"]}"' in text
    assert sent["headers"] in text
    assert 'id="policy.timeout_s" name="policy.timeout_s" type="text" value="7"' in text
    if "types" not in fields and "dialect" not in fields:
        assert ticked(text) == ["open", "click"]


async def test_policy_headers_options_and_key_are_taken_from_the_form(
    house: House, ada: Browser
) -> None:
    await ada.get("/webhooks/new")

    await ada.send(
        "/webhooks/new",
        url=URL,
        types="open",
        api_user="alice",
        policy__max_events="250",
        policy__max_wait_s="2,5",
        policy__success="200 202",
        policy__retry_waits_s="5s 2m 1h",
        policy__ordered="true",
        headers="X-Token: hush\nX-Team: mail",
        start="oldest",
    )

    webhook = await house.service.desk.find_webhook(None, 1)
    assert webhook.api_user == "alice"
    assert msgspec.to_builtins(webhook.policy) == {
        "max_events": 250,
        "max_wait_s": 2.5,
        "success": (200, 202),
        "retry_waits_s": (5.0, 120.0, 3600.0),
        "ordered": True,
    }
    assert webhook.headers == (("X-Token", "hush"), ("X-Team", "mail"))


async def test_a_dash_is_a_list_without_anything_and_is_shown_as_one(
    house: House, ada: Browser
) -> None:
    await house.service.webhook(policy={"refused": [406, 409]})
    before = await ada.get("/webhooks/1/settings")

    fields = {"url": URL, "types": ticked(before)}
    await ada.send("/webhooks/1/settings", **fields, policy__refused="-", policy__retry_waits_s="-")

    webhook = await house.service.desk.find_webhook(None, 1)
    assert 'value="406 409"' in before
    assert webhook.policy == {"refused": (), "retry_waits_s": ()}
    assert (await ada.get("/webhooks/1/settings")).count('value="-"') == 2


async def test_settings_show_what_is_stored_and_emptied_fields_go_back_to_defaults(
    house: House, ada: Browser
) -> None:
    await house.service.webhook(
        policy={"max_events": 250, "retry_waits_s": [5, 120]}, headers={"X-Token": "hush"}
    )

    text = await ada.get("/webhooks/1/settings")
    await ada.send(
        "/webhooks/1/settings", url=URL + "2", types=ticked(text), policy__max_events="300"
    )

    webhook = await house.service.desk.find_webhook(None, 1)
    assert 'value="250"' in text and 'value="5s 2m"' in text and "X-Token: hush" in text
    assert ada.path == "/webhooks/1/settings"
    assert webhook.url == URL + "2"
    assert webhook.policy == {"max_events": 300}
    assert webhook.headers == ()
    assert webhook.types is None


async def test_a_change_of_the_selection_says_from_when_on_it_counts(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    text = await ada.get("/webhooks/1/settings")

    text = await ada.send("/webhooks/1/settings", url=URL, types=ticked(text)[:1])

    assert ada.path == "/webhooks/1/settings"
    assert "counts for events accepted from now on" in text


async def test_saving_without_touching_ticks_keeps_types_that_the_ticks_cannot_tell(
    house: House, ada: Browser
) -> None:
    await house.service.webhook(dialect="sendpulse", types=["hard_bounce"])

    text = await ada.get("/webhooks/1/settings")
    await ada.send("/webhooks/1/settings", url=URL + "2", dialect="sendpulse", types=ticked(text))

    webhook = await house.service.desk.find_webhook(None, 1)
    assert webhook.url == URL + "2"
    assert webhook.types == ("hard_bounce",)


async def test_a_wrong_change_keeps_the_webhook_and_the_form(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1/settings")

    text = await ada.send("/webhooks/1/settings", url="ftp://x", types="open")

    assert ada.status == 422
    assert 'value="ftp://x"' in text
    assert (await house.service.desk.find_webhook(None, 1)).url == URL


async def test_a_webhook_is_paused_and_resumed_with_what_waits(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1")
    paused = await ada.send("/webhooks/1/pause")
    await house.service.events("open", "click")
    shown = await ada.get("/webhooks/1")
    resumed = await ada.send("/webhooks/1/resume", skip="false")

    view = await house.service.reports.webhook(None, 1)
    assert "Paused by a person." in paused
    assert "2 events wait." in shown and "Resume and skip 2 events" in shown
    assert "oldest first" in resumed
    assert (view.state, view.waiting) == ("active", 2)


async def test_resuming_can_skip_what_waits_and_take_the_parked_ones_along(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook()
    await service.events("open", "click", "open")
    await park(service, 1)
    await service.desk.pause(None, 1)
    shown = await ada.get("/webhooks/1")

    await ada.send("/webhooks/1/resume", skip="true", parked="on")

    view = await service.reports.webhook(None, 1)
    assert "and the 2 parked events" in shown
    assert (view.state, view.waiting, view.parked) == ("active", 2, 0)
    assert (await ada.get("/webhooks/1")).count("Skipped") == 1


async def test_parked_events_are_sent_again_in_one_press(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await house.service.events("open", "click")
    await park(house.service, 1)
    text = await ada.get("/webhooks/1")

    await ada.send("/webhooks/1/resume", parked="on", skip="false")

    view = await house.service.reports.webhook(None, 1)
    assert "Send the 2 parked events again" in text
    assert (view.waiting, view.parked) == (2, 0)


async def test_deleting_names_what_is_lost(house: House, ada: Browser) -> None:
    service = house.service
    await service.webhook()
    await service.events("open", "click", "open")
    await park(service, 1)
    asked = await ada.get("/webhooks/1/delete")

    await ada.send("/webhooks/1/delete")

    assert "1 waiting event will not be sent. It stays in the log for 30 days." in asked
    assert "2 parked events are given up for good." in asked
    assert "Its signing key is gone" in asked
    assert ada.path == "/webhooks"
    assert await service.reports.matching_webhooks(service.acme) == []


async def test_old_events_are_replayed_from_a_time_in_the_viewers_zone(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook()
    await service.events("open")
    owner = await service.desk.find_owner("ada@acme.example")
    await service.desk.prefer(owner, time_zone="Europe/Paris")
    await ada.get("/webhooks/1")

    refused = await ada.send("/webhooks/1/replay", since="2026-11-21T13:00:01")
    status = ada.status
    await ada.send("/webhooks/1/replay", since="2026-11-21T13:00:00")

    (replay,) = (await service.reports.replays(service.acme)).rows
    assert status == 422 and "no events were recorded in that time" in refused.lower()
    assert ada.path == "/webhooks/1"
    assert replay.webhook_id == 1


async def test_a_replay_is_counted_before_it_is_sent_and_can_be_cancelled(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook(types=["open"])
    await service.events("open", "click", "open")
    await ada.get("/webhooks/1")

    counted = await ada.send("/webhooks/1/replay", step="count", since="2026-11-21T12:00:00")
    begun = (await service.reports.replays(service.acme)).rows
    await ada.send("/webhooks/1/replay", since="2026-11-21T12:00:00")
    (replay,) = (await service.reports.replays(service.acme)).rows
    cancelled = await ada.send("/webhooks/1/replay", cancel=str(replay.id))

    assert "2 events would be sent again." in counted
    assert 'type="hidden" name="since" value="2026-11-21T12:00:00"' in counted
    assert begun == []
    assert "Cancelled." in cancelled
    assert (await service.reports.replays(service.acme)).rows[0].state == "cancelled"


async def test_somebody_elses_replay_is_not_cancelled(house: House, ada: Browser) -> None:
    service = house.service
    await service.webhook()
    await service.events("open")
    await ada.get("/webhooks/1")
    await ada.send("/webhooks/1/replay")
    bob = await house.visitor("bob@beta.example")

    await bob.get("/webhooks/new")
    for cancel in ("1", "x"):
        await bob.send("/webhooks/1/replay", cancel=cancel)
        assert bob.status == 404
        await bob.get("/webhooks/new")

    assert (await service.reports.replays(service.acme)).rows[0].state == "running"


async def test_the_list_puts_first_what_needs_attention(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await house.service.webhook(url="https://paused.example.com/in")
    await house.service.desk.pause(None, 2)

    text = await ada.get("/webhooks")

    assert "Up to date: 1 of 2 webhooks." in text
    assert text.index("paused.example.com") < text.index("hooks.example.com")


async def test_the_first_webhook_is_taught(ada: Browser) -> None:
    text = await ada.get("/webhooks")

    assert 'href="/webhooks/new"' in text
    assert "postbell listen" in text


async def test_what_is_parked_stands_apart_from_what_is_tried_again(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await house.service.events("open", "click")
    await park(house.service, 1)

    text = await ada.get("/webhooks/1")

    assert "Parked batches" in text
    assert "On their way" not in text and "Nothing was delivered yet" not in text


async def test_defaults_are_shown_as_one_types_them(ada: Browser) -> None:
    text = await ada.get("/webhooks/new")

    assert 'placeholder="1048576"' in text


async def test_commands_name_the_accounts_own_api_user(house: House, ada: Browser) -> None:
    await house.service.webhook()
    name = house.service.desk.directory.known.api_users_of(house.service.acme)[0].name

    for path in ("/webhooks/1", "/batches", "/events"):
        assert f"curl -u {name}:API_KEY http://postbell/api/v1/events" in await ada.get(path)


async def test_a_webhook_whose_first_events_are_under_way_does_not_say_that_nothing_was_sent(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await house.service.events("open", "click")

    text = await ada.get("/webhooks/1")

    assert "Up to date so far: 2 events on the way." in text
    assert "nothing was sent yet" not in text


async def test_the_page_says_how_long_a_body_its_receiver_takes(house: House, ada: Browser) -> None:
    webhook = await house.service.webhook()
    now = house.service.clock.now()
    await teach(house.service, webhook["id"], BodyLimit(now, 152_000, 76_400))

    told = await ada.get(f"/webhooks/{webhook['id']}")
    house.service.clock.advance(86_400)
    later = await ada.get(f"/webhooks/{webhook['id']}")

    assert "answered 413 to 152\xa0kB" in told
    assert "at most 76.4\xa0kB long until" in told
    assert "413" not in later
