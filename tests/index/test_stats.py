"""Figures over time, as the dashboard and the API show them."""

from datetime import timedelta

import pytest

from postbell.errors import BadInput
from postbell.records import Outcome
from tests.index.conftest import Desk
from tests.pipeline.rig import event

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

    assert found["types"]["delivered"] == [0, 0, 2, 0, 1]
    assert found["types"]["open"] == [0, 0, 1, 0, 0]
    assert found["totals"] == {"delivered": 3, "open": 1}
    assert found["buckets"][2] == "2026-11-21T12:00:00.000000Z"


async def test_rates_tell_people_from_machines(desk: Desk) -> None:
    prefetch = {"actor": {"kind": "prefetch"}}
    await desk.send(
        *(event(number) for number in range(8)),
        event(10, "hard_bounce"),
        event(11, "soft_bounce"),
        event(12, "open"),
        event(13, "open", **prefetch),
        event(14, "click"),
        event(15, "spam_report"),
    )

    found = await desk.reports.stats.events(desk.account_id, await desk.reports.stats.grid())

    assert found["rates"] == {
        "delivery": 0.8,
        "bounce": 0.2,
        "complaint": 1 / 8,
        "unsubscribe": 0.0,
        "open": 2 / 8,
        "human_open": 1 / 8,
        "click": 1 / 8,
        "human_click": 1 / 8,
    }


async def test_a_bounce_that_comes_back_by_mail_takes_its_delivery_back(desk: Desk) -> None:
    late = event(9, "hard_bounce", bounce={"origin": "oob"})
    await desk.send(event(1), event(2), event(3), event(4), late)

    found = await desk.reports.stats.events(desk.account_id, await desk.reports.stats.grid())

    assert found["rates"]["delivery"] == 0.75
    assert found["rates"]["bounce"] == 0.25


async def test_rates_of_nothing_are_none(desk: Desk) -> None:
    found = await desk.reports.stats.events(desk.account_id, await desk.reports.stats.grid())

    assert set(found["rates"].values()) == {None}
    assert found["types"] == {}


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

    assert found["types"]["delivered"] == [None, 0, 1, None, None]


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

    assert found["totals"]["delivered"] == 4
    assert found["totals"]["failures"] == 1
    assert found["success_rate"] == 0.8
    assert found["latency_p50_ms"] == pytest.approx(100, rel=0.1)
    assert found["latency_p95_ms"] == pytest.approx(200, rel=0.1)
    assert sum(n or 0 for n in found["series"]["delivered"]) == 4
    assert [ms for ms in found["latency_ms"]["p95"] if ms] != []
