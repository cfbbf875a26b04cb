"""Hostile values in every column: every loop goes over them, and nobody else is hurt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from postbell import fences
from postbell.audit import audit
from postbell.clock import SystemClock
from postbell.delivery.worker import Worker
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.index.indexer import Indexer
from postbell.ingest.ingest import Ingest
from postbell.operating.mailing import Mailer
from postbell.operating.metrics import Metrics
from postbell.operating.notices import Recipients, Teller
from postbell.operating.standings import Standings
from postbell.reports import Reports
from postbell.reports.live import Live
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from tests.delivery.rig import ScriptedSender
from tests.hostile.building import Built, build
from tests.operating.rig import OPERATOR, SENDER, Mailbox, smtp

GOOD = "http://good.example/hook"
EVENT = b'{"type":"open","recipient":"ada@example.net"}'
LIMIT_S = 240


class LateClock(SystemClock):
    """The machine's clock, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> Any:
        return super().now() + self.ahead

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead.total_seconds()


class House(NamedTuple):
    """All parts of a serving process that go over customers' data."""

    built: Built
    clock: LateClock
    engine: SqliteEngine
    directory: Directory
    sender: ScriptedSender
    ingest: Ingest
    worker: Worker
    indexer: Indexer
    standings: Standings
    metrics: Metrics
    notices: Teller
    mailbox: Mailbox

    async def delivered(self) -> None:
        """Ingest an event of the good account and wait until its receiver has it."""
        before = len(self.sender.got[GOOD])
        await self.directory.refresh()
        user = self.directory.known.api_user("good-mail")
        assert user is not None
        account = self.directory.known.accounts[user.account_id]
        answer = await self.ingest.submit(account, user, [EVENT])
        assert answer.accepted == 1
        async with asyncio.timeout(LIMIT_S):
            while len(self.sender.got[GOOD]) == before:
                await asyncio.sleep(0.02)

    async def scraped(self) -> dict[str, float]:
        _, text = await self.metrics.write("")
        return {
            sample.labels["loop"]: sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
            if sample.name == "postbell_fenced_errors_total"
        }


@asynccontextmanager
async def house(folder: Path, *, has_evil: bool = True) -> AsyncIterator[House]:
    evil_url = "http://evil.example/hook" if has_evil else ""
    built = await build(folder, good_url=GOOD, evil_url=evil_url)
    clock, mailbox, sender = LateClock(), Mailbox(), ScriptedSender()
    sealer = load_or_create(folder / "secret.key")
    engine = await sqlite.open(folder / "postbell.db", sealer, clock, worker=True)
    try:
        directory = Directory(engine.registry)
        await directory.refresh()
        ingest = Ingest(engine, clock, directory)
        await ingest.start()
        worker = Worker(
            engine,
            DIALECTS,
            sender,
            clock,
            directory,
            installation_policies={},
            retention_days=30,
            owner="w",
            shutdown_s=1,
        )
        reports = Reports(engine, DIALECTS, directory, clock)
        standings = Standings(reports, directory, engine.log, clock, pause_s=0.05, share=1.0)
        metrics = Metrics(
            engine, directory, standings, clock, role="all", region="sg", pools=lambda: ()
        )
        async with smtp(mailbox) as url:
            mailer = Mailer(url, SENDER, clock)
            notices = Teller(
                engine,
                directory,
                standings,
                clock,
                Recipients(mailer.send, OPERATOR, "", "sg", "https://bell.example.com"),
                owner="w",
                lag_limit_s=60.0,
                silence_h=1.0,
                look_s=0.5,
            )
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(each)
                    for each in (ingest.run(), standings.run(), metrics.run(), notices.run())
                ]
                working = tasks.create_task(worker.run())
                indexer = Indexer(engine, clock, share=1.0)
                running.append(tasks.create_task(indexer.run()))
                yield House(
                    built, clock, engine, directory, sender, ingest, worker, indexer,
                    standings, metrics, notices, mailbox,
                )  # fmt: skip
                for task in running:
                    task.cancel()
                worker.stop()
                await working
            mailer.close()
    finally:
        await engine.close()


@pytest.mark.long
async def test_every_loop_goes_over_hostile_values_in_every_column(tmp_path: Path) -> None:
    before = sum(fences.failed.values())
    async with house(tmp_path / "data") as all_of_it:
        await all_of_it.delivered()
        async with asyncio.timeout(LIMIT_S):
            while len(all_of_it.standings.seen) < len(all_of_it.built.cases) / 2:
                await asyncio.sleep(0.05)
            while not any(
                to == "2@evil.example" or "evil" in to for to, _ in all_of_it.mailbox.taken
            ):
                await asyncio.sleep(0.05)
            while (await all_of_it.engine.index.marks()).block < await all_of_it.engine.log.head():
                await asyncio.sleep(0.05)
        await all_of_it.delivered()

        all_of_it.clock.ahead = timedelta(days=40)
        await all_of_it.worker.pruner.sweep(list(all_of_it.worker.lanes.values()))
        found = await audit(all_of_it.engine, DIALECTS)
        live = Live(all_of_it.engine, all_of_it.directory, all_of_it.clock)
        for account_id in all_of_it.directory.known.accounts:
            await live._look(account_id)
        await all_of_it.delivered()
        counted = await all_of_it.scraped()
        told = await all_of_it.engine.notices.told(0, 1000)

    assert len(all_of_it.built.refused) < 50 < 400 < len(all_of_it.built.cases)
    assert set(counted) == set(fences.LOOPS)
    assert counted["rows"] > 0
    assert sum(counted.values()) > before
    assert found.webhooks > 300
    assert [problem for problem in found.problems if problem.webhook_id == 1] == []
    assert len(told) > 100


@pytest.mark.parametrize("loop", sorted(fences.LOOPS))
def test_a_fence_lets_engine_errors_and_cancellation_pass(loop: str) -> None:
    from postbell.errors import EngineStopped, Overloaded, StorageError

    for error in (StorageError("x"), EngineStopped("x"), Overloaded("x"), asyncio.CancelledError()):
        with pytest.raises(type(error)), fences.fence(loop):
            raise error
    with pytest.raises(ExceptionGroup), fences.fence(loop):
        raise ExceptionGroup("g", [ValueError("x"), StorageError("x")])
    with fences.fence(loop, item="webhook 7", account=3) as step:
        raise ValueError("x")
    assert step.has_failed
