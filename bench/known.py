"""Fills a log that nobody serves with events of the last hours, as fast as the engine takes them.

    python -m bench.known FOLDER API_USER IDS

The events are as small as they can be; ids, hashes and blocks are what ingest would have made.
"""

import asyncio
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

from postbell.blocks import MAX_EVENTS, NewBlock, build_block, id_hashes
from postbell.clock import SystemClock
from postbell.directory import Directory
from postbell.ingest.accepting import accept
from postbell.ports import IndexedUpTo, News
from postbell.serving.opening import open_engine
from postbell.settings.members import Settings

HOURS = 6.0
BLOCKS_AT_ONCE = 32


class Maker:
    """Makes blocks of one api user; the events differ in their ids only."""

    def __init__(self, account_id: int, account: str, user_id: int, user: str, now: datetime):
        event = b'{"event_id":"%b","type":"delivered","recipient":"a@bench.example"}' % _id(0)
        pattern = accept(
            event, account=account, api_user=user, api_user_id=lambda name: user_id, now=now
        )
        self._head, self._tail = pattern.raw.split(_id(0))
        self._code = pattern.code
        self._account_id, self._user_id = account_id, user_id

    def block(self, first: int, count: int) -> NewBlock:
        ids = [_id(n) for n in range(first, first + count)]
        hashes = id_hashes(self._account_id, [each.decode() for each in ids])
        raws = [self._head + each + self._tail for each in ids]
        return build_block(
            self._account_id, self._user_id, raws, bytes([self._code]) * count, hashes
        )


async def fill(folder: Path, api_user: str, ids: int, database_url: str) -> None:
    """Append *ids* events, the first HOURS ago, the last now; the index need not read them."""
    clock = SystemClock()
    engine = await open_engine(
        Settings(data_dir=folder, database_url=database_url), clock, worker=False
    )
    directory = Directory(engine.registry)
    await directory.refresh()
    user = directory.known.api_user(api_user)
    assert user is not None
    began = clock.now() - timedelta(hours=HOURS)
    account = directory.known.accounts[user.account_id].name
    maker = Maker(user.account_id, account, user.id, user.name, began)
    head = await engine.log.head()
    step = MAX_EVENTS * BLOCKS_AT_ONCE
    for first in range(0, ids, step):
        last = min(first + step, ids)
        blocks = [
            maker.block(at, min(MAX_EVENTS, last - at)) for at in range(first, last, MAX_EVENTS)
        ]
        now = began + timedelta(hours=HOURS) * (last / ids)
        head = (await engine.log.append(blocks, [], head=head, now=now)).headers[-1].id
    await engine.index.add(IndexedUpTo(), News(IndexedUpTo(block=head)))
    await engine.close()
    _uncache(folder)


def _uncache(folder: Path) -> None:
    """Let the system forget what was filled in: the service starts as after a reboot.

    With gigabytes just cached each further page it writes would be memory that a virtual machine
    must first get from its host, ten times as dear as a page it had before.
    """
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _id(n: int) -> bytes:
    return b"known-%09d" % n


if __name__ == "__main__":
    url = os.environ.get("POSTBELL_DATABASE_URL", Settings().database_url)
    asyncio.run(fill(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), url))
