"""What must hold on a disk after a loss of power: whatever was acknowledged is there, and goes on.

`look` does it inside this process: the real engine, ingest and worker, with a sender that only
writes down.  `start` does it from outside, with the real service and a real receiver.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from postbell.clock import SystemClock
from postbell.ports import Engine
from postbell.serving.opening import database, open_engine
from postbell.settings.members import Settings
from postbell.storage.sqlite.backup import damaged_blocks, integrity_problems
from tests.crash.harness import AUTH, Arrival, Service, events, receiving
from tests.delivery.rig import Rig, event
from tests.fakes import FakeClock
from tests.powerloss.recorded import batch_of

PAGE = 500
FRESH = 10_000_000
"""The number of an event that no recording has."""
TURNS = 20
LIMIT_S = 60.0


class Image(NamedTuple):
    """A disk after a loss of power, and what had been said before it (see `Told`)."""

    folder: Path
    acknowledged: Sequence[int]
    last: Sequence[int]
    is_set_up: bool
    webhooks: int


def look(image: Image, bodies: dict[str, bytes]) -> list[str]:
    """Return what is wrong with *image*; *bodies* is what came under each batch's id before."""
    try:
        return asyncio.run(_look(image, bodies))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


async def _look(image: Image, bodies: dict[str, bytes]) -> list[str]:
    settings = Settings(data_dir=image.folder / "data")
    engine = await open_engine(settings, SystemClock(), worker=True, serves=True)
    try:
        path = Path(database(settings).place)
        problems = integrity_problems(path) + damaged_blocks(path)
        problems += missing(image, await stored(engine))
        if image.is_set_up and not await engine.registry.api_users():
            problems.append("the account is gone")
        elif image.is_set_up:
            problems += await _go_on(engine, image, bodies)
        return problems
    finally:
        await engine.close()


async def stored(engine: Engine) -> list[str]:
    """Return the ids of all events of the log."""
    found: list[str] = []
    after = 0
    while headers := await engine.log.tail(after, PAGE):
        after = headers[-1].id
        for block in await engine.log.load([header.id for header in headers]):
            found += [each["event_id"] for each in json.loads(b"[" + block.body + b"]")]
    return found


def missing(image: Image, found: Sequence[str]) -> list[str]:
    """Return what of the acknowledged is not in the log, and what is there twice."""
    lost = sorted({f"e{number}" for number in image.acknowledged} - set(found))
    problems = [f"{len(lost)} acknowledged events are not in the log: {lost[0]}"] if lost else []
    if len(found) != len(set(found)):
        problems.append(f"{len(found) - len(set(found))} events are in the log twice")
    return problems


async def _go_on(engine: Engine, image: Image, bodies: dict[str, bytes]) -> list[str]:
    """Take in, cut and deliver on it until nothing waits; return what was wrong."""
    clock = FakeClock(SystemClock().now())
    rig = Rig(engine, clock)
    problems = []
    async with _running(rig):
        if len(await engine.registry.webhooks(rig.account.id)) < image.webhooks:
            problems.append(f"of {image.webhooks} webhooks some are gone")
        if image.last:
            again = await rig.send(*events(image.last[0], len(image.last)))
            if again.accepted:
                problems.append(f"{again.accepted} acknowledged events were accepted again")
        await rig.send(event(FRESH))
        for _ in range(TURNS):
            clock.advance(60)
            await rig.turn()
            if rig.worker.begun:
                await asyncio.wait(list(rig.worker.begun), timeout=LIMIT_S)
            report = await rig.audit()
            if not any(row.waiting for row in report.rows):
                break
        else:
            problems.append(f"it waits though every receiver takes all: {report.rows}")
    problems += [f"audit: {problem}" for problem in report.problems]
    for requests in rig.sender.got.values():
        for request in requests:
            headers = {name.lower(): value for name, value in request.headers}
            problems += other_bytes(bodies, Arrival(headers, request.body or b""))
    return problems


def other_bytes(bodies: dict[str, bytes], arrival: Arrival) -> list[str]:
    """Return whether a batch came whose id was seen before with another body."""
    key = batch_of(arrival.headers)
    if bodies.get(key, arrival.body) == arrival.body:
        return []
    return [f"batch {key} came with other bytes after the loss of power"]


@asynccontextmanager
async def _running(rig: Rig) -> AsyncIterator[None]:
    await rig.directory.refresh()
    [rig.account] = await rig.engine.registry.accounts()
    [rig.user] = await rig.engine.registry.api_users()
    await rig.ingest.start()
    async with asyncio.TaskGroup() as tasks:
        rig.worker.tasks = tasks
        committing = tasks.create_task(rig.ingest.run())
        try:
            yield
        finally:
            committing.cancel()


def start(image: Image, bodies: dict[str, bytes]) -> list[str]:
    """Return what is wrong with the real service on *image*."""
    try:
        return asyncio.run(_start(image, bodies))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


async def _start(image: Image, bodies: dict[str, bytes]) -> list[str]:
    service = Service(image.folder, POSTBELL_DATA_DIR=str(image.folder / "data"))
    problems: list[str] = []
    async with receiving() as receiver:
        try:
            await service.start()
            async with httpx.AsyncClient(timeout=LIMIT_S, headers=AUTH) as client:
                if image.is_set_up:
                    hooks = (await client.get(service.url + "/api/v1/webhooks")).json()["webhooks"]
                    for hook in hooks:
                        where = f"{service.url}/api/v1/webhooks/{hook['id']}"
                        (await client.patch(where, json={"url": receiver.url})).raise_for_status()
                    await service.send(events(FRESH, 1))
            await _drained(service)
            if await service.stop():
                problems.append("it did not end well")
        finally:
            await service.kill()
    for arrival in receiver.arrivals:
        problems += other_bytes(bodies, arrival)
    report = await service.audit()
    return problems + [f"audit: {problem}" for problem in report["problems"]]


async def _drained(service: Service) -> None:
    async with asyncio.timeout(LIMIT_S):
        while any(row["waiting"] for row in (await service.audit())["rows"]):
            pass
