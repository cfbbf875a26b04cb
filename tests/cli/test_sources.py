"""`postbell sources`: what a running service reads, seen from beside it."""

import bz2
import gzip
import json
import lzma
import time
from base64 import b64decode
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


def test_what_was_not_understood_is_listed_shown_read_again_and_dropped(
    postbell: Postbell, log: Path
) -> None:
    def quarantine(*words: str) -> Any:
        return postbell.json("sources", "quarantine", *words)

    late = {"type": "open", "recipient": "a@b.example", "api_user": "late"}
    with log.open("wb") as file:
        file.write(json.dumps(late).encode() + b"\n\xff\x1b[1m no event\n")
    with postbell.running("serve") as process:
        line_with(process, "postbell is ready: (.*)")
        source = until(postbell, lambda each: each["quarantined"] == 2)
        [good, bad] = sorted(quarantine("list", "out-mail"), key=lambda each: each["place"])
        shown = postbell("sources", "quarantine", "show", "out-mail", str(bad["id"]))
        raw = quarantine("show", "out-mail", str(bad["id"]))["raw"]
        first = quarantine("retry", "out-mail", str(bad["id"]))
        assert postbell("api-users", "create", "acme", "late").returncode == 0
        second = quarantine("retry", "out-mail")
        process.terminate()
        process.wait(LIMIT_S)
    stopped = quarantine("retry", "out-mail")
    gone = postbell("sources", "quarantine", "show", "out-mail", str(good["id"]))
    dropped = quarantine("drop", "out-mail")

    assert source["refused"] == 2
    assert (good["place"], good["code"], good["begin"]) == (
        "line 1", "unknown_api_user", json.dumps(late),
    )  # fmt: skip
    assert (bad["place"], bad["code"], bad["is_whole"]) == ("line 2", "malformed", True)
    assert b64decode(raw) == b"\xff\x1b[1m no event"
    assert "\x1b" not in shown.stdout
    assert "no event" in shown.stdout
    assert first == {"understood": 0, "refused": 1, "waiting": 0}
    assert second == {"understood": 1, "refused": 1, "waiting": 0}
    assert stopped == {"understood": 0, "refused": 0, "waiting": 1}
    assert (gone.returncode, "no fact" in gone.stderr) == (2, True)
    assert dropped == {"dropped": 1}
    assert quarantine("list", "out-mail") == []


def test_the_quarantine_of_no_source_is_refused_by_name(postbell: Postbell) -> None:
    for words in ("list nothing", "show nothing 1", "retry nothing", "drop nothing 1"):
        done = postbell("sources", "quarantine", *words.split())

        assert (done.returncode, "no source 'nothing'" in done.stderr) == (2, True)


