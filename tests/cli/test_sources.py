"""`postbell sources`: what a running service reads, seen from beside it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import LIMIT_S, Postbell, line_with


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def postbell(tmp_path: Path, log: Path) -> Postbell:
    members = {"path": str(log), "account": "acme", "api_user": "mailer"}
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN="127.0.0.1:0",
        POSTBELL_SOURCE_OUT_MAIL=json.dumps(members),
    )
    for words in ("accounts create acme", "api-users create acme mailer"):
        assert postbell(*words.split()).returncode == 0
    return postbell


def append(path: Path, *lines: object) -> None:
    with path.open("a") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)


def until(postbell: Postbell, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the source once it stands so."""
    ends_s = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_s:
        found = postbell.json("sources", "list")
        if found and done(found[0]):
            return dict(found[0])
        time.sleep(0.1)
    raise AssertionError(found)


def test_what_a_service_reads_is_listed_beside_it(postbell: Postbell, log: Path) -> None:
    none = postbell("sources", "list").stdout
    append(log, {"type": "open", "recipient": "a@b.example"}, "no event")
    with postbell.running("serve") as process:
        line_with(process, "postbell is ready: (.*)")
        source = until(postbell, lambda each: each["taken"] == 1 and each["lag_bytes"] == 0)
        table = postbell("sources", "list").stdout
        process.terminate()
        process.wait(LIMIT_S)
    stopped = postbell.json("sources", "list")[0]["state"]

    assert none == "no source ever ran; name one in the settings, as [source.NAME]\n"
    assert (source["name"], source["kind"], source["account"]) == ("out-mail", "file", "acme")
    assert (source["refused"], source["position"], source["place"]) == (1, "line 2", str(log))
    assert source["refusal"].startswith("line 2: ")
    assert "out-mail" in table
    assert "up_to_date" in table
    assert stopped == "stopped"


def test_a_source_that_is_forgotten_reads_its_file_again(postbell: Postbell, log: Path) -> None:
    append(log, {"type": "open", "recipient": "a@b.example", "event_id": "one"})
    with postbell.running("serve") as process:
        line_with(process, "postbell is ready: (.*)")
        until(postbell, lambda each: each["taken"] == 1)
        forgotten = postbell("sources", "forget", "out-mail")
        until(postbell, lambda each: each["duplicates"] == 1)
    unknown = postbell("sources", "forget", "nothing")

    assert forgotten.returncode == 0
    assert (unknown.returncode, "no source 'nothing'" in unknown.stderr) == (2, True)


def test_a_source_that_is_said_wrong_is_refused_by_name(postbell: Postbell) -> None:
    done = postbell("serve", "--source", 'out-mail={"path": "events.jsonl"}')
    unread = postbell("serve", "--source", "out-mail")

    assert done.returncode == 2
    assert "source.out-mail from --source: Object missing required field" in done.stderr
    assert "--source is 'out-mail'; NAME=JSON expected" in unread.stderr
