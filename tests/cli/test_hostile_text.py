"""No command lets text of customers or receivers steer the terminal it is printed on."""

import asyncio
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.blocks import Position, Range
from postbell.cli import main
from postbell.clock import SystemClock
from postbell.ports import Fact, Progress, RefusedFact, SourceState
from postbell.ports.crew import CrewMember
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    LaneChange,
    OpenBatch,
    Outcome,
    Owner,
    Verdict,
    Webhook,
)
from postbell.serving.opening import open_engine
from postbell.settings.members import Settings
from postbell.text.printable import escaped, one_line
from tests.cli.running import LIMIT_S, EventServer, Postbell
from tests.cli.test_commands import commands
from tests.cli.test_listen import post, url_of
from tests.forked import COMMAND
from tests.reports.test_sources import standing

HOSTILE = "a\x1b[2K\x9b2J\x85\u202egpj.\u2066\u2069\u200e\u200f\u061c\x07\x7f\u2028\U000e0041\r\nb"
STEERS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\U000e0041]"
)
YEAR_S = 365 * 86400.0
PASSWORD = "correct horse battery"
SAMPLE = "sample.jsonl"

GROUPS = (
    "", "accounts", "owners", "api-users", "webhooks", "sources", "sources quarantine", "events",
    "batches", "index", "trail", "suppressions", "verp",
)  # fmt: skip
ELSEWHERE = {"serve", "health", "demo", "listen", "events send"}
"""Commands that run on; what they print of others has tests of its own below."""

CALLS: dict[str, tuple[str, ...]] = {
    "accounts list": (),
    "accounts create": (HOSTILE + "2",),
    "accounts app-key": (HOSTILE,),
    "app-key": (HOSTILE,),
    "owners list": (),
    "owners add": (HOSTILE, HOSTILE + "@acme.example", "--password-file", "-"),
    "owners sessions": (HOSTILE,),
    "owners sign-out": (HOSTILE,),
    "owners unlock": (HOSTILE,),
    "owners reset-second-factor": (HOSTILE,),
    "owners set-role": (HOSTILE, "user"),
    "owners reset-password": (HOSTILE, "--password-file", "-"),
    "owners remove": (HOSTILE,),
    "api-users list": (),
    "api-users create": (HOSTILE, HOSTILE),
    "api-users rotate": (HOSTILE,),
    "api-users keys": (HOSTILE,),
    "api-users add-key": (HOSTILE,),
    "api-users revoke-key": ("1",),
    "webhooks list": (),
    "webhooks show": ("1",),
    "webhooks create": (HOSTILE, "http://127.0.0.1:9/" + HOSTILE),
    "webhooks update": ("1", "--url", "http://" + HOSTILE),
    "webhooks pause": ("1",),
    "webhooks resume": ("1",),
    "webhooks rotate": ("1",),
    "webhooks test": ("1",),
    "batches list": ("--all",),
    "batches show": ("bat_1",),
    "batches retry": (HOSTILE,),
    "batches split": (HOSTILE,),
    "batches bisect": (HOSTILE,),
    "batches park": (HOSTILE,),
    "batches skip": (HOSTILE, HOSTILE),
    "replay": ("1", "--since", "2020-01-01T00:00:00Z", "--recipient", HOSTILE),
    "sources list": (),
    "sources check": ("mail", SAMPLE),
    "sources quarantine list": (HOSTILE,),
    "sources quarantine show": (HOSTILE, "1"),
    "sources quarantine retry": (HOSTILE, "1"),
    "sources quarantine drop": (HOSTILE, "1"),
    "sources forget": (HOSTILE,),
    "suppressions list": (HOSTILE,),
    "suppressions check": (HOSTILE, HOSTILE),
    "suppressions add": (HOSTILE, HOSTILE + "@example.net"),
    "suppressions remove": (HOSTILE, HOSTILE),
    "suppressions import": (HOSTILE, "/dev/null"),
    "suppressions export": (HOSTILE, f"/dev/null/{HOSTILE}"),
    "suppressions rules": (HOSTILE,),
    "suppressions rebuild": (),
    "verp make": (HOSTILE, HOSTILE + "@example.net", "--domain", HOSTILE),
    "verp read": (HOSTILE,),
    "trail list": (),
    "audit": (),
    "index status": (),
    "index rebuild": (),
    "migrate": (),
    "migrate copy": ("--from", "sqlite:///dev/null/" + HOSTILE, "--to", "sqlite:///" + HOSTILE),
    "workers": (),
    "compact": (),
    "backup": (f"/dev/null/{HOSTILE}",),
    "restore": (f"/dev/null/{HOSTILE}",),
    "api-users revoke": (HOSTILE,),
    "webhooks delete": ("1",),
}

