"""What two threads touch, hammered while they take turns every microsecond."""

import asyncio
import contextlib
import io
import json
import select
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postbell import fences
from postbell.clock import SystemClock
from postbell.errors import StorageError
from postbell.sealing import Sealer
from postbell.signals import heard, log
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from tests.contract.making import Shop, block
from tests.fakes import FakeClock

ROUNDS = 30
BLOCKS = 200


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


async def listen(engine: SqliteEngine) -> None:
    """Wait for the bell for ever, so that the writer looks for what others commit."""
    while True:
        await engine.bell.wait(1)


async def test_what_others_commit_takes_nothing_away_that_is_being_read(
    path: Path, sealer: Sealer
) -> None:
    clock = SystemClock()
    mine = await sqlite.open(path, sealer, clock)
    other = await sqlite.open(path, sealer, clock)
    shop = await Shop.open(mine, clock)
    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen(mine))
        for number in range(ROUNDS):
            headers = await shop.append(*[block(1)] * BLOCKS)
            ids = [header.id for header in headers]
            version = await mine.registry.version()
            changing = tasks.create_task(
                other.registry.add_account(f"account-{number}", clock.now())
            )
            while not changing.done() or await mine.registry.version() == version:
                seen = await mine.log.tail(ids[0] - 1, BLOCKS)
                assert [header.id for header in seen] == ids
                [last] = await mine.log.load(ids[-1:])
                assert last.header == headers[-1]
                await asyncio.sleep(0)
        listening.cancel()

    for engine in (mine, other):
        await engine.close()


async def test_appends_reads_and_changes_of_two_processes_agree(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    engines = [await sqlite.open(path, sealer, clock) for _ in range(2)]
    shops = [await Shop.open(engines[0], clock)]
    shops.append(Shop(engines[1], clock, shops[0].accounts, shops[0].users))
    appended: Counter[int] = Counter()

    async def append(number: int) -> None:
        for _ in range(ROUNDS):
            try:
                headers = await shops[number].append(*[block(2)] * 5)
            except StorageError:  # the other one was first
                continue
            appended[number] += len(headers)

    async def change(number: int) -> None:
        for turn in range(ROUNDS):
            await engines[number].registry.add_account(f"account-{number}-{turn}", clock.now())
            await shops[number].webhook()

    async def read(number: int) -> None:
        engine = engines[number]
        for _ in range(ROUNDS * 10):
            after = max(await engine.log.head() - 20, 0)
            ids = [header.id for header in await engine.log.tail(after, 20)]
            assert ids == list(range(after + 1, after + 1 + len(ids)))
            await engine.registry.webhooks(changed_after=await engine.registry.version() - 1)

    async with asyncio.TaskGroup() as tasks:
        listening = [tasks.create_task(listen(engine)) for engine in engines]
        working = [
            tasks.create_task(work(number)) for work in (append, change, read) for number in (0, 1)
        ]
        await asyncio.wait(working)
        for each in listening:
            each.cancel()

    assert await engines[0].log.head() == appended.total()
    for engine in engines:
        await engine.close()


async def test_a_read_that_comes_while_the_engine_closes_is_answered_or_refused(
    path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    ended: Counter[str] = Counter()

    async def read(engine: SqliteEngine) -> None:
        while True:
            try:
                await engine.log.head()
            except StorageError as error:
                ended[error.message] += 1
                return

    for _ in range(ROUNDS):
        engine = await sqlite.open(path, sealer, clock)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(read(engine))
            await asyncio.sleep(0)
            await engine.close()

    assert ended == {"the database is closed; nothing more is read": 8 * ROUNDS}


def in_threads(work: Callable[[int], None], count: int = 4) -> list[BaseException]:
    """Run *work* in threads at once; return what they raised."""
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_what_fails_in_several_threads_is_counted_each_time() -> None:
    before = fences.failed["rows"]

    def fail(number: int) -> None:
        for item in range(4000):
            fences.note("rows", ValueError("no"), item=f"{number} {item}")

    assert in_threads(fail) == []
    assert fences.failed["rows"] == before + 16_000


def test_lines_of_several_threads_are_written_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = OneByOne()
    monkeypatch.setattr(sys, "stderr", out)

    def tell(number: int) -> None:
        for item in range(200):
            log("lane_lost", webhook_id=1000 * number + item)

    assert in_threads(tell) == []
    assert out.overlaps == 0
    assert {json.loads(line)["webhook_id"] for line in out.getvalue().splitlines()} == {
        1000 * number + item for number in range(4) for item in range(200)
    }


class OneByOne(io.StringIO):
    """A stream that counts the lines that begin while another one is being written."""

    def __init__(self) -> None:
        super().__init__()
        self.overlaps = 0
        self._is_writing = False

    def write(self, text: str) -> int:
        self.overlaps += self._is_writing
        self._is_writing = True
        select.select([], [], [], 0)  # lets another thread run, as a slow terminal does
        return super().write(text)

    def flush(self) -> None:
        self._is_writing = False


def test_who_stops_listening_to_the_log_takes_no_line_from_another() -> None:
    told: list[object] = []
    first = contextlib.ExitStack()
    first.enter_context(heard("lane_lost", lambda _: first.close()))

    with heard("lane_lost", told.append):
        log("lane_lost", webhook_id=1)

    assert told == [{"webhook_id": 1}]
