"""Figures over time, as the dashboard and the API show them."""

from datetime import timedelta
from typing import Any

import pytest

from postbell.blocks import build_block
from postbell.clock import rfc3339
from postbell.errors import BadInput
from postbell.records import Outcome
from postbell.reports import rates as rates_of
from postbell.reports.stats import Stats
from tests.delivery.rig import event
from tests.index.conftest import Desk

URL = "https://a.example/hook"


def took(ms: float, status: int = 200) -> Outcome:
    return Outcome(status=status, phases_ms=(1.0, ms))


async def test_events_are_counted_by_type_and_bucket(desk: Desk) -> None:
    await desk.send(event(1), event(2), event(3, "open"))
    desk.rig.clock.advance(600)
    await desk.send(event(4))

    now = desk.rig.clock.now()
    grid = await desk.reports.stats.grid(since=now - timedelta(minutes=20), step_s=300)
    found = await desk.reports.stats.events(desk.account_id, grid)

    assert found.types["delivered"] == [0, 0, 2, 0, 1]
    assert found.types["open"] == [0, 0, 1, 0, 0]
    assert found.totals == {"delivered": 3, "open": 1}
    assert rfc3339(found.buckets[2]) == "2026-11-21T12:00:00.000000Z"


def of(number: int, kind: str, twice: int = 0, **members: Any) -> dict[str, Any]:
    """Return an event of message *number*; *twice* tells it from another of the same kind."""
    made = event(number, kind, **members)
    return made | {"event_id": f"{kind}-{number}-{twice}", "message": {"id": f"m{number}"}}


async def rates(desk: Desk) -> dict[str, float | None]:
    found = await desk.reports.stats.events(desk.account_id, await desk.reports.stats.grid())
    assert found.rates_of == "messages"
    shares: dict[str, float | None] = found.rates
    return shares


async def test_rates_tell_people_from_machines(desk: Desk) -> None:
    prefetch = {"actor": {"kind": "prefetch"}}
    await desk.send(
        *(of(number, "delivered") for number in range(8)),
        of(10, "hard_bounce"),
        of(11, "soft_bounce"),
        of(1, "open"),
        of(2, "open", **prefetch),
        of(1, "click"),
        of(3, "spam_report"),
        of(4, "unsubscribe", **prefetch),
    )

    assert await rates(desk) == {
        "delivery": 0.8,
        "bounce": 0.2,
        "complaint": 1 / 8,
        "unsubscribe": 0.0,
        "open": 2 / 8,
        "human_open": 1 / 8,
        "click": 1 / 8,
        "human_click": 1 / 8,
    }


async def test_a_message_opened_twice_counts_once(desk: Desk) -> None:
    await desk.send(of(1, "delivered"), of(2, "delivered"))
    for time in range(5):
        await desk.send(of(1, "open", time), of(1, "click", time))

    found = await rates(desk)

    assert (found["open"], found["click"]) == (0.5, 0.5)


async def test_a_person_who_opens_after_a_machine_counts_as_a_person(desk: Desk) -> None:
    await desk.send(of(1, "delivered"), of(1, "open", actor={"kind": "scanner"}), of(1, "open", 2))

    found = await rates(desk)

    assert (found["open"], found["human_open"]) == (1.0, 1.0)


async def test_one_message_to_two_people_is_two(desk: Desk) -> None:
    to_bob = {"recipient": "bob@example.net"}
    await desk.send(of(1, "delivered"), of(1, "delivered", 2, **to_bob), of(1, "open", **to_bob))

    assert (await rates(desk))["open"] == 0.5


async def test_what_was_delivered_before_the_time_shown_is_not_in_its_rates(desk: Desk) -> None:
    await desk.send(*(of(number, "delivered") for number in range(4)))
    desk.rig.clock.advance(25 * 3600)
    await desk.send(of(9, "delivered"), *(of(number, "open") for number in range(4)))

    found = await rates(desk)

    assert (found["delivery"], found["open"]) == (1.0, 0.0)


async def test_a_late_open_counts_for_the_time_of_its_delivery(desk: Desk) -> None:
    await desk.send(of(1, "delivered"), of(2, "delivered"))
    desk.rig.clock.advance(10 * 3600)

    await desk.send(of(2, "open"))

    assert (await rates(desk))["open"] == 0.5


async def test_an_open_that_comes_in_before_its_delivery_counts(desk: Desk) -> None:
    await desk.send(of(1, "open"))
    before = await rates(desk)
    await desk.send(of(1, "delivered"))

    assert before["open"] is None
    assert (await rates(desk))["open"] == 1.0


async def test_events_without_a_message_id_have_no_rates(desk: Desk) -> None:
    await desk.send({"type": "delivered", "recipient": "ada@example.net"})

    assert (await rates(desk))["delivery"] is None


