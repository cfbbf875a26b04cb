"""A story in which every operation of the native API answers, and each answer to the byte.

`answers.txt` keeps them: `python -m tests.api.answers` writes it anew where an answer is meant to
be another one.  What chance makes (keys, ids of samples) stands there as stars; what every new
dialect or type adds to, the catalogue, is not in it.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from postbell.attempts import used_of
from postbell.blocks import Position, Range
from postbell.body_limits import BodyLimit
from postbell.records import BatchState, EntryKind, LaneChange, Outcome, Verdict
from tests.api.service import URL, Service, basic, running
from tests.api.test_batches import batch, entry, put
from tests.fakes import FakeClock
from tests.reports.test_sources import quarantined, standing

KEPT = Path(__file__).with_name("answers.txt")
CHANCE = re.compile(r'("(?:batch_id":"test_|hint":"|key":"|public_key":"|value":"))[^"]+')
TRUSTED = "ada_key_of_her_own_0123456789"


class Told(list[tuple[str, str]]):
    """What was asked, and what was answered."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service

    async def ask(self, method: str, path: str, **options: Any) -> None:
        response = await self.service.call(method, f"/api/v1/{path}", **options)
        headers = [
            f"{name}: {response.headers[name]}"
            for name in ("content-type", "location")
            if name in response.headers
        ]
        text = CHANCE.sub(r"\1***", response.text)
        self.append((f"{method} {path}", "\n".join([str(response.status_code), *headers, text])))


def at(offset: int, count: int = 1) -> Range:
    return Range(Position(1, offset), Position(1, offset + count))


async def fill(service: Service) -> None:
    """Leave events, and webhooks that stand well, behind, failing and paused."""
    body = [
        {
            "type": kind,
            "event_id": f"e{number}",
            "occurred_at": 1.7e9 + number,
            "recipient": "ada@example.net",
            "message": {"id": "m1", "from": "shop@example.net", "subject": "Your receipt"},
            "metadata": {"order": number},
            **({"attempt": {"n": 1, "next_at": "2026-11-21T12:00:00Z"}} if not number else {}),
            **({"smtp": {"code": 550, "text": "no"}} if kind == "hard_bounce" else {}),
        }
        for number, kind in enumerate(("sent", "delivered", "open", "click", "hard_bounce"))
    ]
    await service.webhook(policy={"max_events": 5, "success": [200, 202]}, headers={"X-A": "1"})
    await service.webhook(url="https://me:word@hooks.example.com/in?k=v", types=["open"])
    await service.webhook(dialect="engagelab", api_user="anna", start="oldest")
    await service.webhook(dialect="sendpulse")
    await service.call("POST", "/api/v1/events", json=body)
    now = service.clock.now()
    used = used_of(URL, (("X-A", "1"),))
    refused = Outcome(
        status=503,
        error="",
        detail="busy",
        retry_after_s=30.0,
        phases_ms=(1.5, 3.0, 41.5),
        headers=(("retry-after", "30"),),
        headers_cut=7,
        body=b'{"error": "maintenance"}',
        peer="203.0.113.9:443",
        used=used,
    )
    took = Outcome(status=200, phases_ms=(1.0, 2.0), used=used)
    lost = Outcome(error="timeout", phases_ms=())
    await put(
        service,
        1,
        batch(service, 1, "bat_a", range=at(0, 2), count=2, next_at=now + timedelta(seconds=9)),
        batch(service, 1, "bat_b", range=at(2, 2), count=2, state=BatchState.PARKED, parked_at=now),
        batch(service, 1, "bat_e", range=at(4, 1), count=1, bisect_since=now, replay_id=1),
        entries=(
            entry(service, 1, "bat_a", range=at(0, 2), count=2, outcome=refused, note="busy"),
            entry(service, 1, "bat_b", range=at(2, 2), count=2, outcome=lost, next_at=now),
            entry(
                service,
                1,
                "bat_c",
                range=at(4),
                count=1,
                delivered=1,
                verdict=Verdict.DELIVERED,
                outcome=took,
            ),
            entry(service, 1, "bat_d", kind=EntryKind.SPLIT, outcome=None, verdict=None),
            entry(service, 1, "", kind=EntryKind.SKIPPED, outcome=None, verdict=None),
            entry(service, 1, "bat_f", kind=EntryKind.EXPIRED, outcome=None, verdict=None),
            entry(
                service,
                1,
                "run_g",
                kind=EntryKind.RUN,
                range=at(0, 5),
                count=5,
                delivered=2,
                done=b"\x03",
                verdict=Verdict.DELIVERED,
                outcome=took,
            ),
        ),
    )
    claim = await service.engine.ledger.lane(2)
    assert claim is not None
    limit = BodyLimit(refused_bytes=5000, at=now)
    lane = replace(
        claim.lane,
        failing_since=now,
        failures=3,
        hold_until=now + timedelta(seconds=30),
        last_success_at=now - timedelta(hours=1),
        body_limit=limit,
        delivered=7,
    )
    await service.engine.ledger.record(
        [LaneChange(webhook_id=2, epoch=claim.lane.epoch, lane=lane)]
    )
    await service.index()
    service.clock.advance(60)


