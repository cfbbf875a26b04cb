import base64
import hashlib
import hmac
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postbell.dialects import find
from postbell.ports import Signing
from postbell.records import Secret, SecretKind
from tests.cli.running import LIMIT_S, Postbell, line_with
from tests.strategies import stored

KEY = b"0123456789abcdef01234567"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PUBLIC = "whpk_" + base64.b64encode(bytes(32)).decode()


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Return the status and the headers of the answer."""
    request = urllib.request.Request(url, body, headers or {}, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=LIMIT_S) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers


def url_of(process: "subprocess.Popen[str]") -> str:
    return line_with(process, r"listening on (\S+)")


def signed(body: bytes, stamp: int, signature: str) -> dict[str, str]:
    return {
        "webhook-id": "bat_1",
        "webhook-timestamp": str(stamp),
        "webhook-signature": signature,
        "postbell-attempt": "2",
    }


def v1(body: bytes, stamp: int) -> str:
    mac = hmac.digest(KEY, f"bat_1.{stamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac).decode()


def first_json(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_a_delivery_is_shown_on_a_line(postbell: Postbell) -> None:
    body = b'[{"a": 1}, {"a": 2}]'
    now = int(time.time())
    with postbell.running("listen", "--port", "0", "--secret", SECRET) as process:
        url = url_of(process)

        status, _ = post(url + "/hook", body, signed(body, now, "v1,AAAA " + v1(body, now)))

        assert status == 200
        assert process.stdout is not None
        shown = process.stdout.readline()
        assert re.match(
            r"\S+Z native bat_1 attempt 2 2 events 20 bytes, signature: verified, answered 200\n",
            shown,
        )


@pytest.mark.parametrize(
    ("shift_s", "changed", "is_good", "reason"),
    [
        (0, b"", True, "verified"),
        (0, b" ", False, "the signature is of another key or body"),
        (-400, b"", False, "webhook-timestamp is more than 300 s off"),
    ],
)
def test_a_native_signature_is_checked_with_its_body_and_time(
    postbell: Postbell, shift_s: int, changed: bytes, is_good: bool, reason: str
) -> None:
    stamp = int(time.time()) + shift_s
    body = b"[]"
    with postbell.running("listen", "--port", "0", "--secret", SECRET, "--json") as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        post(url, body + changed, signed(body, stamp, v1(body, stamp)))

        shown = first_json(process)
    assert (shown["verified"], shown["signature"]) == (is_good, reason)
    assert (shown["dialect"], shown["batch"], shown["attempt"]) == ("native", "bat_1", "2")


def test_an_asymmetric_signature_is_checked_with_the_public_key(postbell: Postbell) -> None:
    key = Ed25519PrivateKey.generate()
    public = "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
    stamp = int(time.time())
    made = base64.b64encode(key.sign(f"bat_1.{stamp}.[]".encode())).decode()
    with postbell.running("listen", "--port", "0", "--secret", public, "--json") as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        post(url, b"[]", signed(b"[]", stamp, "v1a," + made))
        post(url, b"[1]", signed(b"[1]", stamp, "v1a," + made))

        assert [first_json(process)["verified"] for _ in range(2)] == [True, False]


@pytest.mark.parametrize("formula", ["md5", "hmac"])
def test_both_engagelab_formulas_are_known(postbell: Postbell, formula: str) -> None:
    stamp, app_key = "1676615711325", "test_appkey"
    made = {
        "md5": hashlib.md5(f"{stamp}email{app_key}".encode()).hexdigest(),
        "hmac": hmac.new(app_key.encode(), stamp.encode(), "sha256").hexdigest(),
    }[formula]
    headers = {
        "X-WebHook-Timestamp": stamp,
        "X-WebHook-AppKey": "email",
        "X-WebHook-Signature": made,
        "postbell-batch": "bat_2",
    }
    with postbell.running("listen", "--port", "0", "--secret", app_key, "--json") as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        post(url, b"{}", headers)

        shown = first_json(process)
    assert (shown["dialect"], shown["verified"], shown["events"]) == ("engagelab", True, 1)


APP_KEY = "an-app-key-of-tests"


def made(name: str, url: str, key: str = APP_KEY) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a delivery of one event, as the dialect of this name makes it."""
    dialect, at = find(name), datetime.now(UTC)
    secrets = [Secret(1, SecretKind.APP_KEY, key, at, at)]
    about = Signing(url=url, batch_id="bat_3", attempt=1, events=1, at=at, secrets=secrets)
    sample = stored({"type": "open", "recipient": "ada@example.net"})
    body = dialect.seal(dialect.render([sample], {}), about, {})
    return body, dict(dialect.headers(body, about, {}))


@pytest.mark.parametrize("name", ["mailgun", "mandrill"])
def test_what_is_signed_in_the_body_or_with_the_url_is_checked(
    postbell: Postbell, name: str
) -> None:
    with postbell.running("listen", "--port", "0", "--secret", APP_KEY, "--json") as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1] + "/hook?a=%20b"

        post(url, *made(name, url))
        post(url, *made(name, url, "another-app-key"))
        post(url, *made(name, url + "&c=d"))

        shown = [first_json(process) for _ in range(3)]
    is_of_url = name == "mandrill"
    assert [each["verified"] for each in shown] == [True, False, not is_of_url]
    assert {each["dialect"] for each in shown} == {name}
    assert {each["events"] for each in shown} == {1}


