"""A database in which every table has rows, as the service writes them."""

from datetime import timedelta

import apsw

from postbell.blocks import Position
from postbell.duties import Duty
from postbell.ports import (
    CountChange,
    CrewMember,
    IndexedRange,
    IndexedUpTo,
    Letter,
    MessageState,
    News,
    NewSecret,
    Telling,
    ToldState,
)
from postbell.records import BatchState, LaneChange, Reset, SecretKind
from postbell.storage.sqlite import SqliteEngine
from postbell.suppressions import SuppressionRule
from tests.contract import test_suppressions as suppressing
from tests.contract.making import Shop, block, span
from tests.contract.test_checkpoints import begin, remember
from tests.contract.test_index import postings
from tests.contract.test_owners import open_session
from tests.contract.test_quarantine import put as refuse
from tests.contract.test_second_factors import half, with_factor
from tests.contract.test_trail import entry, note
from tests.fakes import FakeClock

BLOCKS = 6


async def fill(engine: SqliteEngine, clock: FakeClock) -> Shop:
    """Fill every table of a new database."""
    shop = await Shop.open(engine, clock)
    key = NewSecret(SecretKind.SYMMETRIC, "whsec_" + "x" * 32, clock.now())
    draft = shop.draft(options={"array": True}, policy={"max_wait_s": 2.5}, headers=(("x-a", "b"),))
    webhook = await engine.registry.add_webhook(draft, [key])
    await engine.registry.add_secrets([key], account_id=1)
    await shop.append(*(block(200) for _ in range(BLOCKS)), keys=[shop.key()])
    await shop.claim()
    parked = shop.batch(webhook, "parked", state=BatchState.PARKED, parked_at=clock.now())
    run = shop.batch(webhook, "run", range=span(2, 3), count=200, done=bytes(25))
    entries = tuple(shop.entry(webhook, f"b{number}") for number in range(20))
    put = (shop.batch(webhook, "waiting", range=span(3, 4)), parked, run)
    await engine.ledger.record([LaneChange(webhook_id=1, epoch=1, put=put, entries=entries)])
    await engine.ledger.add_replay(shop.replay(webhook))
    clock.advance(7200)
    await shop.append(block(3))
    await engine.log.trust(clock.now())
    await engine.log.correct(clock.now() - timedelta(hours=1))
    owner, _ = await with_factor(shop)
    await open_session(shop, owner, b"session")
    await half(shop, owner)
    ends_at = clock.now() + timedelta(hours=1)
    await engine.owners.add_reset(Reset(owner_id=owner.id, digest=b"reset", expires_at=ends_at))
    await note(shop, *(entry(shop) for _ in range(20)))
    await engine.tries.count({b"key": 3}, now=clock.now(), window=timedelta(minutes=15))
    since = clock.now() - timedelta(days=1)
    await engine.tries.remember(b"subject", [b"mark"], now=clock.now(), since=since, kept=9)
    await engine.answers.begin(shop.key("k2"), stale_before=since, kept_since=since)
    await engine.answers.keep(shop.key("k2"))
    await remember(shop, await begin(shop), "queue-id")
    await refuse(shop, *(b"no event" for _ in range(20)))
    await suppressing.add(shop, suppressing.entry(shop))
    await suppressing.take_in(
        shop, suppressing.cause(shop, 1, suppressing.SOFT, SuppressionRule(2, 9), key="b@x")
    )
    told = ToldState("failing", clock.now(), "failing")
    letters = [Letter("ops@example.com", 1, b"{}") for _ in range(20)]
    await engine.notices.tell([Telling("webhook 1 delivery", told, 0, letters)])
    assert await engine.notices.hold("w1", lease_s=60.0)
    here = CrewMember("w1", "machine-1", 77, "worker", "1.2", clock.now())
    await engine.crew.report(here, {Duty.INDEX: ""}, lease_s=60.0)
    places = ((number, Position(1, number)) for number in range(200))
    news = News(
        IndexedUpTo(1, 1),
        [postings(1, *places)],
        [CountChange("account", 1, clock.now(), 3, 7)],
        [IndexedRange(webhook.id, span(1, 2), 1)],
        [MessageState(1, 77, 1000, 1, 1)],
    )
    assert await engine.index.add(await engine.index.marks(), news)
    return shop


def empty_tables(connection: apsw.Connection) -> set[str]:
    """Return the tables that have no row."""
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    return {
        name
        for (name,) in tables
        if not connection.execute(f'SELECT EXISTS (SELECT 1 FROM "{name}")').fetchall()[0][0]
    }
