"""The Mandrill dialect: its signature, its form, its probe, and what django-anymail's receiver says
of what comes off the socket."""

import hmac
import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postbell.dialects import DIALECTS, find
from postbell.errors import BadInput
from postbell.events import MADE_HERE, EventType
from postbell.ports import ReceivedRequest, Signing
from postbell.records import Outcome, Secret, SecretKind
from postbell.reports import Reports
from postbell.text import form
from tests.delivery.rig import event, running
from tests.dialects import judges

MANDRILL = find("mandrill")
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
URL = "https://user:pass@example.com/hooks/mandrill"


def signature(key: str, value: bytes) -> str | None:
    about = Signing(
        url=URL,
        batch_id="bat_01",
        attempt=1,
        events=1,
        at=AT,
        secrets=[Secret(1, SecretKind.APP_KEY, key, AT, AT)] if key else [],
    )
    headers = MANDRILL.headers(b"mandrill_events=" + form.encoded(value), about, {})
    return dict(headers).get("X-Mandrill-Signature")


def test_the_signature_is_that_of_the_vectors() -> None:
    value = b'[{"event":"send","_id":"abc","ts":1700000000}]'

    assert signature("TEST_WEBHOOK_KEY", value) == "Cln2sYw6PvMLc37vREr9KFkMeyw="
    assert signature("test-webhook", b"[]") == "IWW00pvxDJxNzhfmIcG4ARrSAmg="
    assert signature("", b"[]") is None


def checked(body: bytes, signed: bytes, key: str = "TEST_WEBHOOK_KEY") -> bool | None:
    """Return what our verifier says of a form, where *signed* was signed beside the URL."""
    made = b64encode(hmac.digest(key.encode(), URL.encode() + signed, "sha1")).decode()
    delivery = ReceivedRequest(URL, {"x-mandrill-signature": made}, body, AT)
    return MANDRILL.verifier.check(delivery, "TEST_WEBHOOK_KEY").is_good


def test_every_field_of_a_form_is_signed() -> None:
    assert checked(b"mandrill_events=%5B%5D", b"mandrill_events[]")
    assert checked(b"more=+&mandrill_events=%5B%5D", b"mandrill_events[]more ")
    assert not checked(b"mandrill_events=%5B%5D&more=1", b"mandrill_events[]")
    twice = b"mandrill_events=%5B1%5D&mandrill_events=%5B%5D"
    assert not checked(twice, b"mandrill_events[]")
    assert MANDRILL.verifier.count(twice) == 0


def test_a_probe_is_let_pass_with_an_empty_array_alone() -> None:
    assert checked(b"mandrill_events=%5B%5D", b"mandrill_events[]", "test-webhook")
    assert not checked(b"mandrill_events=%5B1%5D", b"mandrill_events[1]", "test-webhook")
    assert not checked(b"mandrill_events=%5B%5D&a=b", b"amandrill_events[]b", "test-webhook")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_is_encoded_as_forms_are_and_comes_back(text: str) -> None:
    made = form.encoded(text.encode())

    assert made == quote_plus(text).encode()
    assert form.decoded(made) == text.encode()


def test_its_policy_is_mandrills() -> None:
    policy = MANDRILL.policy({})

    assert (policy.max_events, policy.max_wait_s, policy.success) == (1000, 60.0, (200,))
    with pytest.raises(BadInput) as caught:
        MANDRILL.check_policy(replace(policy, max_events=1001), {})
    assert caught.value.member == "policy.max_events"


def test_what_mandrill_has_no_word_for_is_not_sent() -> None:
    assert frozenset(EventType) - MANDRILL.carries({}) == {
        EventType.REQUEST,
        EventType.FAILED,
        EventType.RESUBSCRIBE,
        EventType.AUTO_RESPONSE,
        EventType.INBOUND,
        *MADE_HERE,
    }


TOLD = {
    "sent": "sent",
    "deferred": "deferred",
    "hard_bounce": "bounced",
    "soft_bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "spam_report": "complained",
    "unsubscribe": "unsubscribed",
    "dropped": "rejected",
    "delivered": "unknown",
}
"""What django-anymail makes of each; it does not know the newer `delivered`."""


