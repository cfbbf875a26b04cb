"""From what came to a request for the queue, event by event.  Part of `ingest`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from postbell.blocks import id_hashes
from postbell.errors import BadInput, Conflict
from postbell.events import Draft
from postbell.fences import note
from postbell.ingest.accepting import Accepting
from postbell.ingest.queueing import Rejected, WaitingRequest
from postbell.ports import Fact, Progress, RefusedFact
from postbell.records import Account

AT_ONCE = 200
"""Events between two turns of others: about a millisecond."""
T = TypeVar("T")


async def checked(
    take: Callable[[T], None],
    items: Iterable[T],
    look_again: Callable[[], Awaitable[bool]],
) -> list[Rejected]:
    """Take what passes, and return the rest by its place; many let others have their turn.

    An api user that nobody knows may have been made this very moment: *look_again*, which says
    whether more is known then, is asked once a request.
    """
    rejected, is_sure = [], False
    for index, item in enumerate(items):
        if index % AT_ONCE == 0 and index:
            await asyncio.sleep(0)
        try:
            take(item)
        except BadInput as error:
            refusal: BadInput | None = error
            if error.code == "unknown_api_user" and not is_sure:
                is_sure = True
                refusal = _refusal(take, item) if await look_again() else error
            if refusal is not None:
                rejected.append(Rejected(index, refusal.code, refusal.message))
    return rejected


class EventTurns:
    """Lets others have their turn while many events are gone through."""

    def __init__(self) -> None:
        self._events = 0

    async def after(self, events: int) -> None:
        """Let them, once this many more are AT_ONCE together."""
        self._events += events
        if self._events >= AT_ONCE:
            self._events = 0
            await asyncio.sleep(0)


def _refusal(take: Callable[[T], None], item: T) -> BadInput | None:
    try:
        take(item)
    except BadInput as error:
        return error
    return None


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


def with_refused(
    progress: Progress, facts: Sequence[Fact], rejected: Sequence[Rejected]
) -> Progress:
    """Return the progress with those facts as refused of which a draft was rejected, all in the
    order in which they stood."""
    refused: dict[Fact, RefusedFact] = {}
    for each in rejected:
        fact = facts[each.index]
        refused.setdefault(fact, RefusedFact(fact, each.code, each.message))
    return progress._replace(
        refused=progress.refused + sum(not fact.kept for fact in refused),
        quarantine=sorted(
            (*progress.quarantine, *refused.values()), key=lambda each: each.fact.number
        ),
    )


def fenced(passed: Accepting, draft: Draft) -> None:
    """Take a draft; one that an error of ours befalls is refused, or its source would hand it over
    again for ever."""
    try:
        passed.take_draft(draft)
    except BadInput:
        raise
    except Exception as error:
        note("ingest", error, item="a draft")
        raise BadInput("an internal error; it was logged", code="internal") from None


def check_digest(key: str, kept: bytes, digest: bytes) -> None:
    """Raise BadInput where another body came under this Idempotency-Key."""
    if kept != digest:
        raise BadInput(
            f"Idempotency-Key {key!r} came with another body before; use a new key for new events",
            member="idempotency-key",
            code="idempotency_key_reused",
        )


def moved(source: str) -> Conflict:
    """Return the error for a source that does not stand where somebody took it to stand."""
    return Conflict(f"the source {source!r} was moved meanwhile; it goes on from where it stands")