async def tell(service: Service) -> Told:
    """Ask everything that there is to ask."""
    told = Told(service)
    await fill(service)
    for path in (
        "events?limit=2", "events?types=open&recipient=ada@example.net", "events/e4", "messages/m1",
        "feed?limit=3", "stats?step_s=3600", "webhooks/1/stats?step_s=3600", "webhooks?limit=3",
        "webhooks?after=3", "webhooks/1", "webhooks/2", "webhooks/3", "webhooks/9",
        "webhooks/1/secrets", "webhooks/3/secrets", "batches", "batches?state=parked",
        "batches?limit=1", "batches?finished=true", "batches?finished=true&limit=2",
        "batches/bat_a", "batches/bat_c", "batches/bat_d", "batches/run_g", "attempts",
        "attempts?limit=2", "attempts?batch_id=bat_a",
    ):  # fmt: skip
        await told.ask("GET", path)
    await told.ask("POST", "events", json=[{"type": "open", "recipient": "a@x.example"}, {}])
    hook: dict[str, Any] = {"url": URL, "types": ["open"], "policy": {"refused": [410]}}
    await told.ask("POST", "webhooks", json=hook)
    await told.ask("POST", "webhooks", json=hook | {"policy": {"success": [199]}})
    await told.ask("PATCH", "webhooks/1", json={"types": ["click"]})
    await told.ask("PATCH", "webhooks/1", json={"headers": {"X-B": "2"}})
    await told.ask("POST", "webhooks/1/pause")
    await told.ask("GET", "webhooks?state=paused")
    await told.ask("POST", "webhooks/1/resume", json={"parked": True})
    await told.ask("POST", "webhooks/4/test", json={"type": "open"})
    await told.ask("POST", "webhooks/1/secrets", json={"overlap_s": 60, "kind": "whsk"})
    await told.ask("POST", "batches/bat_b/retry")
    await told.ask("POST", "batches/bat_b/bisect")
    await told.ask("POST", "batches/bat_b/park")
    await told.ask("POST", "batches/bat_b/split")
    await told.ask("POST", "batches/bat_a/skip", json={"event_id": "e0"})
    replay = {"webhook_id": 1, "types": ["open", "click"], "rate_per_s": 2.5}
    await told.ask("POST", "replays", json=replay)
    await told.ask("POST", "replays", json={"webhook_id": 2, "message": "m1"})
    await told.ask("POST", "replays/dry-run", json=replay)
    await told.ask("POST", "replays/dry-run/events", json=replay)
    await told.ask("GET", "replays?limit=1")
    await told.ask("GET", "replays/1")
    await told.ask("POST", "replays/1/cancel")
    await told.ask("GET", "api-users?limit=1")
    await told.ask("GET", "api-users?after=1")
    new = {"name": "ivy", "scope": "read", "expires_at": "2027-01-01T00:00:00Z"}
    await told.ask("POST", "api-users", json=new)
    await told.ask("POST", "api-users/4/keys", json={"scope": "ingest", "key": TRUSTED})
    await told.ask("GET", "webhooks", user="ivy", headers=await _reading(service))
    await told.ask("GET", "api-users/4")
    await told.ask("POST", "api-keys/5/rotate", json={"overlap_s": 60})
    await told.ask("POST", "api-keys/5/revoke")
    await told.ask("POST", "api-users/2/rotate")
    await told.ask("POST", "api-users/4/revoke")
    await told.ask("DELETE", "webhooks/4")
    await service.engine.checkpoints.tell({"mail": standing(service.clock)})
    await told.ask("GET", "sources")
    await _quarantine(told)
    await _suppress(told)
    mails = [{"recipient": "ada@example.net", "message_id": "m1"}, {"recipient": "x@y.example"}]
    paths = {"domain": "bounces.example.com", "mails": mails}
    await told.ask("POST", "return-paths", json=paths)
    await told.ask("POST", "return-paths", json=paths | {"domain": "b_"})
    await told.ask("GET", "trail?limit=5")
    await told.ask("GET", "trail")
    return told


