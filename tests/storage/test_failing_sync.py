"""A commit whose sync fails is a 503 to everybody whose request was in it, or comes after it."""

import asyncio
from pathlib import Path

from postbell.storage.sqlite import SqliteEngine
from tests.api.service import URL, running
from tests.fakes import FakeClock
from tests.storage.broken_disk import wal_becomes

EVENT = [{"type": "open", "recipient": "ada@example.net"}]
CALLS = (
    ("POST", "/api/v1/events", EVENT),
    ("PATCH", "/api/v1/webhooks/1", {"types": ["click"]}),
    ("POST", "/api/v1/webhooks", {"url": URL}),
    ("POST", "/api/v1/webhooks/1/pause", {}),
    ("POST", "/api/v1/api-users", {"name": "late"}),
)
AT_ONCE = 6
KEYS = [{"idempotency-key": each} for each in "abcabc"]


async def test_requests_whose_commit_cannot_be_synced_get_503(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    async with running(clock, engine=engine) as service:
        await service.webhook()
        await service.events("open")
        with wal_becomes("/dev/null", path):
            together = await asyncio.gather(
                *(service.call(method, path, json=sent) for method, path, sent in CALLS * AT_ONCE),
                *(
                    service.call(
                        "POST", "/api/v1/events", json=EVENT, headers={"idempotency-key": k}
                    )
                    for k in "abcabc"
                ),
            )
        later = [await service.call(method, path, json=sent) for method, path, sent in CALLS]
        known = await service.call("GET", "/api/v1/webhooks/1")

    answers = [*together, *later]
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["code"] for answer in together} <= {"engine_stopped", "storage"}
    assert {answer.json()["code"] for answer in later} == {"engine_stopped"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    assert known.status_code == 200
