"""Logs that rotation has compressed, read once before the log itself."""

import bz2
import gzip
import lzma
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from postbell import sources
from postbell.errors import Conflict
from postbell.events import Draft, EventType
from postbell.ports import SourceReading, SourceState
from postbell.sources.postfix.older import OlderLog, next_older
from postbell.sources.postfix.source import LogPlace
from tests.delivery.rig import running
from tests.sources.postfix.reading import log_of
from tests.sources.postfix.test_reader import FULL, QUEUED, REMOVED, SENT, UNKNOWN
from tests.sources.postfix.test_running import OWNER, kinds, stored
from tests.sources.test_running import reading, row_of, stands, until

PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PACK[".zst"] = zstandard.ZstdCompressor().compress


def open_one(log: Path) -> Any:
    return sources.open({"kind": "postfix", "path": str(log), "from_start": True, **OWNER})


def lines(text: str, second: int) -> bytes:
    found = log_of(text, at=f"2026-11-30T10:00:{second:02}Z")
    return "".join(f"{line}\n" for line in found).encode()


def write(path: Path, content: bytes, at: int) -> None:
    path.write_bytes(content)
    os.utime(path, (at, at))


async def test_older_logs_come_in_once_and_first_and_then_those_that_are_written(
    tmp_path: Path,
) -> None:
    log = tmp_path / "mail.log"
    write(tmp_path / "mail.log.4.gz", gzip.compress(lines(QUEUED, 1), mtime=0), 1_000)
    write(tmp_path / "mail.log.3.xz", lzma.compress(lines(FULL, 2)), 2_000)
    write(tmp_path / "mail.log-20261130.zst", PACK[".zst"](lines(FULL, 3)), 3_000)
    write(tmp_path / "mail.log.2", lines(FULL, 4), 4_000)
    write(tmp_path / "mail.log.1", lines(FULL, 5), 5_000)
    write(tmp_path / "mail.log.gz", gzip.compress(lines(UNKNOWN, 6)), 6_000)
    write(log, lines(SENT, 7), 7_000)
    async with running() as rig:
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=6, state=SourceState.UP_TO_DATE))
        with log.open("ab") as file:
            file.write(lines(REMOVED + "\n" + UNKNOWN, 8))
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=7))

        events = await stored(rig)
        found = await row_of(rig, "mail")
        deferred = ["deferred"] * 4
        assert kinds(events) == ["request", *deferred, "delivered", "hard_bounce"]
        assert [event["attempt"]["n"] for event in events[1:6]] == [1, 2, 3, 4, 5]
        assert (found.refused, found.duplicates) == (0, 0)


async def test_logs_that_are_compressed_before_a_first_line_was_read_come_in(
    tmp_path: Path,
) -> None:
    log = tmp_path / "mail.log"
    write(tmp_path / "mail.log.1.gz", gzip.compress(lines(QUEUED + FULL, 1)), 1_000)
    write(log, b"", 2_000)
    async with running() as rig:
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=2, state=SourceState.UP_TO_DATE))
        (tmp_path / "mail.log.1.gz").rename(tmp_path / "mail.log.3.gz")
        write(tmp_path / "mail.log.2.gz", gzip.compress(lines(FULL, 2)), 3_000)
        write(tmp_path / "mail.log.1", lines(FULL, 3), 4_000)
        write(log, lines(SENT, 7), 7_000)
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=5))

        assert (await row_of(rig, "mail")).duplicates == 0


async def test_an_older_log_that_is_damaged_is_read_up_to_there_counted_and_passed(
    tmp_path: Path,
) -> None:
    log = tmp_path / "mail.log"
    packed = gzip.compress(b"".join(lines(FULL, n) for n in range(50)), mtime=0)
    write(tmp_path / "mail.log.3.gz", packed[:-8], 1_000)
    write(tmp_path / "mail.log.2.gz", b"no gzip", 2_000)
    write(log, lines(SENT, 7), 7_000)
    async with running() as rig:
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", refused=2, state=SourceState.UP_TO_DATE))

        assert kinds(await stored(rig)) == ["deferred"] * 50 + ["delivered"]
        assert (await row_of(rig, "mail")).standing.refusal.startswith("mail.log.2.gz after line 0")


async def test_of_a_log_that_is_being_compressed_the_whole_one_is_read(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    write(tmp_path / "mail.log.2.gz", gzip.compress(lines(FULL, 1)), 1_000)
    write(tmp_path / "mail.log.2", lines(FULL, 2), 2_000)
    write(tmp_path / "mail.log.1.gz", gzip.compress(lines(FULL, 3))[:-20], 4_000)
    write(tmp_path / "mail.log.1", lines(FULL, 3), 3_000)
    write(log, lines(SENT, 7), 7_000)
    async with running() as rig:
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=4, state=SourceState.UP_TO_DATE))

        found = await row_of(rig, "mail")
        assert (found.refused, found.duplicates) == (0, 0)


async def test_older_logs_of_one_moment_are_all_read_the_oldest_first(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    for number in (2, 10, 3):
        packed = gzip.compress(lines(FULL, 20 - number))
        write(tmp_path / f"mail.log.{number}.gz", packed, 1_000)
    write(log, lines(SENT, 30), 7_000)
    async with running() as rig:
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=4))

        events = await stored(rig)
        assert [event["occurred_at"][17:19] for event in events] == ["10", "17", "18", "30"]
        assert [event["attempt"]["n"] for event in events] == [1, 2, 3, 4]


async def test_where_an_older_log_stood_that_is_gone_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "mail.log"
    write(log, lines(SENT, 7), 7_000)
    inlet = StandingInlet(msgspec.json.encode(LogPlace(older_ns=1_000, older_line=812)))

    with pytest.raises(Conflict):
        await open_one(log).run(inlet)

    assert [draft.type for draft in inlet.taken] == [EventType.DELIVERED]
    assert "was read up to line 812 was removed" in capsys.readouterr().err


class StandingInlet:
    """An inlet that stands somewhere, and moves when something comes in."""

    def __init__(self, checkpoint: bytes) -> None:
        self.checkpoint = checkpoint
        self.taken: list[Draft] = []

    async def take(self, reading: SourceReading) -> None:
        self.taken += reading.drafts
        if self.taken:
            raise Conflict("the source was moved")

    async def recall(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {}

    def report(self, state: SourceState, *, lag_bytes: int | None = None, fault: str = "") -> None:
        pass


@pytest.mark.parametrize("ending", PACK)
def test_of_an_older_log_that_was_begun_the_rest_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mail.log.2{ending}"
    write(path, PACK[ending](b"".join(b"%d\n" % n for n in range(1, 2_501))), 1_000)

    found = next_older(tmp_path / "mail.log", path.stat().st_mtime_ns, 0)
    done = next_older(tmp_path / "mail.log", path.stat().st_mtime_ns, 1)

    assert done is None
    assert found == OlderLog(path, path.stat().st_mtime_ns, 0)
    parts = list(found.parts(1_200, 1 << 18))
    assert [len(part) for part in parts] == [1_000, 300]
    assert (parts[0][0].raw, parts[-1][-1].raw) == (b"1201", b"2500")
