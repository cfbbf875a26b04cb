"""PostgreSQL with several processes, behind a pooler, and with a server that is gone at times."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from postbell.clock import SystemClock
from postbell.duties import Duty
from postbell.errors import HeadMoved, StorageError
from postbell.ports import LEASE_S, CrewMember, Engine
from postbell.records import LaneChange, Webhook
from postbell.sealing import Sealer, load_or_create
from postbell.storage import postgres
from postbell.storage.postgres import PostgresEngine, connecting
from postbell.storage.postgres.transaction import PostgresTransaction
from postbell.storage.sql.transaction import Taken
from tests.contract.making import Shop, block
from tests.empty import empty_postgres
from tests.fakes import FakeClock
from tests.postgres import Server, pooler, server

WRITERS, READERS, BLOCKS = 8, 2, 12


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def url() -> Iterator[str]:
    with empty_postgres() as url:
        yield url


@pytest.fixture
async def engines(
    url: str, sealer: Sealer, clock: SystemClock
) -> AsyncIterator[list[PostgresEngine]]:
    made = [await postgres.open(url, sealer, clock) for _ in range(3)]
    yield made
    for each in made:
        await each.close()


async def append(engine: Engine, clock: SystemClock, mark: str) -> int:
    """Append a block behind whatever the head is, and return its id."""
    while True:
        try:
            found = await engine.log.append(
                [block(mark=mark)], [], head=await engine.log.head(), now=clock.now()
            )
        except HeadMoved:
            continue
        return found.headers[0].id


async def test_what_many_writers_append_is_read_on_without_a_gap(
    engines: list[PostgresEngine], clock: SystemClock
) -> None:
    wanted = WRITERS * BLOCKS

    async def write(number: int) -> list[int]:
        engine = engines[number % len(engines)]
        return [await append(engine, clock, str(number)) for _ in range(BLOCKS)]

    async def read(engine: Engine) -> list[int]:
        seen: list[int] = []
        while len(seen) < wanted:
            found = await engine.log.tail(seen[-1] if seen else 0, 7)
            seen += [header.id for header in found]
            if not found:
                await engine.bell.wait(0.05)
        return seen

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(read(engines[n])) for n in range(READERS)]
        writing = [tasks.create_task(write(n)) for n in range(WRITERS)]

    everything = list(range(1, wanted + 1))
    assert sorted(block for task in writing for block in task.result()) == everything
    assert [task.result() for task in reading] == [everything] * READERS


async def test_the_journal_of_many_workers_is_read_on_without_a_gap(
    engines: list[PostgresEngine], clock: SystemClock
) -> None:
    shop = await Shop.open(engines[0], FakeClock())
    webhooks = [await shop.webhook() for _ in range(4)]
    claims = await engines[0].ledger.claim("one", 10, lease_s=60)
    epochs = {claim.lane.webhook_id: claim.lane.epoch for claim in claims}
    wanted = len(webhooks) * BLOCKS

    async def write(engine: Engine, webhook: Webhook) -> None:
        for _ in range(BLOCKS):
            entries = (shop.entry(webhook),)
            change = LaneChange(webhook_id=webhook.id, epoch=epochs[webhook.id], entries=entries)
            assert await engine.ledger.record([change]) == []

    async def read(engine: Engine) -> list[int]:
        seen: list[int] = []
        while len(seen) < wanted:
            found = await engine.journal.scan(seen[-1] if seen else 0, 3)
            seen += [each.id for each in found]
            await asyncio.sleep(0)
        return seen

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(engines[2]))
        for number, webhook in enumerate(webhooks):
            tasks.create_task(write(engines[number % len(engines)], webhook))

    assert reading.result() == list(range(1, wanted + 1))


async def test_two_workers_claim_no_lane_both(
    engines: list[PostgresEngine], clock: SystemClock
) -> None:
    shop = await Shop.open(engines[0], FakeClock())
    for _ in range(9):
        await shop.webhook()

    claims = await asyncio.gather(
        *(
            engine.ledger.claim(f"worker {number}", 5, lease_s=60)
            for number, engine in enumerate(engines)
        )
    )

    held = [claim.lane.webhook_id for each in claims for claim in each]
    assert len(held) == len(set(held))
    more = await engines[0].ledger.claim("late", 9, lease_s=60)
    assert sorted([*held, *(claim.lane.webhook_id for claim in more)]) == list(range(1, 10))


@pytest.mark.parametrize("ahead_s", [-3600.0, -25.0, 25.0, 90.0, 3600.0])
async def test_a_wrong_clock_takes_nothing_from_anybody_and_loses_nothing(
    url: str, sealer: Sealer, clock: SystemClock, ahead_s: float
) -> None:
    there = await postgres.open(url, sealer, clock)
    wrong = await postgres.open(url, sealer, FakeClock(clock.now() + timedelta(seconds=ahead_s)))
    shop = await Shop.open(there, FakeClock())
    await shop.webhook()
    await shop.webhook()

    async def asks(engine: Engine, name: str, limit: int) -> tuple[int, int, bool, list[str]]:
        claims = await engine.ledger.claim(name, limit, lease_s=LEASE_S)
        me = CrewMember(name, "m", 1, "worker", "1", clock.now())
        reported = await engine.crew.report(me, {Duty.INDEX: ""}, lease_s=LEASE_S)
        is_telling = await engine.notices.hold(name, lease_s=LEASE_S)
        return len(claims), len(reported.terms), is_telling, [m.name for m in reported.members]

    right_first = [await asks(there, "right", 1), await asks(wrong, "wrong", 9)]
    await there.crew.leave("right")
    await there.notices.release("right")
    wrong_first = [await asks(wrong, "wrong", 9), await asks(there, "right", 9)]

    both = ["right", "wrong"]
    assert right_first == [(1, 1, True, ["right"]), (1, 0, False, both)]
    assert wrong_first == [(1, 1, True, ["wrong"]), (0, 0, False, both)]
    seen = await wrong.ledger.lane(1), await there.ledger.lane(1)
    assert all(each is not None and each.is_held for each in seen)
    for engine in (there, wrong):
        await engine.close()


async def test_a_commit_of_one_process_wakes_the_others_at_once(
    engines: list[PostgresEngine], clock: SystemClock
) -> None:
    waiting = [asyncio.create_task(engine.bell.wait(20)) for engine in engines[1:]]
    await asyncio.sleep(0.3)  # until all of them listen

    before = time.monotonic()
    await append(engines[0], clock, "a")

    assert await asyncio.gather(*waiting) == [True, True]
    assert time.monotonic() - before < 20


async def test_behind_a_pooler_nothing_is_prepared_and_polling_wakes(
    url: str, sealer: Sealer, clock: SystemClock
) -> None:
    pooled = pooler().url(url.rpartition("/")[2])
    assert (await connecting.found(pooled)).is_pooled
    assert not (await connecting.found(url)).is_pooled

    one, other = [await postgres.open(pooled, sealer, clock) for _ in range(2)]
    waiting = asyncio.create_task(other.bell.wait(20))
    await asyncio.gather(*(append(one, clock, str(number)) for number in range(20)))

    assert await waiting
    assert [header.id for header in await other.log.tail(0, 100)] == list(range(1, 21))
    await one.close()
    await other.close()


async def test_a_process_that_is_frozen_in_a_transaction_holds_nobody_for_long(
    url: str, sealer: Sealer, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "IDLE_S", 0.3)
    frozen, other = [await postgres.open(url, sealer, clock) for _ in range(2)]
    is_inside, may_go_on = asyncio.Event(), asyncio.Event()

    async def freeze(db: PostgresTransaction) -> None:
        await db.one("lock_head")
        is_inside.set()
        await may_go_on.wait()
        await db.run("touch_ready", 1)

    freezing = asyncio.create_task(frozen.log._store.log_writer.run(freeze))
    await is_inside.wait()

    assert await append(other, clock, "a") == 1
    may_go_on.set()
    with pytest.raises(StorageError, match="the server cannot be reached"):
        await freezing
    assert await append(frozen, clock, "b") == 2
    await frozen.close()
    await other.close()


async def test_a_server_that_crashes_is_found_again_and_has_what_was_acknowledged(
    sealer: Sealer, clock: SystemClock
) -> None:
    own = Server()
    try:
        engine = await postgres.open(own.url(own.database()), sealer, clock)
        await append(engine, clock, "a")

        own.crash()
        with pytest.raises(StorageError):
            await append(engine, clock, "b")
        with pytest.raises(StorageError, match="try again in a moment"):
            await engine.ready()
        own.start()

        async with asyncio.timeout(20):
            assert await append(engine, clock, "c") == 2
        assert [header.id for header in await engine.log.tail(0, 10)] == [1, 2]
        await engine.close()
    finally:
        own.stop()


async def test_a_server_that_takes_no_writes_says_so_with_the_way_out(
    url: str, sealer: Sealer, clock: SystemClock
) -> None:
    name = url.rpartition("/")[2]
    server().psql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        engine = await postgres.open(url, sealer, clock)
        with pytest.raises(StorageError, match="target_session_attrs=read-write"):
            await engine.ready()
        assert await engine.log.head() == 0
        await engine.close()
    finally:
        server().psql(f"ALTER DATABASE {name} RESET default_transaction_read_only", "postgres")


async def test_what_is_heard_while_the_engine_closes_is_no_error(
    url: str, sealer: Sealer, clock: SystemClock
) -> None:
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failed.append(told))
    name = url.rpartition("/")[2]
    engine = await postgres.open(url, sealer, clock)
    async with asyncio.timeout(20):
        while True:
            server().psql("NOTIFY postbell", name)
            if await engine.bell.wait(0.1):
                break

    server().psql("NOTIFY postbell", name)  # the loop stands meanwhile, and has it unread
    await engine.close()
    await asyncio.sleep(0)

    assert failed == []


async def test_no_password_is_in_an_error(sealer: Sealer, clock: SystemClock) -> None:
    port = server().port
    for url in (
        f"postgresql://who:hidden@127.0.0.1:{port}/none",
        f"postgresql://postbell:hidden@127.0.0.1:{port}/none",
        "postgresql://postbell:hidden@127.0.0.1:1/x?password=hidden",
    ):
        with pytest.raises(StorageError) as caught:
            await postgres.open(url, sealer, clock)
        assert "hidden" not in str(caught.value)


async def test_a_commit_that_the_server_made_a_rollback_is_not_acknowledged(
    engines: list[PostgresEngine], clock: SystemClock
) -> None:
    await engines[0].registry.add_account("acme", clock.now())

    async def work(db: PostgresTransaction) -> str:
        with contextlib.suppress(Taken):
            await db.scalar("add_account", "acme", 1)
        return "done"

    with pytest.raises(StorageError, match="undid a transaction"):
        await engines[0].log._store.writer.run(work)

    await engines[0].registry.add_account("bolt", clock.now())
    assert [each.name for each in await engines[1].registry.accounts()] == ["acme", "bolt"]


async def test_a_text_with_a_zero_is_kept_without_it(
    engines: list[PostgresEngine], clock: SystemClock
) -> None:
    account = await engines[0].registry.add_account("a\0b", clock.now())

    assert [each.name for each in await engines[1].registry.accounts()] == ["a\ufffdb"]
    assert account.id == 1


async def test_a_database_of_somebody_else_is_refused(sealer: Sealer, clock: SystemClock) -> None:
    name = server().database()
    server().psql("CREATE TABLE theirs (id int)", name)

    with pytest.raises(StorageError, match="not Postbell's; choose another one"):
        await postgres.open(server().url(name), sealer, clock)


async def test_the_version_that_the_tests_run_on_is_named(
    record_property: Callable[[str, object], None],
) -> None:
    connection = await asyncpg.connect(server().url("postgres"))
    major = connection.get_server_version().major
    await connection.close()

    record_property("postgresql", server().version)
    assert major >= connecting.OLDEST
    assert server().version.startswith(str(major))