@pytest.mark.parametrize("user", ["", "user:pass@"])
async def test_django_anymail_takes_the_signature_and_reads_every_word(user: str) -> None:
    with judges.judging() as judge:
        async with running() as rig:
            sender = judges.send_for_real(rig)
            url = judge.url("mandrill", user) + "?a=1"
            policy = {"max_wait_s": 0}
            await rig.webhook(url, dialect="mandrill", secrets=judges.own_key(rig), policy=policy)
            samples = {each["type"]: each for each in MANDRILL.sample()}
            given = [event(n, kind, **_rest(samples[kind])) for n, kind in enumerate(TOLD)]
            judge.refusing = 1

            await rig.send(*given)
            await rig.turn()
            await rig.later(6)
            await rig.turn()
            await sender.close()

            assert (await rig.audit()).problems == []
    first, again = judge.bodies()
    assert (judge.answers, first) == ([200, 200], again)
    told = judge.events[len(TOLD) :]
    assert [each.event_type for each in told] == list(TOLD.values())
    for number, (kind, read) in enumerate(zip(TOLD, told, strict=True)):
        sample = samples[kind]
        assert read.recipient == f"user{number}@example.net"
        assert int(read.timestamp.timestamp()) == 1755856802 + number
        assert read.message_id == sample["message"]["id"]
        assert read.metadata == sample.get("metadata", {})
        assert read.tags == sample.get("tags", [])
        assert read.click_url == sample.get("link", {}).get("url")
    assert told[2].mta_response.startswith("smtp;550 5.1.1 <bob@example.org>: Recipient address")


def _rest(sample: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sample.items() if name not in ("type", "recipient")}


async def test_django_anymail_refuses_what_is_signed_for_another_url() -> None:
    elsewhere = override_settings(ANYMAIL_MANDRILL_WEBHOOK_URL="https://elsewhere.example/")
    with judges.judging() as judge, elsewhere:
        async with running() as rig:
            sender = judges.send_for_real(rig)
            url = judge.url("mandrill")
            policy = {"max_wait_s": 0}
            await rig.webhook(url, dialect="mandrill", secrets=judges.own_key(rig), policy=policy)
            await rig.send(event(1))
            await rig.turn()
            await sender.close()

    assert judge.answers == [400]


async def test_the_probe_over_the_socket_is_a_head_that_django_anymail_answers() -> None:
    with judges.judging() as judge:
        sender = judges.sender()
        (probe,) = MANDRILL.probes(judge.url("mandrill"), {"url_check": "head_or_post"})
        outcomes = [await sender.send(judges.request_of(judge, probe)) for _ in range(2)]
        assert probe.instead is not None
        refused = await sender.send(judges.request_of(judge, probe.instead))
        await sender.close()

    assert [each.status for each in outcomes] == [200, 200]
    assert refused.status == 400  # django-anymail knows no key of tests
    assert [method for method, _ in judge.asked] == ["HEAD", "HEAD", "POST"]


async def test_what_we_sent_is_shown_in_words_and_no_signature_of_a_url_that_is_not_kept() -> None:
    async with running() as rig:
        url = URL + "?token=hush"
        rig.sender.standing[url] = Outcome(status=503)
        policy = {"max_wait_s": 0}
        webhook = await rig.webhook(
            url, dialect="mandrill", secrets=judges.own_key(rig), policy=policy
        )
        await rig.send(event(1))
        await rig.turn()
        (batch,) = await rig.engine.ledger.open_batches()
        reports = Reports(rig.engine, DIALECTS, rig.directory, rig.clock)

        shown = await reports.exchange.sent(None, batch.id, rig.clock.now())
        await rig.engine.registry.set_webhook(replace(webhook, url="https://b.example/"))
        await rig.directory.refresh()
        since = await reports.exchange.sent(None, batch.id, rig.clock.now())

        (real,) = rig.sender.got[url]
        assert shown is not None and since is not None
        assert (shown.body, dict(shown.headers)) == (real.body, dict(real.headers))
        name, _, value = shown.pretty().partition("=")
        assert (name, json.loads(value)[0]["event"]) == ("mandrill_events", "delivered")
        assert dict(since.headers)["X-Mandrill-Signature"] == "***"
        assert not shown.is_sealed