def test_a_sample_shows_what_comes_in_for_whom_and_by_which_rule(
    postbell: Postbell, log: Path, tmp_path: Path
) -> None:
    for words in ("accounts create other", "api-users create other theirs"):
        assert postbell(*words.split()).returncode == 0
    config = tmp_path / "postbell.toml"
    config.write_text(f"""
        [source.mail]
        path = "{log}"
        account = "acme"
        api_user = "mailer"
        unmatched = "refuse"
        [[source.mail.rule]]
        account = "other"
        api_user = "theirs"
        sender = "other.example"
        [[source.mail.rule]]
        account = "nobody"
        api_user = "theirs"
        header = {{ "X-Tenant" = "nobody" }}
    """)
    mail = {"type": "open", "recipient": "a@b.example"}
    sender = {"message": {"from": "x@other.example"}}
    lines = [mail | sender, mail, mail | {"metadata": {"x-tenant": "nobody"}}, "no event"]
    append(log, mail | sender | {"event_id": "e0", "occurred_at": 1.7e9}, *lines)
    words = ("sources", "check", "mail", "--config", str(config))

    done = postbell(*words, "--json", str(log))
    packed = tmp_path / "sample.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    few = postbell(*words, "--limit", "1", str(packed))
    unknown = postbell("sources", "check", "other", str(log))
    missing = postbell(*words, str(tmp_path / "none"))

    found = json.loads(done.stdout)
    first = found["events"][0]
    assert done.returncode == few.returncode == 1
    assert first | {"occurred_at": ""} == {
        "place": "line 1",
        "type": "open",
        "occurred_at": "",
        "recipient": "a@b.example",
        "account": "other",
        "api_user": "theirs",
        "rule": "rule 1 (sender)",
        "event_id": "e0",
    }
    assert [each["event_id"] for each in found["events"]] == ["e0", ""]
    assert [(each["place"], each["code"]) for each in found["refused"]] == [
        ("line 3", "no_rule"), ("line 4", "unknown_account"), ("line 5", "invalid"),
    ]  # fmt: skip
    assert found["counts"] == [
        {
            "account": "other",
            "api_user": "theirs",
            "rule": "rule 1 (sender)",
            "type": "open",
            "events": 2,
        }
    ]
    nobody = "no account 'nobody'; make it with 'postbell accounts create nobody', or name another"
    assert [said.startswith(nobody) for said in found["lacking"]] == [True]
    assert few.stdout.startswith(nobody)
    assert "... and 1 more\n" in few.stdout
    assert " 2023-11-14 22:13:20Z " in few.stdout
    assert "events: 2; facts that make none: 1 invalid, 1 no_rule, 1 unknown_account" in few.stdout
    assert (unknown.returncode, "known: out-mail" in unknown.stderr) == (2, True)
    assert (missing.returncode, "cannot read" in missing.stderr) == (2, True)
    assert postbell.json("sources", "list") == []


def test_a_sample_is_read_however_it_is_compressed_and_up_to_where_it_is_damaged(
    postbell: Postbell, log: Path, tmp_path: Path
) -> None:
    for number in range(3):
        append(log, {"type": "open", "recipient": f"{number}@b.example"})
    plain = log.read_bytes()
    packed = tmp_path / "sample"
    counts, says = [], []

    for content in (bz2.compress(plain), lzma.compress(plain), gzip.compress(plain)[:-5]):
        packed.write_bytes(content)
        done = postbell("sources", "check", "out-mail", "--json", str(packed))
        found = json.loads(done.stdout)
        counts.append((done.returncode, len(found["events"])))
        says += [(each["place"], each["code"]) for each in found["refused"]]

    assert counts == [(0, 3), (0, 3), (1, 3)]
    assert says == [(str(packed), "malformed")]


def test_a_source_without_its_certificate_is_told_before_it_is_switched_on(
    postbell: Postbell, tmp_path: Path
) -> None:
    missing = str(tmp_path / "none.pem")
    owner = {"account": "acme", "api_user": "mailer"}
    files = {"tls_cert_file": missing, "tls_key_file": missing}
    members = {"kind": "mail", "listen": "127.0.0.1:0"} | owner | files
    mail = tmp_path / "mail"
    mail.write_text("Subject: x\n\n")

    beside = Postbell(tmp_path / "data", POSTBELL_SOURCE_BOUNCES=json.dumps(members))
    done = beside("sources", "check", "bounces", str(mail))

    assert done.returncode == 1
    assert f"cannot read the TLS file {missing}: no such file" in done.stderr


def test_a_rule_that_is_said_wrong_is_refused_at_the_start_by_its_number(
    postbell: Postbell,
) -> None:
    rule = {"account": "acme", "api_user": "mailer", "client": "192.0.2.0/24"}
    members = {"path": "/x", "account": "acme", "api_user": "mailer", "rule": [rule]}

    done = postbell("serve", "--source", f"out-mail={json.dumps(members)}")

    assert done.returncode == 2
    assert "source.out-mail from --source: rule 1: this kind of source does not" in done.stderr
