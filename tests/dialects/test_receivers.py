"""Real receivers, as customers run them: PHP's own server and the examples of the howtos."""

import hmac
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postbell import signing
from postbell.dialects import find
from postbell.dialects.engagelab import signature
from postbell.ports import Signing
from postbell.records import Secret, SecretKind
from tests.strategies import stored

HERE = Path(__file__).parent
HOWTO = HERE.parents[1] / "docs" / "howto"
TOKEN = "a-long-random-word"
STARTED = re.compile(r"http://127\.0\.0\.1:(\d+)")


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[int]:
    """Run a server that prints its address when it is ready; yield its port."""
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = STARTED.search(process.stdout.readline())
        assert found, f"{command[0]} did not start: {process.stdout.read()}"
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate(timeout=10)


def php() -> str:
    found = shutil.which("php")
    assert found, "php is not installed; these tests need it: apt-get install php-cli"
    return found


def post(port: int, path: str, body: bytes, headers: list[tuple[str, str]]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def key(kind: SecretKind) -> Secret:
    at = datetime.now(UTC)
    return Secret(1, kind, signing.new_secret(kind), at, at)


SYMMETRIC = key(SecretKind.SYMMETRIC)
APP_KEY = key(SecretKind.APP_KEY)
ENVIRONMENT = {
    "SIGNING_SECRET": SYMMETRIC.value,
    "APP_KEY": APP_KEY.value,
    "TOKEN": TOKEN,
}
PATHS = ["/native", "/engagelab", "/sendpulse"]
CASES = {
    "native": ("/native", 3),
    "sendpulse": (f"/sendpulse?token={TOKEN}", 3),
    "engagelab": ("/engagelab", 1),
}


@contextmanager
def example(language: str, kept: Path, secrets: dict[str, str]) -> Iterator[int]:
    """Run the howto's receiver in *language*, which writes the file *kept*; yield its port."""
    examples = HOWTO / "examples"
    if language == "python":
        command = [sys.executable, str(examples / "receive.py"), "0", str(kept)]
    else:
        command = [php(), "-S", "127.0.0.1:0", str(examples / "receive.php")]
    with running(command, secrets | {"EVENTS_FILE": str(kept)}) as port:
        yield port


@pytest.fixture(params=["python", "php"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The howto's receiver in one language: its port, and the file that it writes."""
    kept = tmp_path / "events.jsonl"
    with example(request.param, kept, ENVIRONMENT) as port:
        yield port, kept


def request_of(
    name: str, count: int, at: datetime | None = None
) -> tuple[bytes, list[tuple[str, str]]]:
    """Return body and headers of a batch of *count* events in the dialect *name*."""
    dialect = find(name)
    sample = {"type": "delivered", "recipient": "ada@example.net", "metadata": {}}
    events = [
        stored(sample | {"message": {"id": str(n + 1), "subject": "Ваш заказ / № 1042"}}, n + 1)
        for n in range(count)
    ]
    body = dialect.render(events, {})
    about = Signing(
        url="https://example.net/",
        batch_id="bat_01",
        attempt=1,
        events=count,
        at=at or datetime.now(UTC),
        secrets=[SYMMETRIC, APP_KEY],
    )
    return body, dialect.headers(body, about, {})


def test_the_script_of_sendpulses_page_takes_a_batch_of_1000() -> None:
    body, headers = request_of("sendpulse", 1000)
    sent = json.loads(body)

    with running([php(), "-S", "127.0.0.1:0", str(HERE / "receivers" / "seed.php")], {}) as port:
        status, answer = post(port, "/", body, headers)

    assert status == 200
    assert json.loads(answer) == {
        "error": "No error",
        "count": 1000,
        "first": sent[0],
        "last": sent[-1],
    }
    assert sent[-1]["message_id"] == 1000


@pytest.mark.parametrize("name", CASES)
def test_the_howtos_receivers_keep_what_they_answer_for(
    name: str, receiver: tuple[int, Path]
) -> None:
    port, kept = receiver
    path, count = CASES[name]
    body, headers = request_of(name, count)

    status, _ = post(port, path, body, headers)

    sent = json.loads(body)
    read: list[Any] = [json.loads(line) for line in kept.read_text().splitlines()]
    assert status == 204
    assert read == (sent if isinstance(sent, list) else [sent])


def test_the_howtos_receivers_refuse_what_is_not_ours(receiver: tuple[int, Path]) -> None:
    port, kept = receiver
    native, native_headers = request_of("native", 2)
    lab, lab_headers = request_of("engagelab", 1)
    unsigned = [("content-type", "application/json")]
    wrong_md5 = [*lab_headers, ("X-WebHook-Signature", "0" * 32)]

    answers = [
        post(port, "/native", native.replace(b"ada", b"eve"), native_headers),
        post(port, "/native", native, unsigned),
        post(port, "/engagelab", lab, unsigned),
        post(port, "/engagelab", lab, wrong_md5),
        post(port, "/sendpulse?token=guess", b"[]", unsigned),
        post(port, "/sendpulse", b"[]", unsigned),
        post(port, "/elsewhere", b"[]", unsigned),
        post(port, f"/sendpulse?token={TOKEN}", b"[{},]", unsigned),
    ]

    assert [status for status, _ in answers] == [401, 401, 401, 401, 401, 401, 404, 400]
    assert not kept.exists()


@pytest.mark.parametrize("language", ["python", "php"])
def test_a_receiver_whose_secrets_are_empty_lets_nobody_in(language: str, tmp_path: Path) -> None:
    kept = tmp_path / "events.jsonl"
    now_ms = str(int(datetime.now(UTC).timestamp() * 1000))
    content = f"bat_01.{now_ms[:-3]}.[]".encode()
    forged = [
        ("webhook-id", "bat_01"),
        ("webhook-timestamp", now_ms[:-3]),
        ("webhook-signature", "v1," + b64encode(hmac.digest(b"", content, "sha256")).decode()),
        ("X-WebHook-Timestamp", now_ms),
        ("X-WebHook-AppKey", "email"),
        ("X-WebHook-Signature", signature.md5(now_ms, "")),
    ]

    with example(language, kept, dict.fromkeys(ENVIRONMENT, "")) as port:
        answers = [post(port, path, b"[]", forged) for path in PATHS]

    assert [status for status, _ in answers] == [500, 500, 500]
    assert not kept.exists()


@pytest.mark.parametrize("name", ["native", "engagelab"])
def test_the_howtos_receivers_refuse_an_old_request_sent_again(
    name: str, receiver: tuple[int, Path]
) -> None:
    port, kept = receiver
    body, headers = request_of(name, 1, at=datetime.now(UTC) - timedelta(minutes=6))

    status, _ = post(port, CASES[name][0], body, headers)

    assert status == 401
    assert not kept.exists()


@pytest.mark.parametrize("stamp", ["9" * 5000, "\u00b2", "-1", ""])
def test_the_howtos_receivers_refuse_a_time_that_is_none(
    receiver: tuple[int, Path], stamp: str
) -> None:
    port, kept = receiver
    signed = [("webhook-id", "a"), ("webhook-signature", "v1,AAAA"), ("webhook-timestamp", stamp)]
    lab = [("X-WebHook-Signature", "0" * 32), ("X-WebHook-Timestamp", stamp)]

    answers = [post(port, "/native", b"[]", signed), post(port, "/engagelab", b"{}", lab)]

    assert [status for status, _ in answers] == [401, 401]
    assert not kept.exists()


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
def test_the_howtos_python_receiver_reads_no_body_of_a_length_that_is_none(
    tmp_path: Path, length: str
) -> None:
    kept = tmp_path / "events.jsonl"

    with example("python", kept, ENVIRONMENT) as port:
        status, _ = post(port, "/native", b"[]", [("Content-Length", length)])

    assert status == 411
    assert not kept.exists()


@pytest.mark.parametrize(
    ("page", "name", "language"),
    [("receive-in-python.md", "receive.py", "python"), ("receive-in-php.md", "receive.php", "php")],
)
def test_the_page_shows_the_example_that_is_tested(page: str, name: str, language: str) -> None:
    code = (HOWTO / "examples" / name).read_text()

    shown = (HOWTO / page).read_text()

    assert f"```{language}\n{code}```" in shown
