"""Work on a lane costs the same however much of it is parked: SQLite's own steps are counted."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from postbell.blocks import Position, Range
from postbell.ports import Claim, Parked
from postbell.records import BatchState, LaneChange, OpenBatch
from postbell.sealing import Sealer
from postbell.storage import sqlite
from tests.api.service import Service, running
from tests.fakes import FakeClock

FEW, MANY = 1500, 4000
"""Both are more than what is shown of them at once."""


class Meter:
    """Counts the steps of SQLite's machine on every connection that is opened meanwhile."""

    def __init__(self) -> None:
        self.steps = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        apsw.connection_hooks.append(self._attach)
        try:
            yield
        finally:
            apsw.connection_hooks.remove(self._attach)

    def _attach(self, connection: apsw.Connection) -> None:
        connection.set_progress_handler(self._step, 1)

    def _step(self) -> bool:
        self.steps += 1
        return False


def batch(number: int, service: Service, state: BatchState) -> OpenBatch:
    """Return a batch of one event of webhook 1."""
    return OpenBatch(
        id=f"bat_{number:05}",
        webhook_id=1,
        revision=1,
        range=Range(Position(1, number % 500), Position(1, number % 500 + 1)),
        count=1,
        cut_at=service.clock.now(),
        state=state,
    )


async def _claim(service: Service) -> Claim:
    ledger = service.engine.ledger
    [claim] = await ledger.claim("w1", 10, lease_s=30)
    await ledger.release("w1")
    assert isinstance(claim, Claim)
    return claim


async def _read_again(service: Service) -> None:
    ledger = service.engine.ledger
    await ledger.claim("w1", 10, lease_s=30)
    assert len(await ledger.reload("w1", [1])) == 1


async def _settle(service: Service) -> None:
    claim = await _claim(service)
    [waiting] = claim.batches
    tried = (replace(waiting, attempts=1),)
    change = LaneChange(webhook_id=1, epoch=claim.lane.epoch, lane=claim.lane, put=tried)
    assert await service.engine.ledger.record([change]) == []


def asked(method: str, path: str, **options: Any) -> "Deed":
    """Return the deed of making a request."""

    async def ask(service: Service) -> None:
        response = await service.call(method, path, **options)
        assert response.status_code < 300, response.text

    return ask


Deed = Callable[[Service], Awaitable[object]]
HOOK = "/api/v1/webhooks/1"
DEEDS: dict[str, Deed] = {
    "claim": _claim,
    "read again": _read_again,
    "settle": _settle,
    "pause": asked("POST", f"{HOOK}/pause"),
    "resume": asked("POST", f"{HOOK}/resume"),
    "skip": asked("POST", f"{HOOK}/resume", json={"skip": True}),
    "change": asked("PATCH", HOOK, json={"types": ["click"]}),
    "look": asked("GET", HOOK),
    "look at all": asked("GET", "/api/v1/webhooks"),
    "retry": asked("POST", "/api/v1/batches/bat_00007/retry"),
    "list": asked("GET", "/api/v1/batches", params={"state": "parked"}),
    "page": lambda service: service.reports.open.newest(service.acme, 1),
    "page of all": lambda service: service.reports.open.newest(service.acme),
    "states": lambda service: service.reports.states(service.acme),
    "ingest": lambda service: service.events("open"),
}


async def steps_of(deed: Deed, parked: int, folder: Path, sealer: Sealer) -> int:
    """Return how many steps a deed takes where so many batches are parked, and one waits."""
    meter, clock = Meter(), FakeClock()
    with meter.installed():
        engine = await sqlite.open(folder / f"{parked}.db", sealer, clock)
    try:
        async with running(clock, engine=engine) as service:
            await service.webhook()
            await service.events("open")
            states = [BatchState.PARKED] * parked + [BatchState.WAITING]
            put = tuple(batch(number, service, state) for number, state in enumerate(states))
            await engine.ledger.record([LaneChange(webhook_id=1, epoch=0, put=put)])
            claim = await engine.ledger.lane(1)
            assert claim is not None and claim.parked == Parked(parked, parked)
            before = meter.steps
            await deed(service)
            return meter.steps - before
    finally:
        await engine.close()


@pytest.mark.parametrize("name", DEEDS)
async def test_work_does_not_grow_with_what_is_parked(
    name: str, tmp_path: Path, sealer: Sealer
) -> None:
    few = await steps_of(DEEDS[name], FEW, tmp_path, sealer)
    many = await steps_of(DEEDS[name], MANY, tmp_path, sealer)

    assert 0 < many <= few + 100, f"{few} steps with {FEW} parked, {many} with {MANY}"
