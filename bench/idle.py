"""What thousands of webhooks cost that have nothing to do.

    python -m bench.idle [--engine postgres] [--accounts N] [--each N] [--seconds S]

Makes a database with them, starts the real `postbell serve` on it, waits until its CPU time
settles, and measures for so many seconds.  Prints one JSON object; *percent* is of one core, so
is *server_percent*, that of a PostgreSQL, which was asked *transactions_s* times a second.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

import msgspec

from bench import places, proc
from bench.service import Service
from postbell.blocks import Position
from postbell.clock import SystemClock
from postbell.ports import Engine
from postbell.records import Webhook
from postbell.serving.opening import open_engine
from postbell.settings.members import Settings

AT_ONCE = 100
WINDOW_S = 10.0
SETTLED_PERCENT = 1.0
SETTLE_LIMIT_S = 300.0


class Idle(msgspec.Struct):
    """*settle_s* passed, and *settle_cpu_s* were used, from being ready until it was idle."""

    webhooks: int
    accounts: int
    start_s: float
    settle_s: float
    settle_cpu_s: float
    seconds: float
    cpu_s: float
    percent: float
    peak_mib: float
    server_percent: float = 0.0
    transactions_s: float = 0.0


async def fill(given: Settings, accounts: int, each: int) -> None:
    """Register *accounts* customers of *each* webhooks, with an api user each."""
    clock = SystemClock()
    engine = await open_engine(given, clock, worker=False)
    for first in range(0, accounts, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, accounts))
        await asyncio.gather(*(_account(engine, clock, number, each) for number in numbers))
    await engine.close()


async def _account(engine: Engine, clock: SystemClock, number: int, each: int) -> None:
    now = clock.now()
    account = await engine.registry.add_account(f"idle{number}", now)
    await engine.registry.add_api_user(account.id, f"idle{number}", "", now)
    for at in range(each):
        webhook = Webhook(
            id=0,
            account_id=account.id,
            account=account.name,
            url=f"https://h{number}.example/{at}",
            start=Position(0, 0),
            created_at=now,
            updated_at=now,
        )
        await engine.registry.add_webhook(webhook, [])


def measure(place: places.Folder, accounts: int, each: int, seconds: float) -> Idle:
    """Start the service on a full registry and an empty log, and let it idle."""
    with tempfile.TemporaryDirectory(prefix="postbell-idle-") as name:
        folder = Path(name)
        (folder / "data").mkdir(mode=0o700)
        settings = place.settings()
        url = settings.get("DATABASE_URL", Settings().database_url)
        asyncio.run(fill(Settings(data_dir=folder / "data", database_url=url), accounts, each))
        with Service(folder, settings=settings) as service:
            began, before = time.monotonic(), proc.cpu_us(service.pid)
            while _percent(service.pid, WINDOW_S) > SETTLED_PERCENT:
                if time.monotonic() > began + SETTLE_LIMIT_S:
                    break
            settle_s, settled = time.monotonic() - began, proc.cpu_us(service.pid)
            served, asked = place.cpu_us(), place.transactions(settings)
            percent = _percent(service.pid, seconds)
            served, asked = place.cpu_us() - served, place.transactions(settings) - asked
            return Idle(
                webhooks=accounts * each,
                accounts=accounts,
                start_s=round(service.start_s, 2),
                settle_s=round(settle_s, 1),
                settle_cpu_s=round((settled - before) / 1e6, 2),
                seconds=seconds,
                cpu_s=round(percent * seconds / 100, 3),
                percent=round(percent, 3),
                peak_mib=round(proc.peak_mib(service.pid), 1),
                server_percent=round(served / seconds / 1e4, 3),
                transactions_s=round(asked / seconds, 1),
            )


def _percent(pid: int, seconds: float) -> float:
    """Return which share of one core the process uses while so many seconds pass."""
    before, began = proc.cpu_us(pid), time.monotonic()
    time.sleep(seconds)
    return (proc.cpu_us(pid) - before) / (time.monotonic() - began) / 1e4


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    given.add_argument("--accounts", type=int, default=1000)
    given.add_argument("--each", type=int, default=10)
    given.add_argument("--seconds", type=float, default=60.0)
    options = given.parse_args()
    with contextlib.ExitStack() as ends:
        is_there = options.engine == "postgres"
        place = ends.enter_context(places.postgres()) if is_there else places.Folder()
        found = measure(place, options.accounts, options.each, options.seconds)
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
