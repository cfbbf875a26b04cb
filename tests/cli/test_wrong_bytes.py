"""Arguments and settings that are not UTF-8, and files that do not end, are named and refused."""

import io
import os
import subprocess
from pathlib import Path

import pytest

from postbell.cli import lines
from postbell.cli.lines import items
from postbell.errors import BadInput
from tests.cli.running import LIMIT_S, Postbell
from tests.forked import COMMAND

BYTES = os.fsdecode(b"k\xff")
ENDLESS = "/dev/zero"
SEND = ("events", "send", "x", "--api-user", "a", "--api-key", "b", "--url", "https://localhost:9")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("batches", "show", BYTES), "argument 3 of the command"),
        ((BYTES,), "argument 1 of the command"),
        (("accounts", "create", BYTES), "argument 3 of the command"),
        (("events", "send", "x.json", "--api-key", BYTES), "the value of --api-key"),
        (("events", "send", "x.json", "--api-key=" + BYTES), "the value of --api-key"),
        (("serve", "--region", BYTES), "the value of --region"),
        (("--config", BYTES, "serve"), "the value of --config"),
        (("events", "send", "--" + BYTES), "argument 3 of the command"),
    ],
)
def test_an_argument_that_is_not_utf8_is_named_and_not_shown(
    tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    done = Postbell(tmp_path)(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {named} is not UTF-8; write it in UTF-8\n"


@pytest.mark.parametrize("name", ["REGION", "API_KEY", "CONFIG", "PROFILE", "POLICY_NATIVE", "NO"])
def test_a_variable_that_is_not_utf8_is_named_and_not_shown(tmp_path: Path, name: str) -> None:
    done = Postbell(tmp_path, **{f"POSTBELL_{name}": BYTES})("accounts", "list")

    assert done.returncode == 2
    assert done.stderr == f"error: POSTBELL_{name} is not UTF-8; write it in UTF-8\n"


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (("owners", "add", "acme", "ada@example.com", "--password-file", ENDLESS), "4,096"),
        (("owners", "reset-password", "ada@example.com", "--password-file", ENDLESS), "4,096"),
        (("accounts", "list", "--secret-key-file", ENDLESS), "65,536"),
        (("accounts", "list", "--config", ENDLESS), "1,048,576"),
        (("serve", "--ca-file", ENDLESS), "16,777,216"),
        (("serve", "--tls-cert-file", ENDLESS, "--tls-key-file", ENDLESS), "16,777,216"),
        ((*SEND, "--follow", "--checkpoint", ENDLESS), "65,536"),
        ((*SEND, "--ca-file", ENDLESS), "16,777,216"),
    ],
)
def test_a_file_that_does_not_end_is_refused_with_the_limit(
    tmp_path: Path, words: tuple[str, ...], limit: str
) -> None:
    postbell = Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0")
    assert postbell("accounts", "create", "acme").returncode == 0

    done = subprocess.run(
        [*COMMAND, *words],
        env=postbell.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )

    assert done.returncode in (1, 2)
    assert "unexpected" not in done.stderr
    assert f"{limit} bytes, which is the limit" in done.stderr


def test_a_password_on_standard_input_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    postbell = Postbell(tmp_path / "data")
    assert postbell("accounts", "create", "acme").returncode == 0

    done = subprocess.run(
        [*COMMAND, "owners", "add", "acme", "ada@example.com", "--password-file", "-"],
        env=postbell.environ | {"LC_ALL": "C"},
        input=b"correct horse \xff battery\n",
        capture_output=True,
        timeout=LIMIT_S,
    )

    assert (done.returncode, done.stderr) == (2, b"error: - is not UTF-8\n")


@pytest.mark.parametrize("begin", [b"", b"[", b'{\n"type":'])
def test_events_that_do_not_end_are_refused(monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(lines, "MAX_WHOLE_BYTES", 1000)

    with pytest.raises(BadInput, match="over 1,000 bytes"):
        list(items(io.BytesIO(begin + b" " * 2000), "the file"))


def test_a_command_of_a_user_whose_name_is_not_utf8_is_noted(tmp_path: Path) -> None:
    done = Postbell(tmp_path / "data", SUDO_USER=BYTES)("accounts", "create", "acme")

    assert (done.returncode, done.stderr) == (0, "")
