"""A process that is killed in mid-write loses nothing that it acknowledged."""

import subprocess
import sys
from pathlib import Path

import pytest

from postbell.sealing import Sealer
from postbell.storage import sqlite
from tests.fakes import FakeClock

WRITER = """
import asyncio, sys
from pathlib import Path
from postbell.clock import SystemClock
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.contract.making import block

async def main(folder):
    engine = await sqlite.open(
        folder / "postbell.db", load_or_create(folder / "key"), SystemClock(), worker=True
    )
    head = await engine.log.head()
    while True:
        headers, _ = await engine.log.append(
            [block(500)] * 3, [], head=head, now=SystemClock().now()
        )
        head = headers[-1].id
        print(head, flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("acknowledged", [1, 40])
async def test_every_acknowledged_append_is_there_after_a_kill(
    path: Path, sealer: Sealer, clock: FakeClock, acknowledged: int
) -> None:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path.parent)],
        stdout=subprocess.PIPE,
        cwd=root,
        env={"PYTHONPATH": f"{root / 'src'}:{root}"},
        text=True,
    )
    assert process.stdout is not None
    heads = [int(process.stdout.readline()) for _ in range(acknowledged)]
    process.kill()
    heads += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    process.stdout.close()

    engine = await sqlite.open(path, sealer, clock, worker=True)

    headers = await engine.log.tail(0, 100_000)
    assert [header.id for header in headers] == list(range(1, len(headers) + 1))
    assert len(headers) >= heads[-1]
    assert len(headers) % 3 == 0
    assert [h.first_sequence for h in headers] == [1 + 500 * n for n in range(len(headers))]
    await engine.close()
    assert sqlite.integrity_problems(path) == []