async def _quarantine(told: Told) -> None:
    """Ask everything that there is to ask of what sources did not understand."""
    engine, clock = told.service.engine, told.service.clock
    await quarantined(engine, clock, b"no event", bytes(300), b"\xff")
    await told.ask("GET", "sources/mail/quarantine?limit=2")
    await told.ask("GET", "sources/mail/quarantine?limit=2&after=2")
    await told.ask("GET", "sources/theirs/quarantine")
    await told.ask("GET", "quarantine/1")
    await told.ask("GET", "quarantine/9")
    await told.ask("POST", "sources/mail/quarantine/retry", json={"ids": [3]})
    await told.ask("POST", "sources/mail/quarantine/retry", json={"ids": [9]})
    await told.ask("POST", "sources/mail/quarantine/drop", json={"ids": []})
    await told.ask("POST", "sources/mail/quarantine/drop", json={"ids": [1]})
    await told.ask("POST", "sources/mail/quarantine/drop")


async def _suppress(told: Told) -> None:
    """Ask everything that there is to ask of the suppression list."""
    head = {"content-type": "text/csv"}
    table = b"address,reason,until\nbob@example.net,complaint,\nno,,\ncat@example.net,,2027-01-01\n"
    new = {"address": "Ada@Example.net", "note": "asked by phone", "until": "2027-01-01T00:00:00Z"}
    await told.ask("PATCH", "suppression-rules", json={"is_on": True, "soft_bounce": {"after": 3}})
    await told.ask("PATCH", "suppression-rules", json={"complaint": {"after": 101}})
    await told.ask("GET", "suppression-rules")
    await told.ask("POST", "suppressions", json=new)
    await told.ask("POST", "suppressions", json={"address": "eve@example.net", "api_user": "anna"})
    await told.ask("POST", "suppressions/import", content=table, headers=head)
    await told.ask("POST", "suppressions/check", json={"addresses": ["ADA@example.net", "x@y.z"]})
    await told.ask("GET", "suppressions?limit=2")
    await told.ask("GET", "suppressions?search=EXAMPLE&reason=complaint&api_user=all")
    await told.ask("GET", "suppressions/ada@example.net")
    await told.ask("GET", "suppressions/export")
    await told.ask("DELETE", "suppressions/ada@example.net?api_user=all")
    await told.ask("DELETE", "suppressions/ada@example.net")


async def _reading(service: Service) -> dict[str, str]:
    """Return the credentials of a key that may only read."""
    made = await service.desk.create_api_user("acme", "rhea")
    return {"authorization": basic("rhea", made.key)}


@asynccontextmanager
async def answering() -> AsyncIterator[Told]:
    async with running(FakeClock()) as service:
        yield await tell(service)


def text_of(told: Told) -> str:
    return "\n".join(f"> {asked}\n{answered}\n" for asked, answered in told)


async def _write() -> None:
    async with answering() as told:
        KEPT.write_text(text_of(told))


if __name__ == "__main__":
    asyncio.run(_write())
