"""The verbs of a native webhook: pause, resume, test, secrets."""

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from postbell.records import Outcome
from tests.api.service import Service, running
from tests.api.test_webhooks import PATH


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_pausing_and_resuming(service: Service) -> None:
    made = await service.webhook()
    path = f"{PATH}/{made['id']}"

    paused = (await service.call("POST", f"{path}/pause")).json()
    resumed = (await service.call("POST", f"{path}/resume", json={})).json()

    assert (paused["state"], paused["state_reason"]) == ("paused", "customer")
    assert (resumed["state"], resumed["state_reason"]) == ("active", "")


async def test_skipping_counts_what_is_left_out(service: Service) -> None:
    made = await service.webhook(types=["open"])
    await service.events("open", "click", "open")
    before = (await service.call("GET", f"{PATH}/{made['id']}")).json()

    after = (await service.call("POST", f"{PATH}/{made['id']}/resume", json={"skip": True})).json()

    (entry,) = (await service.call("GET", "/api/v1/attempts")).json()["attempts"]
    assert (before["waiting"], after["waiting"]) == (2, 0)
    assert (entry["kind"], entry["events"], entry["delivered"]) == ("skipped", 2, 0)


async def test_a_backlog_makes_a_webhook_behind(service: Service) -> None:
    made = await service.webhook()
    await service.events("open")
    service.clock.advance(120)

    view = (await service.call("GET", f"{PATH}/{made['id']}")).json()

    assert (view["health"], view["waiting"], view["lag_s"]) == ("behind", 1, 120.0)


async def test_a_test_sends_signed_samples_and_is_journaled_but_not_counted(
    service: Service,
) -> None:
    made = await service.webhook(headers={"X-Mine": "1"})

    response = await service.call("POST", f"{PATH}/{made['id']}/test", json={"type": "open"})

    (request,) = service.receivers.got
    headers = {name.lower(): value for name, value in request.headers}
    assert (response.status_code, response.json()["verdict"]) == (200, "delivered")
    assert response.json()["kind"] == "test"
    assert headers["webhook-signature"].startswith("v1,")
    assert headers["x-mine"] == "1"
    assert request.body is not None
    assert request.body.count(b'"type":"open"') == 1
    (entry,) = (await service.call("GET", "/api/v1/attempts")).json()["attempts"]
    assert (entry["kind"], entry["delivered"]) == ("test", 0)


async def test_a_failed_test_says_what_the_receiver_did(service: Service) -> None:
    made = await service.webhook(dialect="engagelab")
    service.receivers.answer = lambda _: Outcome(status=403, body=b"bad signature\xff")

    body = (await service.call("POST", f"{PATH}/{made['id']}/test")).json()

    assert (body["verdict"], body["status"], body["events"]) == (None, 403, 1)
    assert body["response_body"] == "bad signature\ufffd"


async def test_an_unknown_sample_is_refused(service: Service) -> None:
    made = await service.webhook(dialect="sendpulse")

    response = await service.call("POST", f"{PATH}/{made['id']}/test", json={"type": "sent"})

    assert (response.status_code, response.json()["member"]) == (422, "type")
    assert service.receivers.got == []


async def test_a_rotation_keeps_the_old_key_for_the_overlap(service: Service) -> None:
    made = await service.webhook()

    response = await service.call(
        "POST", f"{PATH}/{made['id']}/secrets", json={"overlap_s": 60, "kind": "whsec"}
    )
    first, second = response.json()["secrets"]
    service.clock.advance(61)
    left = (await service.call("GET", f"{PATH}/{made['id']}/secrets")).json()["secrets"]

    assert response.status_code == 201
    assert first["expires_at"] == "2026-11-21T12:01:00.000000Z"
    assert second["expires_at"] is None
    assert left == [second]


async def test_the_public_key_of_an_ed25519_key_is_shown_and_verifies(service: Service) -> None:
    made = await service.webhook()
    path = f"{PATH}/{made['id']}/secrets"

    response = await service.call("POST", path, json={"kind": "whsk"})
    await service.call("POST", f"{PATH}/{made['id']}/test", json={"type": "open"})

    symmetric, pair = response.json()["secrets"]
    sent = service.receivers.got[0]
    headers = dict(sent.headers)
    (signature,) = (s for s in headers["webhook-signature"].split() if s.startswith("v1a,"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + sent.body
    raw = b64decode(pair["public_key"].removeprefix("whpk_"))
    Ed25519PublicKey.from_public_bytes(raw).verify(b64decode(signature[4:]), content)
    assert symmetric["public_key"] is None


async def test_after_a_change_of_dialect_the_accounts_key_that_signs_is_shown(
    service: Service,
) -> None:
    made = await service.webhook()
    shared = (await service.desk.app_key(service.acme)).value
    await service.call("PATCH", f"{PATH}/{made['id']}", json={"dialect": "engagelab"})

    shown = (await service.call("GET", f"{PATH}/{made['id']}/secrets")).json()["secrets"]

    assert [one["kind"] for one in shown] == ["whsec", "appkey"]
    assert shown[1]["value"] == shared


@pytest.mark.parametrize(
    ("form", "member"),
    [
        ({"overlap_s": -1}, "overlap_s"),
        ({"overlap_s": 604_801}, "overlap_s"),
        ({"overlap_s": "1"}, "overlap_s"),
        ({"overlap_s": True}, "overlap_s"),
        ({"overlap_s": 10**400}, "overlap_s"),
        ({"kind": "rsa"}, "kind"),
        ({"kind": "appkey"}, "kind"),
        ({"kind": []}, "kind"),
        ({"secret": "whsec_x"}, "secret"),
        ({"x": 1}, "x"),
    ],
)
async def test_a_bad_rotation_is_refused(
    service: Service, form: dict[str, Any], member: str
) -> None:
    made = await service.webhook()

    response = await service.call("POST", f"{PATH}/{made['id']}/secrets", json=form)

    assert (response.status_code, response.json()["member"]) == (422, member)
