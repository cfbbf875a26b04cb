"""One message: its events in order, its state, and where each went."""

from datetime import UTC, datetime
from typing import Any

import pytest

from postbell.errors import NotFound
from postbell.events import Event, EventType
from postbell.records import Outcome, WebhookState
from postbell.reports.event_views import Delivery
from postbell.reports.timeline import state_of
from tests.delivery.rig import event
from tests.index.conftest import Desk

URL = "https://a.example/hook"
DOWN = Outcome(status=503, phases_ms=(1.0, 30.0))
OK = Outcome(status=200, phases_ms=(1.0, 20.0))


def about(number: int, event_type: str = "delivered", at: int = 0, **members: Any) -> dict:
    message = {"id": "m1", "subject": "Your receipt", "from": "shop@acme.example"}
    members = {"recipient": "ada@example.net", "message": message, **members}
    return event(number, event_type, **members) | {"occurred_at": 1755856800 + (at or number)}


def of_type(kind: str) -> Event:
    return Event(
        event_id=kind,
        type=EventType(kind),
        occurred_at=datetime(2025, 8, 22, tzinfo=UTC),
        account="acme",
        api_user="alice",
        recipient="ada@example.net",
    )


async def test_a_message_shows_its_events_in_the_order_they_occurred(desk: Desk) -> None:
    await desk.send(about(3, "open"), about(1, "request"), event(9))
    await desk.send(about(2, "delivered"))

    found = await desk.reports.timeline.message(desk.account_id, "m1")

    assert [each.event.type for each in found.events] == ["request", "delivered", "open"]
    assert (found.subject, found.sender) == ("Your receipt", "shop@acme.example")
    [one] = found.recipients
    assert (one.recipient, one.state) == ("ada@example.net", "delivered")
    assert one.since == datetime(2025, 8, 22, 10, 0, 2, tzinfo=UTC)


async def test_a_message_of_two_recipients_has_two_states(desk: Desk) -> None:
    await desk.send(about(1), about(2, "hard_bounce", recipient="bob@example.net"))

    found = await desk.reports.timeline.message(desk.account_id, "m1")

    states = {each.recipient: each.state for each in found.recipients}
    assert states == {"ada@example.net": "delivered", "bob@example.net": "hard_bounce"}


@pytest.mark.parametrize(
    ("types", "state"),
    [
        (["request", "sent", "deferred", "delivered"], "delivered"),
        (["spam_report", "delivered"], "spam_report"),
        (["hard_bounce", "request"], "hard_bounce"),
        (["delivered", "unsubscribe", "resubscribe"], "resubscribe"),
        (["delivered", "resubscribe", "unsubscribe"], "unsubscribe"),
        (["spam_report", "resubscribe"], "spam_report"),
        (["delivered", "open", "click"], "delivered"),
        (["open"], None),
    ],
)
def test_a_late_event_never_lowers_the_state(types: list[str], state: str | None) -> None:
    events = [of_type(kind) for kind in types]

    best = state_of(events)

    assert (best.type if best else None) == state


async def delivery(desk: Desk, number: int = 1) -> Delivery:
    traced = await desk.reports.timeline.event(desk.account_id, f"e{number}")
    [found] = traced.deliveries
    return found


async def test_an_event_shows_each_attempt_and_its_result(desk: Desk) -> None:
    webhook = await desk.rig.webhook(policy={"max_wait_s": 0})
    desk.rig.sender.answers[URL] = [DOWN, OK]
    await desk.rig.send(about(1), about(2))
    await desk.turn()
    failing = await delivery(desk)
    desk.rig.clock.advance(60)
    await desk.turn()
    done = await delivery(desk)

    assert (failing.state, failing.attempts[0].status) == ("failing", 503)
    assert failing.next_at is not None
    assert (done.webhook_id, done.url, done.state) == (webhook.id, URL, "delivered")
    assert [each.status for each in done.attempts] == [503, 200]
    assert [each.took_ms for each in done.attempts] == [30.0, 20.0]
    assert len({each.batch_id for each in done.attempts}) == 1
    assert done.at == datetime(2026, 11, 21, 12, 1, tzinfo=UTC)


async def test_an_event_of_another_type_does_not_concern_the_webhook(desk: Desk) -> None:
    await desk.rig.webhook(types=("open",))
    await desk.send(about(1))

    traced = await desk.reports.timeline.event(desk.account_id, "e1")

    assert traced.deliveries == ()


async def test_an_event_that_waits_says_so(desk: Desk) -> None:
    await desk.rig.webhook(policy={"max_wait_s": 60})
    await desk.send(about(1))

    assert (await delivery(desk)).state == "waiting"


async def test_a_parked_event_says_so(desk: Desk) -> None:
    await desk.rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": []})
    desk.rig.sender.standing[URL] = DOWN
    await desk.rig.send(about(1))
    await desk.turn()

    found = await delivery(desk)

    assert found.state == "parked"
    assert found.attempts[0].verdict == "park"


async def test_each_single_of_a_run_is_told_apart(desk: Desk) -> None:
    await desk.rig.webhook(dialect="engagelab")
    desk.rig.sender.answers[URL] = [OK, DOWN, OK]
    await desk.rig.send(about(1), about(2), about(3))
    await desk.turn()

    states = [(await delivery(desk, number)).state for number in (1, 2, 3)]

    assert sorted(states) == ["delivered", "delivered", "failing"]


async def test_a_paused_webhook_leaves_its_events_waiting(desk: Desk) -> None:
    await desk.rig.webhook(state=WebhookState.PAUSED, state_reason="person")
    await desk.send(about(1))
    await desk.turn()

    assert (await delivery(desk)).state == "waiting"


async def test_an_unknown_message_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound, match="m404"):
        await desk.reports.timeline.message(desk.account_id, "m404")