TOLD = {
    "accounts list", "owners list", "api-users list", "webhooks list", "webhooks show",
    "batches show", "api-users revoke", "sources list", "sources quarantine list", "workers",
}  # fmt: skip
"""Commands whose JSON has a hostile value that must come out as it is stored."""


def test_every_command_is_tried() -> None:
    known = {" ".join(words) for words in commands()}

    assert known == {*GROUPS, *ELSEWHERE, *CALLS}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder in which everything that a customer or a receiver says is hostile."""
    monkeypatch.setenv("POSTBELL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("POSTBELL_ALLOW_NETWORKS", "127.0.0.0/8")
    source = {"path": "/x", "account": HOSTILE, "api_user": HOSTILE}
    monkeypatch.setenv("POSTBELL_SOURCE_MAIL", json.dumps(source))
    monkeypatch.chdir(tmp_path)
    known = {"type": "open", "recipient": HOSTILE}
    (tmp_path / SAMPLE).write_text(f"{json.dumps(known)}\n{json.dumps(HOSTILE)}\n")
    asyncio.run(fill(tmp_path))
    return tmp_path


async def fill(folder: Path) -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    settings = Settings(data_dir=folder)
    engine = await open_engine(settings, SystemClock(), worker=False)
    says = {"place": "/" + HOSTILE, "fault": HOSTILE, "refusal": HOSTILE, "refused_at": now}
    says["state"] = SourceState.STOPPED
    revisions = await engine.checkpoints.tell({HOSTILE: standing(SystemClock(), **says)})
    refused = [RefusedFact(Fact(HOSTILE, HOSTILE.encode()), HOSTILE, HOSTILE)]
    progress = [Progress(HOSTILE, revisions[HOSTILE], b"", quarantine=refused)]
    await engine.log.append([], [], head=0, now=now, progress=progress)
    registry = engine.registry
    account = await registry.add_account(HOSTILE, now)
    await registry.add_api_user(account.id, HOSTILE, "00", now)
    await engine.owners.add(
        Owner(id=0, account_id=account.id, email=HOSTILE, password_hash="", created_at=now)
    )
    webhook = await registry.add_webhook(
        Webhook(
            id=0,
            account_id=account.id,
            account=account.name,
            url="http://127.0.0.1:9/" + HOSTILE,
            api_user=HOSTILE,
            types=None,
            dialect="native",
            options={},
            policy={},
            headers=(("X-Note", HOSTILE),),
            state_reason=HOSTILE,
            start=Position(0, -1),
            created_at=now,
            updated_at=now,
        ),
        [],
    )
    batch = OpenBatch(
        id="bat_1",
        webhook_id=webhook.id,
        revision=1,
        range=Range(Position(1, 0), Position(1, 3)),
        count=3,
        cut_at=now,
        state=BatchState.PARKED,
        attempts=1,
        last_status=503,
        last_error=HOSTILE,
    )
    entry = Entry(
        kind=EntryKind.ATTEMPT,
        at=now,
        account_id=account.id,
        webhook_id=webhook.id,
        revision=1,
        batch_id=batch.id,
        range=batch.range,
        count=3,
        attempt=1,
        verdict=Verdict.PARK,
        outcome=Outcome(
            status=503,
            detail=HOSTILE,
            headers=((HOSTILE, HOSTILE),),
            body=HOSTILE.encode(),
            peer=HOSTILE,
        ),
        note=HOSTILE,
    )
    claim = await engine.ledger.lane(webhook.id)
    assert claim is not None
    member = CrewMember(HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, now)
    await engine.crew.report(member, {}, lease_s=YEAR_S)
    change = LaneChange(
        webhook_id=webhook.id,
        epoch=claim.lane.epoch,
        lane=claim.lane,
        put=(batch,),
        entries=(entry,),
    )
    await engine.ledger.record([change])
    await engine.close()


@pytest.mark.parametrize("command", CALLS)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_a_command_prints_steers_no_terminal(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    form: tuple[str, ...],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PASSWORD.encode())))

    status = main([*command.split(), *CALLS[command], *form])

    said = capsys.readouterr()
    assert STEERS.findall(said.out + said.err) == []
    assert said.out + said.err
    if command in TOLD:
        assert status == 0, said.err
        assert (HOSTILE in texts(json.loads(said.out))) if form else ("?" in said.out)


def test_what_a_file_is_called_steers_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / HOSTILE)
    monkeypatch.setenv("POSTBELL_DATA_DIR", str(tmp_path / "data" / HOSTILE))

    statuses = [
        main(words)
        for words in (["accounts", "create", "a"], ["backup", file], ["restore", file], ["compact"])
    ]

    said = capsys.readouterr()
    assert statuses == [0] * 4, said.err
    assert STEERS.findall(said.out + said.err) == []
    assert "copied" in said.out


def texts(value: Any) -> Iterator[str]:
    """Give every text in a JSON value, names of members too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_is_listened_to_steers_no_terminal(
    postbell: Postbell, tmp_path: Path, form: tuple[str, ...]
) -> None:
    latin = "\x9b2J\x85"
    out = tmp_path / "kept"
    with postbell.running(
        "listen", "--port", "0", "--count", "1", "--out", str(out), *form
    ) as process:
        if form:
            assert process.stderr is not None
            url = process.stderr.readline().split()[-1]
        else:
            url = url_of(process)
        headers = {"webhook-id": latin, "postbell-attempt": latin, "webhook-signature": latin}

        post(url + "/hook", json.dumps([HOSTILE], ensure_ascii=False).encode(), headers)

        assert process.stdout is not None
        said = process.stdout.read()
    assert STEERS.findall(said + out.read_text()) == []
    assert HOSTILE in json.loads(json.loads(out.read_text())["body"])
    if form:
        assert json.loads(said)["batch"] == latin