def test_the_url_that_is_signed_can_be_given(postbell: Postbell) -> None:
    registered = "https://ada:secret@hooks.example.com/hook"
    words = ("--secret", APP_KEY, "--url", registered, "--json")
    with postbell.running("listen", "--port", "0", *words) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        post(url, *made("mandrill", registered))

        assert first_json(process)["signature"] == "verified"


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("mailgun", b"[]", "the body has no signature"),
        ("mailgun", b"\xff", "the body has no signature"),
        ("mailgun", b'{"signature":' + b"[" * 9000, "the body has no signature"),
        ("mailgun", b'{"signature":{"timestamp":"\\u00b2","token":"","signature":""}}', "off"),
        ("mandrill", b"\xff%ff=", "header x-mandrill-signature is missing"),
    ],
)
def test_a_body_that_is_none_of_the_dialect_is_said_to_be_bad(
    postbell: Postbell, name: str, body: bytes, reason: str
) -> None:
    words = ("--secret", APP_KEY, "--dialect", name, "--json")
    with postbell.running("listen", "--port", "0", *words) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        post(url, body)

        shown = first_json(process)
    assert shown["verified"] is False
    assert shown["signature"].endswith(reason)


@pytest.mark.parametrize(
    ("secret", "headers", "body", "verified"),
    [
        (SECRET, {"webhook-timestamp": "\u00b2"}, b"[]", False),
        (SECRET, {"webhook-timestamp": "9" * 5000}, b"[]", False),
        (SECRET, {"webhook-signature": "v1,\u00e9"}, b"[]", False),
        (PUBLIC, {"webhook-signature": "v1a,\u00e9"}, b"[]", False),
        (PUBLIC, {"webhook-signature": "v1a,AAA"}, b"[]", False),
        (SECRET, {"x-webhook-signature": "\u00e9"}, b"[]", False),
        (SECRET, {"webhook-id": "\u00ff"}, b'{"a":' * 3000, False),
    ],
)
def test_whatever_comes_is_answered_and_shown(
    postbell: Postbell, secret: str, headers: dict[str, str], body: bytes, verified: bool
) -> None:
    now = int(time.time())
    is_native = "x-webhook-signature" not in headers
    sent = (signed(body, now, "v1,AAAA") if is_native else {}) | headers
    with postbell.running("listen", "--port", "0", "--secret", secret, "--json") as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        status, _ = post(url, body, sent)

        assert status == 200
        assert first_json(process)["verified"] is verified


@pytest.mark.parametrize(
    ("words", "sentence", "status"),
    [
        (("--secret", "whsk_" + "A" * 43 + "="), "a whsk_ key signs; give its public key", 2),
        (("--secret", "whpk_AAAA"), "a whpk_ key holds 32 bytes, this one 3; copy it whole", 2),
        (("--secret", "whsec_%%%"), "the secret is not base64 after its prefix", 2),
        (("--host", "192.0.2.1"), "choose another address with --host and --port", 1),
    ],
)
def test_what_it_cannot_work_with_is_said_at_the_start(
    postbell: Postbell, words: tuple[str, ...], sentence: str, status: int
) -> None:
    refused = postbell("listen", "--port", "0", *words)

    assert refused.returncode == status
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_missing_signature_is_bad_where_a_dialect_is_expected(postbell: Postbell) -> None:
    words = ("listen", "--port", "0", "--secret", SECRET, "--dialect", "native", "--json")
    with postbell.running(*words) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        post(url, b"[]")

        shown = first_json(process)
    assert shown["verified"] is False
    assert shown["signature"] == "header webhook-signature is missing"


def test_it_answers_as_told(postbell: Postbell) -> None:
    words = ("--status", "429", "--retry-after", "7", "--delay", "0.2", "--fail-first", "1")
    with postbell.running("listen", "--port", "0", *words) as process:
        url = url_of(process)

        began = time.monotonic()
        first, headers = post(url, b"[]")
        took_s = time.monotonic() - began
        second, _ = post(url, b"[]")

    assert (first, second) == (503, 429)
    assert headers["retry-after"] == "7"
    assert took_s >= 0.2


def test_bodies_are_kept_as_json_lines_until_the_count_is_reached(
    postbell: Postbell, tmp_path: Path
) -> None:
    out = tmp_path / "bodies.jsonl"
    with postbell.running("listen", "--port", "0", "--count", "2", "--out", str(out)) as process:
        url = url_of(process)
        post(url + "/a%20%C3%A9?b=%20c", '["\u0416"]'.encode(), {"X-One": "1"})
        post(url, b"\xff")
        process.wait(LIMIT_S)

    kept = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert process.returncode == 0
    assert [line["body"] for line in kept] == ['["\u0416"]', "\ufffd"]
    assert kept[0]["headers"]["x-one"] == "1"
    assert kept[0]["path"] == "/a%20%C3%A9?b=%20c"


def test_a_get_is_answered_and_not_counted(postbell: Postbell) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with postbell.running("listen", "--port", "0", "--count", "1", "--status", "500") as process:
        url = url_of(process)

        with opener.open(url, timeout=LIMIT_S) as answer:
            assert answer.status == 200
        assert post(url, b"[]")[0] == 500

        process.wait(LIMIT_S)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["INT", "TERM"]
)
def test_a_signal_ends_it(postbell: Postbell, number: int, status: int) -> None:
    with postbell.running("listen", "--port", "0") as process:
        url_of(process)
        process.send_signal(number)
        _, said = process.communicate(timeout=LIMIT_S)

    assert (process.returncode, said.strip()) == (status, "")
