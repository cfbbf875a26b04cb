"""The native dialect: headers that other people's libraries verify, and its policy."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import standardwebhooks
import svix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from postbell import signing
from postbell.dialects import find
from postbell.events import EventType
from postbell.ports import Signing, Stored
from postbell.records import DEFAULT_RETRY_WAITS_S, Secret, SecretKind
from tests.strategies import stored

NATIVE = find("native")
EVENT = {"type": "click", "recipient": "ada@example.net", "link": {"url": "https://example.com/"}}


def key(number: int, kind: SecretKind) -> Secret:
    at = datetime.now(UTC) - timedelta(days=number)
    return Secret(number, kind, signing.new_secret(kind), at, at)


def signed(body: bytes, secrets: list[Secret], at: datetime) -> dict[str, str]:
    about = Signing(
        url="https://example.net/", batch_id="bat_01", attempt=3, events=7, at=at, secrets=secrets
    )
    return dict(NATIVE.headers(body, about, {}))


def test_headers_name_batch_attempt_count_and_time() -> None:
    at = datetime(2026, 11, 21, 12, 0, 0, 999_999, tzinfo=UTC)

    headers = signed(b"[]", [key(1, SecretKind.SYMMETRIC)], at)

    assert headers.pop("webhook-signature").startswith("v1,")
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "bat_01",
        "webhook-timestamp": "1795262400",
        "postbell-attempt": "3",
        "postbell-events": "7",
    }


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_other_peoples_libraries_verify_each_key_of_a_rotation(
    library: type[standardwebhooks.Webhook],
) -> None:
    keys = [key(1, SecretKind.SYMMETRIC), key(2, SecretKind.SYMMETRIC), key(3, SecretKind.ED25519)]
    body = NATIVE.render([stored(EVENT), stored(EVENT | {"type": "open"}, 48212)], {})

    headers = signed(body, keys, datetime.now(UTC))

    for symmetric in keys[:2]:
        library(symmetric.value).verify(body, headers)


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_other_peoples_libraries_refuse_a_changed_body(
    library: type[standardwebhooks.Webhook],
) -> None:
    owned = key(1, SecretKind.SYMMETRIC)
    headers = signed(b"[]", [owned], datetime.now(UTC))

    with pytest.raises((standardwebhooks.WebhookVerificationError, svix.WebhookVerificationError)):
        library(owned.value).verify(b"[ ]", headers)


def test_an_ed25519_key_adds_a_v1a_signature_that_its_public_key_verifies() -> None:
    keys = [key(1, SecretKind.SYMMETRIC), key(2, SecretKind.ED25519)]

    headers = signed(b"[]", keys, datetime.now(UTC))

    first, second = headers["webhook-signature"].split(" ")
    public = b64decode(signing.public_key(keys[1].value).removeprefix("whpk_"))
    content = f"bat_01.{headers['webhook-timestamp']}.[]".encode()
    assert first.startswith("v1,")
    Ed25519PublicKey.from_public_bytes(public).verify(
        b64decode(second.removeprefix("v1a,")), content
    )


def test_without_a_key_there_is_no_signature_header() -> None:
    assert "webhook-signature" not in signed(b"[]", [], datetime.now(UTC))


def test_each_event_says_when_it_was_recorded_and_its_place_in_the_log() -> None:
    first = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    later = first + timedelta(microseconds=1)
    events = [stored(EVENT, 1, first), stored(EVENT, 2, later), stored(EVENT, 3, later)]

    read = msgspec.json.decode(NATIVE.render(events, {}))

    assert [(event["sequence"], event["recorded_at"]) for event in read] == [
        (1, "2026-11-21T12:00:00.000000Z"),
        (2, "2026-11-21T12:00:00.000001Z"),
        (3, "2026-11-21T12:00:00.000001Z"),
    ]


def test_a_rendered_event_can_be_posted_again_as_it_is() -> None:
    (read,) = msgspec.json.decode(NATIVE.render([stored(EVENT | {"event_id": "ev_1"})], {}))

    again = stored(read)

    assert again.raw == stored(EVENT | {"event_id": "ev_1"}).raw


def test_events_of_unknown_type_are_carried() -> None:
    raw = b'{"event_id":"ev_1","type":"unknown","source":{"raw_ref":"r"}}'
    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    body = NATIVE.render([Stored(raw, 5, at)], {})

    assert EventType.UNKNOWN in NATIVE.carries({})
    assert body == (
        b'[{"event_id":"ev_1","type":"unknown","source":{"raw_ref":"r"},'
        b'"recorded_at":"2026-11-21T12:00:00.000000Z","sequence":5}]'
    )


def test_the_default_policy_is_the_designs() -> None:
    policy = NATIVE.policy({})

    assert (policy.max_events, policy.max_wait_s, policy.max_bytes) == (1000, 5.0, 1 << 20)
    assert (policy.timeout_s, policy.success, policy.concurrency) == (15.0, (), 4)
    assert policy.retry_waits_s == DEFAULT_RETRY_WAITS_S
    assert NATIVE.secret_kinds == (SecretKind.SYMMETRIC, SecretKind.ED25519)
    assert NATIVE.signs_with_several
