"""The dashboard: the answer first, what needs attention next, figures, the next step."""

from typing import Any

import pytest

from postbell.records import Outcome, WebhookState
from tests.delivery.rig import event
from tests.web.figures import open_house, words

URL = "https://app.example.com/hooks"
MAX_PAGE_BYTES = 50_000


async def test_a_new_account_is_taught_the_next_steps() -> None:
    async with open_house() as house:
        text = words(await house.page("/"))

    assert "No webhook is registered yet." in text
    assert "Add a webhook" in text
    assert "curl -u main:API_KEY https://bell.example/api/v1/events" in text


async def test_it_opens_with_all_is_well() -> None:
    async with open_house() as house:
        await house.rig.webhook(URL, policy={"max_wait_s": 0})
        await house.rig.webhook(URL + "/2", policy={"max_wait_s": 0})
        await house.rig.send(event(1))
        await house.turn()

        text = words(await house.page("/"))

    assert "All 2 webhooks are up to date." in text
    assert "curl" not in text


async def test_it_says_when_the_last_batch_arrived() -> None:
    async with open_house() as house:
        await house.rig.webhook(URL, policy={"max_wait_s": 0})
        await house.rig.send(event(1))
        await house.turn()
        house.rig.clock.advance(4)

        html = await house.page("/")

    assert "The last batch arrived 4 s ago ." in words(html)
    assert 'title="2026-11-21 12:00:00 UTC">4' in html


async def test_a_young_account_sees_its_first_hour_not_an_empty_day() -> None:
    async with open_house() as house:
        await house.send(event(1))
        young = await house.page("/")
        house.rig.clock.advance(7200)

        old = await house.page("/")

    assert 'href="/?span=1h" aria-current="true"' in young
    assert 'href="/?span=24h" aria-current="true"' in old


async def test_a_webhook_paused_by_the_operator_says_so_in_words() -> None:
    async with open_house() as house:
        await house.rig.webhook(URL, state=WebhookState.PAUSED, state_reason="operator")
        await house.send(event(1))

        text = words(await house.page("/"))

    assert "#1 app.example.com/hooks is paused (by the operator); 1 event waits." in text


async def test_it_says_what_fails_and_since_when() -> None:
    async with open_house() as house:
        await house.rig.webhook(URL, policy={"max_wait_s": 0})
        await house.rig.webhook("https://fine.example/hook", policy={"max_wait_s": 0})
        house.rig.sender.standing[URL] = Outcome(status=503)
        await house.rig.send(event(1))
        await house.turn()

        text = words(await house.page("/"))

    assert "Up to date: 1 of 2 webhooks." in text
    assert "#1 app.example.com/hooks is failing: 503 since 12:00." in text


async def test_a_failure_without_an_answer_is_said_in_words() -> None:
    async with open_house() as house:
        await house.rig.webhook(URL, policy={"max_wait_s": 0})
        house.rig.sender.standing[URL] = Outcome(error="timeout")
        await house.rig.send(event(1))
        await house.turn()

        text = words(await house.page("/"))

    assert "#1 app.example.com/hooks is failing: no answer in time since 12:00." in text


async def test_a_paused_webhook_is_named_with_what_waits() -> None:
    async with open_house() as house:
        paused = WebhookState.PAUSED
        await house.rig.webhook(URL, state=paused, state_reason="customer")
        await house.send(event(1))

        text = words(await house.page("/"))

    assert "#1 app.example.com/hooks is paused (by a person); 1 event waits." in text


async def test_the_worst_comes_first() -> None:
    async with open_house() as house:
        await house.rig.webhook("https://fine.example/hook", policy={"max_wait_s": 0})
        await house.rig.webhook(URL, policy={"max_wait_s": 0})
        house.rig.sender.standing[URL] = Outcome(status=500)
        await house.rig.send(event(1))
        await house.turn()

        html = await house.page("/")

    table = html[html.index('id="webhooks"') :]
    assert table.index("app.example.com") < table.index("fine.example")


async def test_figures_and_rates_of_the_last_day_are_shown() -> None:
    async with open_house() as house:
        scanner = {"actor": {"kind": "scanner"}}
        await house.send(
            *(_of(number, "delivered") for number in range(9)),
            _of(9, "hard_bounce"),
            _of(1, "open", **scanner),
            *(_of(2, "open", event_id=f"again{number}") for number in range(20)),
        )

        text = words(await house.page("/"))

    assert "Delivered 9" in text
    assert "90.0 %" in text
    assert "Opened 11.1 % by people 22.2 %" in text
    assert "counted once" in text


async def test_with_the_index_off_the_page_says_what_it_shows_instead() -> None:
    async with open_house(has_index=False) as house:
        await house.rig.send(_of(1, "delivered"), _of(1, "open"), _of(1, "open", event_id="again"))

        text = words(await house.page("/"))

    assert "Opened 200.0 %" in text
    assert "The index is switched off, so these are shares of events" in text
    assert "still being counted" not in text


def _of(number: int, kind: str, **members: Any) -> dict[str, Any]:
    head = {"event_id": f"{kind}{number}", "message": {"id": f"m{number}"}}
    return event(number, kind, **(head | members))


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "30d", "", "nonsense"])
async def test_every_span_is_drawn(span: str) -> None:
    async with open_house() as house:
        await house.send(event(1))

        html = await house.page(f"/?span={span}")

    assert '<svg class="chart" role="img"' in html
    assert "Delivered" in html


@pytest.mark.parametrize("language", ["en", "ru", "fr"])
@pytest.mark.parametrize("path", ["/", "/events", "/events?recipient=x@y.example", "/events/e1"])
async def test_pages_speak_each_language_and_need_no_inline_style(language: str, path: str) -> None:
    async with open_house() as house:
        await house.rig.webhook(URL, policy={"max_wait_s": 0})
        house.rig.sender.standing[URL] = Outcome(status=503)
        await house.rig.send(event(1))
        await house.turn()

        html = await house.page(path, **{"accept-language": language})

    assert f'<html lang="{language}"' in html
    assert " style=" not in html
    assert "<script>" not in html


async def test_a_busy_day_fits_in_a_small_page() -> None:
    kinds = ["request", "sent", "delivered", "open", "click", "hard_bounce", "soft_bounce"]
    async with open_house() as house:
        for number in range(48):
            await house.rig.send(*(event(number * 10 + at, kind) for at, kind in enumerate(kinds)))
            house.rig.clock.advance(1800)
        await house.indexer.catch_up()

        html = await house.page("/")

    assert len(html.encode()) < MAX_PAGE_BYTES


async def test_urls_and_names_are_escaped() -> None:
    async with open_house() as house:
        await house.rig.webhook('https://app.example.com/<script>"x', policy={"max_wait_s": 0})
        await house.send(event(1, recipient='"<script>"@x.example'))

        pages = [await house.page(path) for path in ("/", "/events", "/events/e1")]

    assert all("<script>" not in html for html in pages)


async def test_a_webhook_has_its_charts_and_the_list_its_sparks() -> None:
    async with open_house() as house:
        webhook = await house.rig.webhook(URL, policy={"max_wait_s": 0})
        house.rig.sender.standing[URL] = Outcome(status=200, phases_ms=(1.0, 40.0))
        await house.rig.send(event(1))
        await house.turn()

        one = await house.page(f"/webhooks/{webhook.id}")
        many = await house.page("/webhooks")

    assert one.count('<svg class="chart"') == 2
    assert "Events delivered: 1; in attempts that failed: 0." in one
    assert many.count('<svg class="spark"') == 1
