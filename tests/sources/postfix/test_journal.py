"""The journal of systemd, written by its own tools and read by the real `journalctl`."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from postbell import sources
from postbell.errors import Conflict, ServiceError
from postbell.ports import SourceReading, SourceState
from postbell.sources.postfix.journal import Entries, Output, follow_journal
from tests.delivery.rig import running
from tests.sources.postfix.reading import Kept, log_of
from tests.sources.postfix.test_older import StandingInlet
from tests.sources.postfix.test_reader import FULL, QUEUED, REMOVED, SENT
from tests.sources.postfix.test_running import OWNER, kinds, stored
from tests.sources.test_running import LIMIT_S, reading, row_of, stands, until

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

    def vacuum(self) -> None:
        """Let go of all entries."""
        for file in self._folder.iterdir():
            file.unlink()

    def write(self, *texts: str, facility: int = 2, boot: int = 1) -> None:
        """Add an entry for each line of the texts."""
        entries = []
        for line in (each for text in texts for each in text.splitlines() if each.strip()):
            program, _, said = line.strip().partition(": ")
            members = {
                "__REALTIME_TIMESTAMP": next(self._times),
                "__MONOTONIC_TIMESTAMP": next(self._times),
                "_BOOT_ID": f"{boot}" * 32,
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


async def test_what_was_written_before_the_machine_started_again_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setenv("PATH", journal.path)
    journal.write(QUEUED, boot=1)
    journal.write(FULL, boot=2)
    async with running() as rig:
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", taken=2, state=SourceState.UP_TO_DATE))
        journal.write(FULL, boot=2)
        journal.write(SENT, boot=3)
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", taken=4))

        events = await stored(rig)
        assert kinds(events) == ["request", "deferred", "deferred", "delivered"]
        assert events[-1]["attempt"]["n"] == 3


async def test_a_journal_without_an_entry_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setenv("PATH", journal.path)
    async with running() as rig:
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", state=SourceState.UP_TO_DATE))
            journal.write(QUEUED, SENT)
            await until(stands(rig, "mail", taken=2))

        assert (await row_of(rig, "mail")).standing.fault == ""


async def test_the_first_entry_that_is_left_of_a_journal_is_read_and_the_loss_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setenv("PATH", journal.path)
    journal.write(QUEUED, FULL)
    async with running() as rig:
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", taken=2))
        said = capsys.readouterr().err
        journal.vacuum()
        journal.write(SENT, FULL)
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", taken=4))

    gone = "the entry that was read last is not in the journal any more"
    assert (gone in said, gone in capsys.readouterr().err) == (False, True)


async def test_an_entry_that_breaks_off_comes_again_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (entry_of(line, n) for n, line in enumerate(log_of(FULL + "\n" + SENT)))
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    broken.write_text(f"{first}\n{second[:-20]}")
    whole.write_text(f"{first}\n{second}\n")
    script = tmp_path / "journalctl"
    script.write_text(f"#!/bin/sh\ncat {broken} || cat {whole}\nrm -f {broken}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    async with running() as rig:
        async with reading(rig, mail=open_one()):
            await until(stands(rig, "mail", taken=2))

        found = await row_of(rig, "mail")
        assert (found.refused, found.duplicates) == (0, 0)
        assert kinds(await stored(rig)) == ["deferred", "delivered"]


@pytest.mark.parametrize(("said", "told"), [
    ("insufficient permissions.", "insufficient permissions.; put the service's user into the"),
    ("Failed to seek to cursor", "journalctl ended: Failed to seek to cursor"),
    ("", "journalctl ended: it said nothing"),
])  # fmt: skip
async def test_what_journalctl_ends_with_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    script = tmp_path / "journalctl"
    script.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(ServiceError, match=told):
        await open_one().run(StandingInlet(b""))


async def test_a_reader_that_ends_before_the_journal_does_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More lies in the pipe, and before it, than anybody reads."""
    full = tmp_path / "full"
    script = tmp_path / "journalctl"
    endless = """yes '{"__CURSOR":"1"}'"""
    script.write_text(f"#!/bin/sh\n{endless} | head -c 100000\ntouch {full}\nexec {endless}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    async def is_full() -> bool:
        return full.exists()

    async def read(_entries: Entries, _thread: Executor) -> SourceReading:
        await until(is_full)
        raise Conflict("the source was moved")

    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(Conflict):
            await follow_journal("", 1024, StandingInlet(b""), read)


async def test_entries_come_one_by_one_whatever_is_between_them() -> None:
    out = asyncio.StreamReader(limit=64)
    entries = [b'{"__CURSOR":"%d"}' % n for n in range(4)]
    for line in (entries[0], entries[1], b"x" * 65, b"", b"y" * 200, entries[2], entries[3][:9]):
        out.feed_data(line + b"\n")
    out.feed_data(b"no end")
    out.feed_eof()
    output = Output(out, "0")

    found = [each async for each in all_of(output)]

    assert found == [entries[1], b"", b"", entries[2], entries[3][:9]]


async def all_of(output: Output) -> AsyncIterator[bytes]:
    while (entry := await output.next()) is not None:
        yield entry


def test_entries_that_are_handed_over_together_are_bounded_by_their_bytes() -> None:
    entries = Entries("")
    for number in range(5):
        assert entries.is_full is (number == 4)
        entries.add(b"x" * (1 << 18))


def entry_of(line: str, number: int) -> str:
    """Return the entry of a line in a log as `journalctl` prints it."""
    _, host, tag, said = line.split(" ", 3)
    return json.dumps({
        "__REALTIME_TIMESTAMP": f"{AT_US + number}",
        "_HOSTNAME": host,
        "SYSLOG_IDENTIFIER": tag.partition("[")[0],
        "MESSAGE": said,
        "__CURSOR": f"s=1;i={number}",
    })  # fmt: skip


@pytest.mark.parametrize(("member", "value"), [
    ("_HOSTNAME", ["mx1", "mx2"]),
    ("SYSLOG_IDENTIFIER", ["postfix/smtp", "other"]),
    ("SYSLOG_IDENTIFIER", list(b"postfix/smtp")),
    ("SYSLOG_PID", None),
])  # fmt: skip
def test_a_member_that_comes_twice_or_as_bytes_is_read(member: str, value: object) -> None:
    entry = json.loads(entry_of(log_of(SENT)[0], 1)) | {member: value}

    assert [draft.type for draft in Kept().read([json.dumps(entry)])] == ["delivered"]


def test_an_entry_whose_message_was_left_out_is_refused() -> None:
    entry = json.loads(entry_of(log_of(SENT)[0], 1)) | {"MESSAGE": None}
    kept = Kept()

    assert kept.read([json.dumps(entry), json.dumps(entry | {"SYSLOG_IDENTIFIER": "x"})]) == []
    assert ["without '--all'" in each.message for each in kept.findings.refused] == [True]


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
    b'{"__REALTIME_TIMESTAMP":"1","_HOSTNAME":[["a"]],"MESSAGE":"y"}',
])  # fmt: skip
def test_a_damaged_entry_is_refused(entry: bytes) -> None:
    kept = Kept()

    assert kept.read([entry]) == []
    assert [fact.code for fact in kept.findings.refused] == ["malformed"]
