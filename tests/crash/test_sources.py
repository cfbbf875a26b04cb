"""The real service follows a file that is written and rotated, and is killed again and again: each
line comes in exactly once, or is in quarantine exactly once."""

import asyncio
import json
import random
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postbell.cli.demo.maillog import MailLog
from postbell.clock import SystemClock
from postbell.ingest.accepting import draft_of
from postbell.ports import MOST_QUARANTINED
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.crash.harness import Service
from tests.sources.postfix.reading import Kept, told

KILLS = 8
LINES_BETWEEN = 400
BAD = 0.05
"""So many lines make no event: fewer than a quarantine holds."""


class Writer:
    """Appends lines that name no id and no time: nothing but the checkpoint tells one from a second
    reading of it.  Rotates as logrotate does, by renaming and by copying, none of which is lost."""

    ending = ".jsonl"

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path = path
        self.count = 0
        self.bad: list[str] = []
        self._chance = chance

    def line(self) -> str:
        if self._chance.random() < BAD:
            self.bad.append(f"no event {len(self.bad)}")
            return self.bad[-1] + "\n"
        number, self.count = self.count, self.count + 1
        return json.dumps({"type": "open", "recipient": f"n{number}@b.example"}) + "\n"

    async def write(self, lines: int) -> None:
        for _ in range(lines):
            with self.path.open("a") as file:
                line = self.line()
                file.write(line[:9])
                if self._chance.random() < 0.1:
                    file.flush()  # half a line for a while
                    await asyncio.sleep(0.003)
                file.write(line[9:])
            if self._chance.random() < 0.01:
                self._rotate()
            await asyncio.sleep(0.001)

    def _rotate(self) -> None:
        """Rotate to .1, and what was there to .2 and so on."""
        numbers = sorted(
            int(each.suffix[1:]) for each in self.path.parent.glob(f"*{self.ending}.*")
        )
        for number in reversed(numbers):
            self._at(number).rename(self._at(number + 1))
        if self._chance.random() < 0.5:
            self.path.rename(self._at(1))
        else:
            shutil.copy(self.path, self._at(1))
            self.path.write_text("")

    def _at(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class PostfixWriter(Writer):
    """Appends what Postfix would write; *written* is all of it."""

    ending = ".log"

    def __init__(self, path: Path, chance: random.Random) -> None:
        super().__init__(path, chance)
        self.written: list[str] = []
        self._log = MailLog(chance.randrange(1000))

    def line(self) -> str:
        self.written += self._log.take(1, datetime.now(UTC))
        return self.written[-1] + "\n"


async def until_taken(service: Service, count: int) -> None:
    async with asyncio.timeout(90):
        while len(await recipients(service)) < count:
            await asyncio.sleep(0.5)


async def recipients(service: Service) -> list[str]:
    """Return whom the log has events of, in order."""
    return [event["recipient"] for event in await stored(service)]


async def stored(service: Service) -> list[dict[str, Any]]:
    """Return the log's events, in order."""
    data = service.folder / "data"
    sealer = load_or_create(data / "secret.key")
    engine = await sqlite.open(data / "postbell.db", sealer, SystemClock())
    headers = await engine.log.tail(0, 1_000_000)
    blocks = await engine.log.load([header.id for header in headers])
    await engine.close()
    return [json.loads(raw) for block in blocks for raw in block.events()]


async def refused(service: Service) -> list[str]:
    """Return the lines in quarantine, in order."""
    data = service.folder / "data"
    sealer = load_or_create(data / "secret.key")
    engine = await sqlite.open(data / "postbell.db", sealer, SystemClock())
    facts = await engine.quarantine.page("mail", None, MOST_QUARANTINED)
    await engine.close()
    return [fact.raw.decode() for fact in reversed(facts)]


@pytest.mark.long
async def test_killed_while_a_file_is_written_and_rotated(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "events.jsonl"
    source = {"path": str(path), "account": "acme", "api_user": "main"}
    service = Service(tmp_path, POSTBELL_SOURCE_MAIL=json.dumps(source))
    await service.set_up()
    writer = Writer(path, chance)
    try:
        path.write_text(writer.line())
        await service.start()
        await until_taken(service, writer.count)
        for _ in range(KILLS):
            await service.kill()
            writing = asyncio.create_task(writer.write(LINES_BETWEEN))
            await service.start()
            await asyncio.sleep(chance.random())
            await service.kill()
            await service.start()
            await writing
        await until_taken(service, writer.count)
        assert await service.stop() == 0
    finally:
        await service.kill()

    found = await recipients(service)
    report = await service.audit()
    counts = Counter(found)
    wanted = [f"n{number}@b.example" for number in range(writer.count)]
    assert [each for each in wanted if counts[each] != 1] == [], seed
    assert found == wanted, seed
    assert await refused(service) == writer.bad, seed
    assert report["problems"] == []


@pytest.mark.long
async def test_killed_while_postfix_writes_its_log_and_rotates_it(tmp_path: Path) -> None:
    """What comes in is what one reading of all lines gives, with what is known of each mail."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "mail.log"
    source = {"kind": "postfix", "path": str(path), "account": "acme", "api_user": "main"}
    service = Service(tmp_path, POSTBELL_SOURCE_MAIL=json.dumps(source))
    await service.set_up()
    writer = PostfixWriter(path, chance)
    try:
        path.write_text("".join(writer.line() for _ in range(100)))
        for _ in range(KILLS):
            await service.start()
            writing = asyncio.create_task(writer.write(LINES_BETWEEN))
            await asyncio.sleep(chance.random())
            await service.kill()
            await writing
        await service.start()
        expected = Kept().read(writer.written)
        await until_taken(service, len(expected))
        assert await service.stop() == 0
    finally:
        await service.kill()

    found = [draft_of(msgspec.json.encode(event)) for event in await stored(service)]
    report = await service.audit()
    assert told(found) == told(expected), seed
    assert report["problems"] == []


async def test_from_a_restored_backup_it_reads_on_where_that_stood(tmp_path: Path) -> None:
    """What came in after the backup is gone with the database, and comes in again."""
    path = tmp_path / "events.jsonl"
    source = {"path": str(path), "account": "acme", "api_user": "main"}
    service = Service(tmp_path, POSTBELL_SOURCE_MAIL=json.dumps(source))
    await service.set_up()
    writer = Writer(path, random.Random(1))
    backup = str(tmp_path / "backup.db")
    try:
        await service.start()
        path.write_text(writer.line() + writer.line())
        await until_taken(service, 2)
        await service.cli("backup", backup)
        with path.open("a") as file:
            file.write(writer.line())
        await until_taken(service, 3)
        assert await service.stop() == 0
        await service.cli("restore", backup)
        assert len(await recipients(service)) == 2

        await service.start()
        await until_taken(service, 3)
        assert await service.stop() == 0
    finally:
        await service.kill()

    assert await recipients(service) == [f"n{number}@b.example" for number in range(3)]
    assert (await service.audit())["problems"] == []
