"""A database of the release before, whose ids of batches said of a revision only its number: what
it had cut goes on under the ids that receivers know."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from postbell.blocks import START, Position, Range
from postbell.dialects import DIALECTS
from postbell.lane.body import batch_id, rendered
from postbell.ports import Database
from postbell.reading.match import Selection
from postbell.reading.reader import Reader
from postbell.records import BatchState, Outcome, Revision, Webhook, WebhookState
from postbell.reports.singles import SinglesReport
from postbell.sealing import Sealer, load_or_create
from postbell.storage.postgres import PostgresDatabase
from postbell.storage.sqlite import SqliteDatabase
from tests.delivery.rig import Rig, event, running
from tests.delivery.test_same_ids import sent_as
from tests.empty import made_postgres
from tests.fakes import FakeClock
from tests.postgres import server

FAILING, PARKING, SINGLE = (f"https://{name}.example/hook" for name in "abc")
FAILED, GONE = Outcome(status=500), Outcome(status=410)
LAST = {"sqlite": 26, "postgres": 3}
"""The last migration of the release before."""
AS_BEFORE = (
    "ALTER TABLE revisions DROP COLUMN ids_name_bytes;"
    " UPDATE meta SET value = {} WHERE name = 'schema_version'"
)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield SqliteDatabase(tmp_path / "postbell.db")
        return
    name = server().database(made_postgres())
    yield PostgresDatabase.named(server().url(name), tmp_path)
    server().drop(name)


def set_back(database: Database) -> None:
    """Let the schema be that of the release before."""
    if isinstance(database, SqliteDatabase):
        connection = apsw.Connection(str(database.path))
        connection.execute(AS_BEFORE.format(LAST["sqlite"]))
        connection.close()
    else:
        server().psql(AS_BEFORE.format(LAST["postgres"]), database.place.rpartition("/")[2])


@asynccontextmanager
async def served(database: Database, sealer: Sealer, clock: FakeClock) -> AsyncIterator[Rig]:
    engine = await database.open(sealer, clock)
    try:
        async with running(engine, clock) as rig:
            yield rig
    finally:
        await engine.close()


async def of_before(rig: Rig, url: str, dialect: str, **policy: object) -> Webhook:
    """Register a webhook as the release before did."""
    first = Revision(1, START, None, None, dialect, {}, ids_name_bytes=False)
    policy |= {"max_wait_s": 0}
    return await rig.webhook(url, dialect=dialect, policy=policy, revisions=(first,))


async def test_what_was_under_way_goes_on_under_its_id_after_an_upgrade(
    database: Database, tmp_path: Path
) -> None:
    sealer, clock = load_or_create(tmp_path / "key"), FakeClock()
    async with served(database, sealer, clock) as rig:
        await of_before(rig, FAILING, "native", retry_waits_s=[60])
        await of_before(rig, PARKING, "sendpulse", retry_waits_s=[])
        paused = await of_before(rig, SINGLE, "engagelab", concurrency=1, success=[200])
        rig.sender.standing = {FAILING: FAILED, PARKING: FAILED}
        rig.sender.answers[SINGLE] = [Outcome(status=200), GONE]
        await rig.send(*map(event, range(4)))
        await rig.turn()
        before = came(rig)
        (taken, _) = rig.sender.got[SINGLE]
        held = await rig.engine.ledger.open_batches()
    set_back(database)

    await asyncio.to_thread(database.migrate)

    async with served(database, sealer, clock) as rig:
        engine = rig.engine
        stored = await engine.registry.webhook(paused.id)
        assert stored is not None
        (parked,) = [each for each in held if each.state is BatchState.PARKED]
        await engine.registry.set_webhook(replace(stored, state=WebhookState.ACTIVE))
        await rig.directory.refresh()
        for _ in range(2):
            await rig.later(61)
        after = came(rig)

        assert await engine.ledger.batch(parked.id) == parked
        assert len(after) == 4  # what had failed or was refused, and the rest of the run
        assert before.items() & after.items() == {
            each for each in before.items() if each[0] not in (parked.id, sent_as(taken))
        }
        (first,) = stored.revisions
        selection = Selection.of(DIALECTS["engagelab"], first)
        (run,) = [each for each in held if each.done is not None]
        found = await Reader(engine.log).events(rig.account.id, run.range, selection)
        for number, logged in enumerate(found.events):
            block, offset = found.place(number)
            part = Range(Position(block, offset), Position(block, offset + 1))
            made = rendered(DIALECTS["engagelab"], first, [logged])
            assert (before | after)[batch_id(stored.id, first, part, made)] == made.body
        assert (await rig.audit()).problems == []
        where = await SinglesReport(engine, DIALECTS).find(None, sent_as(taken))
        assert where.count == 1
        changed = await engine.registry.set_webhook(replace(stored, options={"codes": "phase"}))
        assert [each.ids_name_bytes for each in changed.revisions] == [False, True]


def came(rig: Rig) -> dict[str, bytes | None]:
    return {sent_as(each): each.body for requests in rig.sender.got.values() for each in requests}
