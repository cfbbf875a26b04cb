"""Taking in the log of Postfix, and its floor.

python -m bench.maillog FILE     the floor: read the lines, split off the prefix, search each
                                 once; print the CPU microseconds that all this took
"""

import json
import re
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import proc
from bench.children import Child
from bench.measuring import Measured, Result, Scenario, result
from bench.service import API_USER, Service
from postbell.cli.demo.maillog import MailLog

LIMIT_S = 600.0
WARM_UP = 5_000
AT_ONCE = 500
"""So many lines bear one time."""
search = re.compile(
    r"([0-9A-Za-z]{5,40}): (?:to=<([^>]*)>(?:, orig_to=<([^>]*)>)?, relay=([^,]*), (.*)"
    r"status=([a-z]+) \((.*)\)|client=(.*)|message-id=(.*)|from=<([^>]*)>.*|(removed))"
).search


def source_postfix(scenario: Scenario, lines: int) -> Result:
    """Let the service take in a whole log: read, understood, told of its mails and durable."""
    with tempfile.TemporaryDirectory(prefix="postbell-bench-") as name:
        folder = Path(name)
        log, source = folder / "mail.log", {"kind": "postfix", "path": str(folder / "mail.log")}
        owner = {"account": "bench", "api_user": API_USER}
        with Service(folder, settings={"SOURCE_MAIL": json.dumps(source | owner)}) as service:
            made = MailLog(1)
            _write(log, made, WARM_UP)
            _until(service, WARM_UP)
            before, began = proc.cpu_us(service.pid), time.monotonic()
            _write(log, made, lines)
            _until(service, WARM_UP + lines)
            cpu, seconds = proc.cpu_us(service.pid) - before, time.monotonic() - began
            ours = Measured(cpu / lines, lines / seconds, proc.peak_mib(service.pid))
        with Child("maillog", str(log)) as floor:
            least = Measured(int(floor.line()) / (WARM_UP + lines))
    return result(scenario, ours, least)


def _write(log: Path, made: MailLog, lines: int) -> None:
    """Append lines in one write: the service is not to wait for them."""
    now, text = datetime.now(UTC) - timedelta(days=1), []
    for first in range(0, lines, AT_ONCE):
        text += made.take(min(AT_ONCE, lines - first), now + timedelta(milliseconds=first))
    with log.open("a") as file:
        file.write("\n".join((*text, "")))


def _until(service: Service, lines: int) -> None:
    """Wait until the source has read so many lines; a command asks, not the service."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        [row] = json.loads(service.command("sources", "list", "--json"))
        if row["position"] == f"line {lines}":
            if row["refused"]:
                raise SystemExit(f"{row['refused']} lines were refused")
            return
        time.sleep(0.1)
    raise SystemExit(f"not {lines} lines were taken in within {LIMIT_S:g} s")


def floor(log: Path) -> None:
    began, found = time.process_time(), 0
    with log.open() as file:
        for line in file:
            _stamp, _host, _tag, text = line.split(" ", 3)
            found += search(text) is not None
    assert found
    print(round((time.process_time() - began) * 1e6), flush=True)


if __name__ == "__main__":
    floor(Path(sys.argv[1]))
