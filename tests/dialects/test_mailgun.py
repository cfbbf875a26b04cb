"""The Mailgun dialect: its seal, its policy, and what the official verifier and django-anymail say
of what comes off the socket."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import mailgun.security
import pytest
from mailgun.security import SecurityGuard
from msgspec.structs import replace

from postbell.dialects import DIALECTS, find
from postbell.errors import BadInput
from postbell.events import MADE_HERE, TYPES, EventType
from postbell.ports import Signing
from postbell.records import BatchState, Outcome, Secret, SecretKind
from postbell.reports import Reports
from tests.delivery.rig import event, running
from tests.dialects import judges
from tests.dialects.judges import KEY
from tests.strategies import stored

MAILGUN = find("mailgun")
AT = datetime.fromtimestamp(1_700_000_000, UTC)
TOKEN = "0123456789abcdef0123456789abcdef0123456789abcdef01"


def signing(at: datetime, *keys: str) -> Signing:
    secrets = [Secret(n, SecretKind.APP_KEY, key, at, at) for n, key in enumerate(keys)]
    return Signing(
        url="https://example.net/", batch_id="bat_01", attempt=1, events=1, at=at, secrets=secrets
    )


def rendered(**members: Any) -> bytes:
    filled = {"type": "delivered", "recipient": "ada@example.net", "event_id": "ev-1"} | members
    return MAILGUN.render([stored(filled)], {})


@pytest.mark.parametrize(
    ("later_s", "stamp", "signature"),
    [
        (0.9, "1700000000", "e47161eaeb97e1a2d11620114b5a7c1ceb00c7b924cfffcd1f564c0220130f27"),
        (300, "1700000300", "1822394795ffdfd1ab0bf501d19649517f3b2735ebd0fe364440c52a8bf94a18"),
    ],
)
def test_the_seal_is_that_of_the_vectors(later_s: float, stamp: str, signature: str) -> None:
    body = rendered()
    token = json.loads(body)["signature"]["token"]
    body = body.replace(token.encode(), TOKEN.encode())

    sealed = MAILGUN.seal(body, signing(AT + timedelta(seconds=later_s), KEY), {})

    assert json.loads(sealed)["signature"] == {
        "timestamp": stamp,
        "token": TOKEN,
        "signature": signature,
    }


def test_attempts_differ_in_timestamp_and_signature_alone() -> None:
    body = rendered()

    first = MAILGUN.seal(body, signing(AT, KEY), {})
    second = MAILGUN.seal(body, signing(AT + timedelta(hours=2), KEY), {})

    told, again = json.loads(first), json.loads(second)
    assert told["signature"].pop("timestamp") != again["signature"].pop("timestamp")
    assert told["signature"].pop("signature") != again["signature"].pop("signature")
    assert told == again
    assert len(first) == len(second) == len(body)


def test_the_newest_key_signs_and_without_one_nothing_does() -> None:
    body = rendered()

    sealed = MAILGUN.seal(body, signing(AT, "the-newest-key", KEY), {})

    triple = json.loads(sealed)["signature"]
    assert SecurityGuard.verify_webhook("the-newest-key", **triple, max_age_seconds=0)
    assert MAILGUN.seal(body, signing(AT), {}) == body


def test_a_token_is_of_its_event_and_of_no_other() -> None:
    tokens = [json.loads(rendered(event_id=name))["signature"]["token"] for name in ("a", "b", "a")]

    assert tokens[0] == tokens[2] != tokens[1]
    assert all(len(token) == 50 for token in tokens)


def test_its_policy_is_mailguns() -> None:
    policy = MAILGUN.policy({})

    assert (policy.max_events, policy.success, policy.refused) == (1, (200,), (406,))
    assert sum(policy.retry_waits_s) == 7.5 * 3600
    with pytest.raises(BadInput) as caught:
        MAILGUN.check_policy(replace(policy, max_events=2), {})
    assert caught.value.member == "policy.max_events"


def test_what_mailgun_has_no_word_for_is_not_sent() -> None:
    missing = frozenset(EventType) - MAILGUN.carries({})

    assert missing == {
        EventType.SENT,
        EventType.FAILED,
        EventType.RESUBSCRIBE,
        EventType.AUTO_RESPONSE,
        EventType.INBOUND,
        *MADE_HERE,
    }
    assert all(MAILGUN.weight(r.number, None, {}) == 0 for r in TYPES if r.type in missing)


TOLD = {
    "request": "queued",
    "delivered": "delivered",
    "soft_bounce": "bounced",
    "hard_bounce": "bounced",
    "dropped": "bounced",
    "deferred": "deferred",
    "open": "opened",
    "click": "clicked",
    "unsubscribe": "unsubscribed",
    "spam_report": "complained",
}


async def test_django_anymail_reads_every_word_off_the_socket() -> None:
    with judges.judging() as judge:
        async with running() as rig:
            sender = judges.send_for_real(rig)
            url = judge.url("mailgun/tracking")
            await rig.webhook(url, dialect="mailgun", secrets=judges.own_key(rig))
            samples = {each["type"]: each for each in MAILGUN.sample()}

            given = [event(n, kind, **_rest(samples[kind])) for n, kind in enumerate(TOLD)]
            await rig.send(*given)
            await rig.turn()
            await sender.close()

            assert (await rig.audit()).problems == []
    told = {each.recipient: each for each in judge.events}
    assert judge.answers == [200] * len(TOLD)
    for number, (kind, word) in enumerate(TOLD.items()):
        read = told[f"user{number}@example.net"]
        sample = samples[kind]
        assert read.event_type == word
        assert int(read.timestamp.timestamp()) == 1755856802 + number
        assert read.message_id == f"<{sample['message']['rfc_message_id']}>"
        assert read.metadata == sample.get("metadata", {})
        assert read.tags == sample.get("tags", [])
        assert read.click_url == sample.get("link", {}).get("url")
    assert len({each.event_id for each in judge.events}) == len(TOLD)
    hard = told["user3@example.net"]
    assert hard.reject_reason == "bounced"
    assert hard.mta_response.startswith("5.1.1 <bob@example.org>: Recipient address rejected")


def _rest(sample: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sample.items() if name not in ("type", "recipient")}


async def test_every_attempt_verifies_when_it_comes_and_keeps_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with judges.judging() as judge:
        async with running() as rig:
            monkeypatch.setattr(
                mailgun.security,
                "time",
                SimpleNamespace(time=lambda: rig.clock.now().timestamp()),
            )
            sender = judges.send_for_real(rig)
            url = judge.url("mailgun/tracking")
            await rig.webhook(url, dialect="mailgun", secrets=judges.own_key(rig))
            judge.refusing = 6
            await rig.send(event(1))
            await rig.turn()
            verified = [_is_verified(judge.bodies()[-1])]
            for wait_s in MAILGUN.policy({}).retry_waits_s:
                rig.clock.advance(wait_s * 1.2)
                await rig.turn()
                verified.append(_is_verified(judge.bodies()[-1]))
            stale = [_is_verified(body) for body in judge.bodies()[:-1]]
            await sender.close()

    tokens = {json.loads(body)["signature"]["token"] for body in judge.bodies()}
    data = {json.dumps(json.loads(body)["event-data"]) for body in judge.bodies()}
    assert (len(judge.bodies()), verified, stale) == (7, [True] * 7, [False] * 6)
    assert len(tokens) == len(data) == 1
    assert {each.event_id for each in judge.events} == tokens


def _is_verified(body: bytes) -> bool:
    return SecurityGuard.verify_webhook(KEY, **json.loads(body)["signature"])


async def test_what_is_refused_with_406_is_parked_and_what_we_sent_is_shown_as_sealed() -> None:
    async with running() as rig:
        url = "https://a.example/hook"
        rig.sender.standing[url] = Outcome(status=406)
        await rig.webhook(url, dialect="mailgun", secrets=judges.own_key(rig))
        await rig.send(event(1))
        await rig.turn()
        rig.clock.advance(3600)

        (batch,) = await rig.engine.ledger.open_batches()
        reports = Reports(rig.engine, DIALECTS, rig.directory, rig.clock)
        shown = await reports.exchange.sent(None, batch.id, rig.clock.now())

        assert (batch.state, batch.attempts) == (BatchState.PARKED, 1)
        assert shown is not None
        assert shown.body == rig.sender.got[url][0].body
        assert shown.is_sealed
        assert (await rig.audit()).problems == []
