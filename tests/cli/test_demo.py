import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postbell.cli.demo.maillog import MailLog
from postbell.cli.demo.stream import Stream
from postbell.ingest.accepting import accept
from tests.cli.running import LIMIT_S, Postbell, environ, line_with
from tests.sources.postfix.reading import Kept

AT = datetime(2026, 11, 21, tzinfo=UTC)
SCRIPT = str(Path(sys.executable).with_name("postbell"))


def test_it_delivers_in_three_dialects_and_ends_cleanly_at_ctrl_c(postbell: Postbell) -> None:
    with postbell.running("demo", "--rate", "60", "--listen", "127.0.0.1:0") as process:
        line_with(process, r"postbell is ready: (http://127.0.0.1:\d+)")
        batch_id = line_with(process, r"^delivered (\S+) native \d+ events$")
        missing = {"engagelab", "sendpulse"}
        while missing:
            missing.discard(line_with(process, r"^delivered \S+ (\w+) [1-9]\d* events$"))
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=LIMIT_S)

    [source] = postbell.json("sources", "list")
    assert (process.returncode, said) == (0, "")
    assert re.search(r"^ended; ", printed, re.MULTILINE)
    assert (source["name"], source["kind"], source["refused"]) == ("postfix", "postfix", 0)
    assert source["taken"] > 0
    assert postbell.json("suppressions", "rules", "demo")["is_on"] is True
    assert postbell.json("batches", "show", batch_id)["state"] == "delivered"
    assert postbell.json("audit")["holds"] is True


@pytest.mark.parametrize("start", [[sys.executable, "-m", "postbell"], [SCRIPT]])
def test_the_command_that_it_prints_to_try_runs_as_printed(
    tmp_path: Path, start: list[str]
) -> None:
    folder = tmp_path / "it's here"
    words = ["demo", "--events", "1", "--listen", "127.0.0.1:0", "--data-dir", str(folder)]
    bare = environ(PATH="/usr/bin:/bin")
    with subprocess.Popen([*start, *words], env=bare, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed = line_with(process, r"^  (.* webhooks list .*)$")

            tried = subprocess.run(
                ["sh", "-c", printed], env=bare, capture_output=True, text=True, timeout=LIMIT_S
            )
        finally:
            process.kill()

    assert (tried.returncode, tried.stderr) == (0, "")
    assert "engagelab" in tried.stdout


def test_it_goes_on_in_the_same_folder(postbell: Postbell) -> None:
    words = ("demo", "--seconds", "4", "--events", "5", "--listen", "127.0.0.1:0")

    first = postbell(*words)
    second = postbell(*words)

    keys = [re.findall(r"key: (\S+)", done.stdout) for done in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert keys[0] == keys[1]
    assert len(postbell.json("webhooks", "list")) == 3
    assert postbell.json("audit")["events"] == 10


def test_a_second_one_on_the_same_folder_is_refused(postbell: Postbell) -> None:
    with postbell.running("demo", "--events", "1", "--listen", "127.0.0.1:0") as process:
        line_with(process, r"postbell is (ready)")

        second = postbell("demo", "--listen", "127.0.0.1:0")

    assert second.returncode == 1
    assert "stop that process" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_log_that_it_writes_is_one_of_postfix() -> None:
    lines = MailLog(1).take(20_000, AT)
    kept = Kept()

    kinds = {draft.type.value for draft in kept.read(lines)}

    assert lines == MailLog(1).take(20_000, AT)
    assert kinds == {"request", "deferred", "delivered", "soft_bounce", "hard_bounce"}
    assert kept.findings.refused == []


def test_the_same_seed_gives_the_same_events() -> None:
    one, same, other = (Stream(seed).take(200, AT) for seed in (1, 1, 2))

    assert one == same
    assert one != other


def test_every_event_of_the_stream_is_good() -> None:
    events = Stream(3).take(2000, AT)

    codes = [
        accept(
            json.dumps(event).encode(),
            account="a",
            api_user="u",
            api_user_id=lambda _: 1,
            now=AT,
        ).code
        for event in events
    ]

    assert len(set(codes)) >= 10
