"""The real `postbell serve` over hostile data, with a mail server and a receiver that fails."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from postbell.clock import SystemClock
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.api.service import basic
from tests.crash.harness import Receiver, Service, receiving, until
from tests.fakes import KEY
from tests.hostile.building import build
from tests.hostile.events import add_hostile_events
from tests.operating.rig import Mailbox, smtp

LIMIT_S = 120
TOKEN = "a-token-of-many-characters"
EVENT = {"type": "open", "recipient": "ada@example.net"}
NOWHERE = "http://127.0.0.1:9/hook"


@asynccontextmanager
async def serving(folder: Path, url: str) -> AsyncIterator[Service]:
    service = Service(
        folder,
        POSTBELL_SMTP_URL=url,
        POSTBELL_OPERATOR_EMAIL="ops@bell.example.com",
        POSTBELL_LAG_LIMIT_S="60",
        POSTBELL_SILENCE_H="1",
        POSTBELL_METRICS_TOKEN=TOKEN,
    )
    try:
        await service.start()
        yield service
    finally:
        await service.kill()


async def delivered(service: Service, receiver: Receiver) -> None:
    """Ingest an event of the good account and wait until its receiver has it."""
    before = len(receiver.arrivals)
    headers = {"authorization": basic("good-mail", KEY)}
    async with httpx.AsyncClient(timeout=LIMIT_S, trust_env=False) as client:
        answer = await client.post(service.url + "/api/v1/events", json=EVENT, headers=headers)
    assert answer.status_code == 202, answer.text
    await until(lambda: len(receiver.arrivals) > before, LIMIT_S)


async def fenced(service: Service) -> float:
    """Return how many items were skipped, as `/metrics` says."""
    async with httpx.AsyncClient(timeout=LIMIT_S, trust_env=False) as client:
        answer = await client.get(
            service.url + "/metrics", headers={"authorization": f"Bearer {TOKEN}"}
        )
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if "fenced_errors_total{" in line]
    assert lines
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_an_owner_that_is_no_address_and_a_failing_webhook_end_nothing(
    tmp_path: Path,
) -> None:
    mailbox = Mailbox()
    async with receiving() as receiver, smtp(mailbox) as url:
        await build(tmp_path / "data", good_url=receiver.url, evil_url=NOWHERE)
        _only_the_owner(tmp_path / "data" / "postbell.db")
        for _ in range(2):
            async with serving(tmp_path, url) as service:
                await until(lambda: "notice_failed" in _log(tmp_path), LIMIT_S)
                await delivered(service, receiver)
                assert service.process is not None
                assert service.process.returncode is None

    assert any(to == "ops@bell.example.com" for to, _ in mailbox.taken)
    assert ":;@b.example" not in _log(tmp_path)


def _only_the_owner(path: Path) -> None:
    """Leave of the evil copies the one whose owner is no address."""
    db = sqlite3.connect(path)
    (account_id,) = db.execute(
        "SELECT account_id FROM owners WHERE email = ':;@b.example'"
    ).fetchone()
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        if "account_id" in columns and table not in ("heads", "blocks"):
            db.execute(
                f"DELETE FROM {table} WHERE account_id NOT IN (1, ?)",
                (account_id,),
            )
    db.commit()
    db.close()


def _log(folder: Path) -> str:
    return (folder / "service.log").read_text()


@pytest.mark.parametrize("what", ["columns", "events"])
async def test_hostile_data_ends_nothing_and_keeps_nobody_waiting(
    tmp_path: Path, what: str
) -> None:
    mailbox = Mailbox()
    async with receiving() as receiver, smtp(mailbox) as url:
        data = tmp_path / "data"
        evil_url = NOWHERE if what == "columns" else ""
        await build(data, good_url=receiver.url, evil_url=evil_url)
        if what == "events":
            engine = await sqlite.open(
                data / "postbell.db", load_or_create(data / "secret.key"), SystemClock()
            )
            await add_hostile_events(engine, NOWHERE)
            await engine.close()
        async with serving(tmp_path, url) as service:
            await delivered(service, receiver)
            if what == "columns":
                await until(lambda: len(mailbox.taken) > 20, LIMIT_S)
            async with asyncio.timeout(LIMIT_S):
                while not await fenced(service):
                    await asyncio.sleep(0.2)
            await delivered(service, receiver)
            assert service.process is not None
            assert service.process.returncode is None

    assert "item_failed" in _log(tmp_path) or "webhook_broken" in _log(tmp_path)
    assert '"event":"failed"' not in _log(tmp_path)