def test_what_a_server_says_of_events_steers_no_terminal(postbell: Postbell) -> None:
    with EventServer() as server:
        server.complaint = HOSTILE

        done = postbell("events", "send", "-", *server.settings, given='{"type": "bad"}')

    assert "rejected line 1: a?[2K" in done.stderr
    assert STEERS.findall(done.stdout + done.stderr) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_steers_no_terminal(capsys: pytest.CaptureFixture[str], form: str) -> None:
    from postbell import signals

    signals.configure(form)
    try:
        signals.log("http_trouble", message=HOSTILE)
        try:
            raise RuntimeError(HOSTILE)
        except RuntimeError:
            signals.log("failed", error=HOSTILE, exc_info=True)
    finally:
        signals.configure()

    said = capsys.readouterr().err
    assert STEERS.findall(said) == []
    if form == "json":
        assert json.loads(said.splitlines()[0])["message"] == HOSTILE


@given(st.text())
def test_escaped_json_has_the_same_value_and_nothing_that_is_not_shown(text: str) -> None:
    try:
        plain = msgspec.json.encode([text]).decode()
    except UnicodeEncodeError:  # a surrogate alone: no JSON
        return

    shown = escaped(plain)

    assert json.loads(shown) == [text]
    assert shown.isprintable() and one_line(text).isprintable()


COLOURS = re.compile("\x1b\\[[0-9;]*m")


@pytest.mark.parametrize(
    "body", [json.dumps({HOSTILE: [HOSTILE]}, ensure_ascii=False), HOSTILE, '{"a": "' + HOSTILE]
)
def test_a_body_that_is_shown_on_a_terminal_does_not_steer_it(
    postbell: Postbell, body: str
) -> None:
    ours, theirs = pty.openpty()
    environ = postbell.environ | {"TERM": "xterm-256color", "COLUMNS": "200"}
    command = [*COMMAND, "listen", "--port", "0", "--count", "1"]
    with subprocess.Popen(command, env=environ, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        said = read_until(ours, b"listening on http")
        url = re.search(r"http://[0-9.:]+", said.decode())
        assert url is not None

        post(url[0] + "/hook", body.encode(), {"webhook-id": "\x9b2J"})

        said = read_until(ours, None)
        watchdog.cancel()
    os.close(ours)
    shown = COLOURS.sub("", said.decode())
    assert "gpj." in shown
    assert set(STEERS.findall(shown)) <= {"\r"}  # the terminal's own line ends


def read_until(descriptor: int, text: bytes | None) -> bytes:
    """Return what is printed until a line with *text* is whole, or to the end."""
    said = b""
    while text is None or not (text in said and said.endswith(b"\n")):
        try:
            part = os.read(descriptor, 65_536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        said += part
    return said
