"""From what came to a request for the queue, event by event.  Part of `ingest`."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from postbell.blocks import id_hashes
from postbell.errors import BadInput
from postbell.ingest.accepting import Accepting
from postbell.ingest.queueing import Rejected, WaitingRequest
from postbell.records import Account

PARSED_AT_ONCE = 500
T = TypeVar("T")


async def checked(take: Callable[[T], None], items: Iterable[tuple[int, T]]) -> list[Rejected]:
    """Take what passes, and return the rest by its number; many let others have their turn."""
    rejected = []
    for count, (index, item) in enumerate(items, 1):
        try:
            take(item)
        except BadInput as error:
            rejected.append(Rejected(index, error.code, error.message))
        if count % PARSED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return rejected


def request_of(
    account: Account,
    passed: Accepting,
    rejected: list[Rejected],
    key: str = "",
    digest: bytes = b"",
) -> WaitingRequest:
    """Return what passed as a request for the queue."""
    return WaitingRequest(
        account,
        passed.ids,
        passed.users,
        bytes(passed.codes),
        passed.raws,
        passed.randoms,
        id_hashes(account.id, passed.ids),
        rejected,
        key,
        digest,
        sum(map(len, passed.raws)) + 200,
        asyncio.get_running_loop().create_future(),
    )
