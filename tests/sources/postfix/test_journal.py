"""The journal of systemd, written by its own tools and read by the real `journalctl`."""

import json
import os
import shutil
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from postbell import sources
from postbell.ports import SourceState
from tests.delivery.rig import running
from tests.sources.postfix.reading import Kept, log_of
from tests.sources.postfix.test_reader import FULL, QUEUED, REMOVED, SENT
from tests.sources.postfix.test_running import OWNER, kinds, stored
from tests.sources.test_running import reading, row_of, stands, until

AT_US = 1_796_032_800_123_456
PATH = f"{os.environ['PATH']}:/usr/lib/systemd"


class Journal:
    """A journal in a folder, for which `journalctl` is found first on *path*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "journal"
        self._files = count()
        self._times = count(AT_US)
        programs = folder / "bin"
        programs.mkdir()
        self._folder.mkdir()
        self.path = f"{programs}:{os.environ['PATH']}"
        real = shutil.which("journalctl")
        wrapper = programs / "journalctl"
        wrapper.write_text(f'#!/bin/sh\nexec {real} --directory={self._folder} "$@"\n')
        wrapper.chmod(0o755)

    def write(self, *texts: str, facility: int = 2) -> None:
        """Add an entry for each line of the texts."""
        entries = []
        for line in (each for text in texts for each in text.splitlines() if each.strip()):
            program, _, said = line.strip().partition(": ")
            members = {
                "__REALTIME_TIMESTAMP": next(self._times),
                "__MONOTONIC_TIMESTAMP": next(self._times),
                "_BOOT_ID": "1" * 32,
                "_HOSTNAME": "mx1",
                "SYSLOG_FACILITY": facility,
                "SYSLOG_IDENTIFIER": f"postfix/{program}",
                "SYSLOG_PID": 7,
                "MESSAGE": said,
            }
            entries.append("".join(f"{name}={value}\n" for name, value in members.items()))
        file = self._folder / f"remote-{next(self._files)}.journal"
        program = shutil.which("systemd-journal-remote", path=PATH)
        assert program, "no systemd-journal-remote; './do test' installs it"
        given = "\n".join((*entries, ""))
        subprocess.run(
            [program, f"--output={file}", "-"], input=given, text=True, check=True,
            capture_output=True, timeout=30,
        )  # fmt: skip


def open_one() -> Any:
    return sources.open({"kind": "postfix", "journal": True, **OWNER})


async def test_the_journal_is_followed_on_from_where_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setenv("PATH", journal.path)
    journal.write(QUEUED, FULL)
    journal.write(SENT, facility=3)
    async with running() as rig:
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", taken=2, state=SourceState.UP_TO_DATE))
            journal.write(FULL)
            await until(stands(rig, "mail", taken=3))
        journal.write(SENT, REMOVED)
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", taken=4))

        found = await row_of(rig, "mail")
        events = await stored(rig)
        assert kinds(events) == ["request", "deferred", "deferred", "delivered"]
        assert (found.refused, found.duplicates, events[-1]["attempt"]["n"]) == (0, 0, 3)
        assert found.position.startswith("s=")


async def test_a_journal_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with running() as rig:
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", state=SourceState.FAILING))

        fault = (await row_of(rig, "mail")).standing.fault
        assert fault.startswith("cannot run journalctl: ")


def test_entries_in_a_file_give_the_events_of_lines_in_a_log() -> None:
    entries = []
    for line in log_of(QUEUED + SENT, at="2026-12-01T10:00:00.123456Z"):
        _, host, tag, said = line.split(" ", 3)
        members = {
            "__REALTIME_TIMESTAMP": "1796119200123456",
            "_HOSTNAME": host,
            "SYSLOG_IDENTIFIER": tag.partition("[")[0],
            "SYSLOG_PID": "7",
            "MESSAGE": list(said.encode()) if "Subject" in said else said,
        }
        entries.append(json.dumps(members))
    of_lines = Kept().read(log_of(QUEUED + SENT, at="2026-12-01T10:00:00.123456Z"))

    of_entries = Kept().read(entries)

    assert of_entries == of_lines
    assert len(of_entries) == 2


@pytest.mark.parametrize("entry", [
    b"{}",
    b"{not json",
    b'{"__REALTIME_TIMESTAMP":"x","SYSLOG_IDENTIFIER":"postfix/smtp","MESSAGE":"y"}',
    b'{"__REALTIME_TIMESTAMP":"1","SYSLOG_IDENTIFIER":"postfix/smtp","MESSAGE":[256]}',
    b'{"__REALTIME_TIMESTAMP":"1","_HOSTNAME":["a"],"MESSAGE":"y"}',
])  # fmt: skip
def test_a_damaged_entry_is_refused(entry: bytes) -> None:
    kept = Kept()

    assert kept.read([entry]) == []
    assert [fact.code for fact in kept.findings.refused] == ["malformed"]