async def test_a_bounce_that_comes_back_by_mail_takes_its_delivery_back(desk: Desk) -> None:
    await desk.send(*(of(number, "delivered") for number in range(1, 5)), of(4, "open"))
    await desk.send(of(4, "hard_bounce", bounce={"origin": "oob"}))

    found = await rates(desk)

    assert (found["delivery"], found["bounce"], found["open"]) == (0.75, 0.25, 0.0)


async def test_a_retry_that_is_delivered_takes_its_bounce_back(desk: Desk) -> None:
    await desk.send(of(1, "soft_bounce"), of(2, "soft_bounce"), of(1, "delivered"))

    assert (await rates(desk))["delivery"] == 0.5


async def test_an_index_made_anew_has_the_same_rates(desk: Desk) -> None:
    await desk.send(*(of(number, "delivered") for number in range(9)), of(1, "open"))
    before = await rates(desk)
    await desk.rig.engine.index.clear()
    await desk.indexer.catch_up()

    assert await rates(desk) == before


async def test_without_an_index_events_are_counted_from_the_log(desk: Desk) -> None:
    stats = Stats(desk.rig.engine, desk.rig.clock, has_index=False)
    await desk.rig.send(of(1, "delivered"), of(2, "delivered"), of(1, "open"), of(1, "open", 2))

    found = await stats.events(desk.account_id, await stats.grid())

    assert found.rates_of == "events"
    assert found.rates["open"] == 1.0
    assert found.totals == {"delivered": 2, "open": 2}


async def test_without_an_index_only_the_newest_blocks_are_read(desk: Desk) -> None:
    rig = desk.rig
    stats = Stats(rig.engine, rig.clock, has_index=False)
    blocks = rates_of.MAX_HEADERS + 3 * rates_of.PAGE
    for number in range(blocks):
        block = build_block(rig.account.id, rig.user.id, [b"{}"], b"\4", number.to_bytes(8, "big"))
        await rig.engine.log.append([block], [], head=number, now=rig.clock.now())
        rig.clock.advance(10)

    found = await stats.events(desk.account_id, await stats.grid(step_s=600))
    series = found.types["delivered"]

    assert rates_of.MAX_HEADERS - rates_of.PAGE <= found.totals["delivered"] < blocks
    assert series[-1] and series[-2]
    assert None in series


async def test_rates_of_nothing_are_none(desk: Desk) -> None:
    found = await desk.reports.stats.events(desk.account_id, await desk.reports.stats.grid())

    assert set(found.rates.values()) == {None}
    assert found.types == {}


async def test_what_cannot_be_known_is_a_gap_and_not_a_zero(desk: Desk) -> None:
    born = desk.rig.clock.now()
    desk.rig.clock.advance(600)
    await desk.send(event(1))
    desk.rig.clock.advance(600)
    await desk.rig.send(event(2))
    desk.rig.clock.advance(600)

    now = desk.rig.clock.now()
    grid = await desk.reports.stats.grid(
        since=now - timedelta(minutes=40), step_s=600, known_from=born
    )
    found = await desk.reports.stats.events(desk.account_id, grid)

    assert found.types["delivered"] == [None, 0, 1, None, None]


async def test_days_begin_at_midnight_of_the_viewer(desk: Desk) -> None:
    grid = await desk.reports.stats.grid(
        since=desk.rig.clock.now() - timedelta(days=2), step_s=86_400, offset=timedelta(hours=3)
    )

    assert {start.hour for start in grid.starts} == {21}


@pytest.mark.parametrize(
    ("step_s", "days"), [(30, 0.1), (90, 0.1), (5400, 1), (60, 30), (3600, 365), (60, 4)]
)
async def test_widths_that_cannot_be_counted_are_refused(
    desk: Desk, step_s: int, days: float
) -> None:
    since = desk.rig.clock.now() - timedelta(days=days)

    with pytest.raises(BadInput, match=r"step_s|buckets"):
        await desk.reports.stats.grid(since=since, step_s=step_s)


async def test_a_webhook_shows_success_rate_and_latency(desk: Desk) -> None:
    webhook = await desk.rig.webhook(policy={"max_wait_s": 0, "max_events": 1})
    desk.rig.sender.answers[URL] = [took(100), took(200), took(900, 503)]
    desk.rig.sender.standing[URL] = took(100)
    for number in range(4):
        await desk.rig.send(event(number))
        await desk.turn()
    desk.rig.clock.advance(60)
    await desk.turn()

    found = await desk.reports.stats.webhook(webhook.id, await desk.reports.stats.grid())

    assert found.totals["delivered"] == 4
    assert found.totals["failures"] == 1
    assert found.success_rate == 0.8
    assert found.latency_p50_ms == pytest.approx(100, rel=0.1)
    assert found.latency_p95_ms == pytest.approx(200, rel=0.1)
    assert sum(n or 0 for n in found.series["delivered"]) == 4
    assert [ms for ms in found.latency_ms["p95"] if ms] != []
