"""Vectors of Standard Webhooks and EngageLab, keys made and keys given."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from postbell import signing
from postbell.dialects.engagelab import signature
from postbell.errors import BadInput
from postbell.records import Secret, SecretKind

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SEED = bytes(range(32))
SEED_PUBLIC = b64decode("A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_BODY = b'{"test": 2432232314}'


def secret(
    kind: SecretKind,
    value: str,
    *,
    number: int = 1,
    made_at: datetime = AT - timedelta(days=3),
    active_at: datetime = AT,
    expires_at: datetime | None = None,
) -> Secret:
    return Secret(number, kind, value, made_at, active_at, expires_at)


def whsk(raw: bytes) -> str:
    return "whsk_" + b64encode(raw).decode()


def whsec(raw: bytes) -> str:
    return "whsec_" + b64encode(raw).decode()


def test_the_symmetric_vector_of_standard_webhooks_is_met() -> None:
    keys = [secret(SecretKind.SYMMETRIC, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]

    made = signing.standard_signatures(keys, VECTOR_ID, 1614265330, VECTOR_BODY)

    assert made == ["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]


@pytest.mark.parametrize("raw", [SEED, SEED + SEED_PUBLIC], ids=["seed", "seed-and-public"])
def test_the_ed25519_vector_is_met(raw: bytes) -> None:
    keys = [secret(SecretKind.ED25519, whsk(raw))]

    made = signing.standard_signatures(keys, VECTOR_ID, 1614265330, VECTOR_BODY)

    assert made == [
        "v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI5kAey+r4iaBGxTFRrl2iBQxtDQ=="
    ]
    assert signing.public_key(whsk(raw)) == "whpk_" + b64encode(SEED_PUBLIC).decode()


def test_the_md5_vector_of_engagelab_is_met() -> None:
    made = signature.md5("1676615711325", "test_appkey")

    assert made == "674d14e99eef300c56e029ce1c60b211"


def test_the_hmac_vector_of_engagelab_is_met() -> None:
    made = signature.keyed("1676615711325", "test_appkey")

    assert made == "38bdd03e79ac716bd4d70c6d49397ae8530f3ea5a8620668c4409ff6aa70cf4d"


def test_an_app_key_makes_no_standard_signature() -> None:
    keys = [secret(SecretKind.APP_KEY, "test_appkey")]

    made = signing.standard_signatures(keys, VECTOR_ID, 1614265330, VECTOR_BODY)

    assert made == []


@pytest.mark.parametrize("kind", SecretKind)
def test_new_secrets_differ_and_pass_the_check(kind: SecretKind) -> None:
    made = {signing.new_secret(kind) for _ in range(20)}

    assert len(made) == 20
    for value in made:
        signing.check_secret(kind, value)


def test_new_secrets_have_the_documented_forms() -> None:
    symmetric = signing.new_secret(SecretKind.SYMMETRIC)
    private = signing.new_secret(SecretKind.ED25519)
    app_key = signing.new_secret(SecretKind.APP_KEY)

    assert symmetric.startswith("whsec_")
    assert len(b64decode(symmetric[6:])) == 32
    assert private.startswith("whsk_")
    assert len(b64decode(private[5:])) == 64
    assert len(app_key) == 32
    assert set(app_key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_signature_of_a_new_ed25519_key_verifies_with_its_public_key() -> None:
    private = signing.new_secret(SecretKind.ED25519)
    public = Ed25519PublicKey.from_public_bytes(b64decode(signing.public_key(private)[5:]))

    (made,) = signing.standard_signatures([secret(SecretKind.ED25519, private)], "id", 7, b"[]")

    public.verify(b64decode(made.removeprefix("v1a,")), b"id.7.[]")


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_symmetric_secret_of_24_to_64_bytes_is_taken(size: int) -> None:
    signing.check_secret(SecretKind.SYMMETRIC, whsec(b"s" * size))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (SecretKind.SYMMETRIC, whsec(b"s" * 23), "24 to 64 bytes, this one 23"),
        (SecretKind.SYMMETRIC, whsec(b"s" * 65), "24 to 64 bytes, this one 65"),
        (SecretKind.SYMMETRIC, "s" * 32, "not whsec_ followed by base64"),
        (SecretKind.SYMMETRIC, whsec(b"s" * 32) + "!", "not whsec_ followed by base64"),
        (SecretKind.SYMMETRIC, "whsec_gr\u00fc\u00df", "not whsec_ followed by base64"),
        (SecretKind.SYMMETRIC, "", "not whsec_ followed by base64"),
        (SecretKind.ED25519, whsec(SEED), "not whsk_ followed by base64"),
        (SecretKind.ED25519, whsk(b"s" * 31), "32 bytes (seed) or 64"),
        (SecretKind.ED25519, whsk(SEED + SEED), "not the public key of its first half"),
        (SecretKind.APP_KEY, "short", "8 to 128 printable ASCII"),
        (SecretKind.APP_KEY, "with a space in it", "8 to 128 printable ASCII"),
        (SecretKind.APP_KEY, "k" * 129, "8 to 128 printable ASCII"),
        (SecretKind.APP_KEY, "schl\u00fcsselwort", "8 to 128 printable ASCII"),
        (SecretKind.APP_KEY, "key_with_a_line_end\n", "8 to 128 printable ASCII"),
    ],
)
def test_a_malformed_secret_is_refused_without_repeating_it(
    kind: SecretKind, value: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        signing.check_secret(kind, value)

    assert said in caught.value.message
    assert caught.value.member == "secret"
    assert not value or value not in caught.value.message


def test_keys_sign_from_active_at_up_to_but_not_at_expires_at() -> None:
    key = secret(SecretKind.APP_KEY, "k" * 8, active_at=AT, expires_at=AT + timedelta(hours=1))
    step = timedelta(microseconds=1)

    assert signing.active_at([key], AT - step) == []
    assert signing.active_at([key], AT) == [key]
    assert signing.active_at([key], AT + timedelta(hours=1) - step) == [key]
    assert signing.active_at([key], AT + timedelta(hours=1)) == []


def test_a_key_that_a_clock_made_that_was_ahead_signs_at_once() -> None:
    ahead, skewed = AT + timedelta(days=365), AT + timedelta(seconds=50)
    key = secret(SecretKind.APP_KEY, "k" * 8, made_at=ahead, active_at=ahead)
    other = secret(SecretKind.APP_KEY, "k" * 8, made_at=skewed, active_at=ahead)

    assert signing.active_at([key, other], AT) == [key]


def test_the_key_that_became_active_last_comes_first() -> None:
    old = secret(SecretKind.APP_KEY, "old_key_1", number=1, active_at=AT - timedelta(days=2))
    new = secret(SecretKind.APP_KEY, "new_key_1", number=2, active_at=AT - timedelta(days=1))
    scheduled = secret(SecretKind.APP_KEY, "next_key", number=3, active_at=AT + timedelta(days=1))

    assert signing.active_at([old, scheduled, new], AT) == [new, old]
    assert signing.active_at([old, scheduled, new], AT + timedelta(days=1)) == [
        scheduled,
        new,
        old,
    ]
