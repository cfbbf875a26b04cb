"""The cases of the test button: what is sent, and the verdict on a receiver."""

import json
from collections.abc import AsyncIterator

import pytest

from postbell.desk.cases import KINDS, PLAY_S
from postbell.errors import NotFound
from postbell.ports import Request
from postbell.records import EntryKind, Outcome
from tests.api.service import URL, Service, running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def play(service: Service, only: str = "", **form: object) -> list[tuple[str, str, str]]:
    """Play the cases of a new webhook and return kind, verdict and reason of each."""
    webhook = await service.desk.create_webhook(service.acme, {"url": URL, **form})
    cases = await service.desk.play_cases(service.acme, webhook.id, only)
    return [(case.kind, case.verdict, case.why) for case in cases]


async def test_every_word_of_the_dialect_is_sent_alone(service: Service) -> None:
    played = await play(service, "type", dialect="sendpulse")

    sent = [json.loads(request.body or b"") for request in service.receivers.got]
    words = [event["event"] for (event,) in sent]
    assert words == [
        "delivered", "undelivered", "undelivered", "opened", "clicked", "spam_by_user",
        "unsubscribed", "resubscribed",
    ]  # fmt: skip
    assert played == [("type", "good", "")] * 8


async def test_a_full_batch_holds_as_much_as_the_policy_lets_it(service: Service) -> None:
    await play(service, "full", policy={"max_events": 700})
    await play(service, "full", policy={"max_bytes": 5000})

    many, small = (request.body or b"" for request in service.receivers.got)
    assert len(json.loads(many)) == 700
    assert len({event["event_id"] for event in json.loads(many)}) == 700
    assert 3000 < len(small) <= 5000


async def test_a_payload_of_one_event_has_no_full_batch(service: Service) -> None:
    assert await play(service, "full", dialect="engagelab") == [("full", "left_out", "one_event")]


async def test_a_duplicate_has_the_same_id_and_the_same_body(service: Service) -> None:
    await play(service, "duplicate")

    first, second = service.receivers.got
    assert dict(first.headers)["webhook-id"] == dict(second.headers)["webhook-id"]
    assert first.body == second.body


async def test_the_later_event_comes_first(service: Service) -> None:
    await play(service, "order")

    (later,), (earlier,) = (json.loads(r.body or b"") for r in service.receivers.got)
    assert later["occurred_at"] > earlier["occurred_at"]


@pytest.mark.parametrize(
    ("status", "verdict"), [(401, "good"), (403, "good"), (400, "good"), (200, "bad"), (500, "bad")]
)
async def test_a_wrong_signature_should_be_refused(
    service: Service, status: int, verdict: str
) -> None:
    service.receivers.answer = lambda _: Outcome(status=status)

    assert await play(service, "signature") == [("signature", verdict, "")]


async def test_without_signatures_that_case_is_left_out(service: Service) -> None:
    played = await play(service, "signature", dialect="sendpulse")

    assert played == [("signature", "left_out", "unsigned")]


async def test_success_codes_of_the_policy_decide(service: Service) -> None:
    service.receivers.answer = lambda _: Outcome(status=201)

    assert await play(service, "duplicate", policy={"success": [204]}) == [("duplicate", "bad", "")]


async def test_a_receiver_out_of_reach_is_asked_once(service: Service) -> None:
    service.receivers.answer = lambda _: Outcome(error="dns")

    played = await play(service)

    assert len(service.receivers.got) == 1
    assert {why for _, _, why in played[1:]} == {"unreachable"}
    assert {kind for kind, _, _ in played} == set(KINDS)


async def test_a_slow_receiver_is_not_asked_for_ever(service: Service) -> None:
    def slow(_: Request) -> Outcome:
        service.clock.advance(PLAY_S / 2)
        return Outcome(error="timeout")

    service.receivers.answer = slow

    played = await play(service)

    assert len(service.receivers.got) == 3
    assert played[-1] == ("signature", "left_out", "too_slow")


async def test_nothing_of_it_is_counted(service: Service) -> None:
    await play(service)

    view = await service.reports.webhook(None, 1)
    entries = [e for block in await service.engine.journal.scan(0, 1000) for e in block.entries]
    assert (view.delivered, view.waiting, view.failures) == (0, 0, 0)
    assert {entry.kind for entry in entries} == {EntryKind.TEST}
    assert {entry.note for entry in entries} == set(KINDS)
    assert await service.reports.outcomes.recent(service.acme) == {
        1: (await service.reports.outcomes.recent(service.acme))[1]
    }
    assert (await service.reports.outcomes.recent(service.acme))[1].attempts == 0


async def test_a_dialect_that_tells_nothing_has_no_cases(service: Service) -> None:
    assert await play(service, dialect="sendpulse-bulk", options={"action": "delete"}) == []


async def test_only_types_that_the_webhook_gets_are_played(service: Service) -> None:
    await play(service, "type", types=["open", "click"])

    sent = [json.loads(request.body or b"") for request in service.receivers.got]
    assert [event["type"] for (event,) in sent] == ["open", "click"]


async def test_an_unknown_kind_and_anothers_webhook_are_not_found(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})

    with pytest.raises(NotFound, match="order"):
        await service.desk.play_cases(service.acme, webhook.id, "nonsense")
    with pytest.raises(NotFound):
        await service.desk.play_cases(service.accounts["beta"].id, webhook.id)
