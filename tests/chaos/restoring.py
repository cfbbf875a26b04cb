"""A backup in the place of what the service has, as the howto says: what was accepted after it is
posted again, and everything but what an id stands for may be otherwise than before."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.disk import Disk
from tests.chaos.producer import Producer, spans
from tests.chaos.service import Supervised
from tests.chaos.witness import Witness

SETTLED_S = 1.0
"""So long after the last process ended every answer that left it is written down."""


async def restore(
    services: Sequence[Supervised],
    producer: Producer,
    witnesses: Sequence[Witness],
    disk: Disk,
    accepted_log: Path,
    after_s: float,
) -> None:
    """Back up, let *after_s* pass, end every process, and go on from the backup."""
    settle(producer, witnesses)
    first = services[0]
    backup = first.folder / "backup.db"
    safe = list(spans(accepted_log))
    await first.cli("backup", str(backup))
    await asyncio.sleep(after_s)
    async with asyncio.TaskGroup() as tasks:
        for service in services:
            tasks.create_task(service.down())
    producer.epoch += 1  # not before: a process that ends still accepts what is lost then
    await asyncio.sleep(SETTLED_S)
    disk.make_room(3 * backup.stat().st_size)
    await first.cli("restore", str(backup))
    backup.unlink()
    for kept in (first.folder / "data").glob("*.before-*"):
        kept.unlink()
    disk.make_room()
    numbers = {number for start, count in safe for number in range(start, start + count)}
    witnesses[0].order.restored(numbers)  # which all of them share
    for witness in witnesses:
        witness.restored(numbers)
    for service in services:
        await service.start(service.role)
    for start, count in list(spans(accepted_log))[len(safe) :]:
        await producer.again(start, count)
    producer.restores += 1


def settle(producer: Producer, witnesses: Sequence[Witness]) -> None:
    """Tell the witnesses what the last backup held beside what it held for sure."""
    for start, count in producer.known:
        for witness in witnesses:
            witness.was_known(range(start, start + count))
    producer.known.clear()
