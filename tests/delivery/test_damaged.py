"""A block that the disk has changed is named, never sent, never cut anew; nothing else stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from postbell import signals
from postbell.blocks import Position
from postbell.delivery.scrub import Scrubber
from postbell.errors import DamagedBlock
from postbell.index.indexer import Indexer
from postbell.records import EntryKind, Outcome, WebhookState
from postbell.reports.search import Search, SearchQuery
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock

URL, OTHER = "https://a.example/hook", "https://b.example/hook"
DOWN = Outcome(status=503)
COLUMNS = ("body", "codes", "sizes", "hashes", "recorded_at", "first_sequence", "api_user_id")


@contextmanager
def told(name: str) -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []
    with signals.heard(name, found.append):
        yield found


class Disk:
    """A rig on SQLite whose file can be changed behind its back."""

    def __init__(self, rig: Rig, path: Path) -> None:
        self.rig = rig
        self.path = path
        self.owner = "w1"

    async def flip(self, block: int, column: str = "body", bit: int = 9) -> None:
        """Flip a bit of one column of a block while no worker runs."""
        db = apsw.Connection(str(self.path))
        [(value,)] = db.execute(f"SELECT {column} FROM blocks WHERE id = ?", (block,)).fetchall()
        if isinstance(value, bytes):
            changed = bytearray(value)
            changed[bit >> 3] ^= 1 << (bit & 7)
            value = bytes(changed)
        else:
            value ^= 1 << bit
        db.execute(f"UPDATE blocks SET {column} = ? WHERE id = ?", (value, block))
        db.close()
        self.rig.engine.log._store.recent.drop(1 << 40)  # as after a restart
        await self.restart()

    async def restart(self) -> None:
        """Let another worker take over."""
        await self.rig.engine.ledger.release(self.owner)
        self.owner += "+"
        self.rig.worker = self.rig.new_worker(self.owner)
        self.rig.worker.tasks = self.rig.tasks
        await self.rig.worker.claim()


@pytest.fixture
async def disk(tmp_path: Path, clock: FakeClock):
    path = tmp_path / "postbell.db"
    engine = await sqlite.open(path, load_or_create(tmp_path / "key"), clock, worker=True)
    async with running(engine, clock) as rig:
        yield Disk(rig, path)
    await engine.close()


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_changed_bit_is_found_wherever_it_is(disk: Disk, column: str) -> None:
    await disk.rig.send(event(1), event(2))
    await disk.rig.send(event(3))
    await disk.flip(1, column)

    with pytest.raises(DamagedBlock, match="block 1 "):
        await disk.rig.engine.log.load([1, 2])
    sound = await disk.rig.engine.log.load([1, 2], is_choosy=False)
    checked = await disk.rig.engine.log.check(0, 10)

    assert [block.header.id for block in sound] == [2]
    assert (checked.blocks, checked.last, checked.damaged) == (2, 2, (1,))


async def test_a_search_finds_what_lies_beside_a_damaged_block(disk: Disk) -> None:
    rig = disk.rig
    for number in range(3):
        await rig.send(event(number, recipient="ada@example.net"))
    await Indexer(rig.engine, rig.clock).catch_up()
    await disk.flip(2)
    search = Search(rig.engine)

    for wanted in (SearchQuery(), SearchQuery(recipient="ada@example.net")):
        found = await search.events(rig.account.id, wanted)
        assert [hit.event.event_id for hit in found.rows] == ["e2", "e0"]
    with pytest.raises(DamagedBlock):
        await search.event(rig.account.id, "e1")


async def test_a_damaged_block_is_not_sent_and_pauses_only_who_waits_for_it(disk: Disk) -> None:
    rig = disk.rig
    policy = {"max_wait_s": 0, "retry_waits_s": [10, 10]}
    waiting = await rig.webhook(URL, policy=policy)
    rig.sender.standing[URL] = DOWN
    await rig.send(event(1), event(2))
    await rig.turn()
    done = await rig.webhook(OTHER, policy=policy, start=(await end_of(rig)))
    sent = len(rig.sender.got[URL])
    await disk.flip(1)
    rig.sender.standing[URL] = Outcome(status=200)

    with told("block_damaged") as names:
        await rig.send(event(3))
        await rig.later(60)

    webhooks = {each.id: each for each in await rig.engine.registry.webhooks()}
    assert [(each["block"], each["webhook_id"]) for each in names] == [(1, waiting.id)]
    later = b"".join(request.body or b"" for request in rig.sender.got[URL][sent:])
    assert b"user1@" not in later
    assert b"user2@" not in later
    assert webhooks[waiting.id].state is WebhookState.PAUSED
    assert webhooks[waiting.id].state_reason == "damaged_block"
    assert webhooks[done.id].state is WebhookState.ACTIVE
    assert len(rig.bodies(OTHER)) == 1


async def test_the_audit_names_a_damaged_block(disk: Disk) -> None:
    await disk.rig.webhook(policy={"max_wait_s": 0})
    await disk.rig.send(event(1))
    await disk.rig.turn()
    before = await disk.rig.audit()
    await disk.flip(1)

    after = await disk.rig.audit()

    assert before.problems == []
    assert [problem.block for problem in after.problems] == [1]


async def test_the_scrubber_finds_what_nobody_reads(disk: Disk) -> None:
    for number in range(40):
        await disk.rig.send(event(number))
    await disk.flip(33)
    scrubber = Scrubber(disk.rig.engine.log, disk.rig.clock)

    with told("block_damaged") as names:
        for _ in range(3):
            await scrubber.step()

    assert [each["block"] for each in names] == [33]


async def test_an_event_whose_id_may_be_in_a_damaged_block_is_taken(disk: Disk) -> None:
    await disk.rig.send(event(1))
    await disk.flip(1)

    answer = await disk.rig.send(event(1))

    assert answer.accepted == 1


async def test_retention_goes_on_past_a_damaged_block(disk: Disk) -> None:
    rig = disk.rig
    rig.retention_days = 1
    await disk.restart()
    policy = {"max_wait_s": 100, "max_events": 9, "retry_waits_s": [500_000] * 9}
    await rig.webhook(policy=policy)
    rig.sender.standing[URL] = DOWN
    await rig.send(event(1))
    rig.clock.advance(50)
    await rig.send(event(2))
    await rig.later(101)
    await disk.flip(2)
    await rig.turn()

    rig.clock.advance(86_400 - 120)
    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))
    kept = [header.id for header in await rig.engine.log.tail(0, 10)]
    rig.clock.advance(86_400)
    await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))

    assert kept == [1, 2]
    assert await rig.engine.log.tail(0, 10) == []
    entries = [one for block in await rig.engine.journal.scan(0, 99) for one in block.entries]
    assert sum(one.count for one in entries if one.kind is EntryKind.EXPIRED) == 2
    assert (await rig.audit()).problems == []


async def test_a_backup_of_a_damaged_block_is_refused_by_name(disk: Disk, tmp_path: Path) -> None:
    await disk.rig.send(event(1))
    await disk.flip(1)

    with pytest.raises(Exception, match="block 1 of the log has another checksum"):
        await disk.rig.engine.backup(tmp_path / "copy.db")


async def end_of(rig: Rig) -> Position:
    """Return where the log ends."""
    return Position(await rig.engine.log.head() + 1, 0)
