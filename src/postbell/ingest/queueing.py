"""Requests that wait for a commit: a fair and bounded queue.  Part of `ingest`."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec

from postbell.errors import Overloaded
from postbell.ports import Progress
from postbell.records import Account

GROUP_BYTES = 16 << 20
GROUP_EVENTS = 20_000
KEY_KEPT = timedelta(hours=72)
"""So long the answer under an Idempotency-Key is kept."""
ACCOUNT_SHARE = 4
"""One account may fill a quarter of the queue, so that a flood of its leaves room for others."""


class Rejected(msgspec.Struct, frozen=True):
    """An event that was not stored; *index* counts from 0 in the request."""

    index: int
    code: str
    message: str


class Answer(msgspec.Struct, frozen=True):
    """What became of a request's events; all three sum up to what was sent."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class Repeated(Answer, frozen=True):
    """The answer that an Idempotency-Key got before, given again."""


class WaitingRequest(msgspec.Struct):
    """A request on its way into a commit; its events as columns, *hashes* 8 bytes each.

    A source's has its *progress*, and *others* with the events of further accounts, which become
    durable with it; one of the suppression list lets go of its changes up to *told*.
    """

    account: Account
    ids: Sequence[str]
    users: Sequence[int]
    codes: bytes
    raws: Sequence[bytes]
    randoms: Sequence[bool]
    hashes: bytes
    rejected: list[Rejected]
    key: str
    digest: bytes
    size_bytes: int
    done: "asyncio.Future[Answer]"
    duplicates: int = 0
    progress: Progress | None = None
    told: int = 0
    others: tuple["WaitingRequest", ...] = ()

    @property
    def parts(self) -> "tuple[WaitingRequest, ...]":
        return (self, *self.others)

    @property
    def events(self) -> int:
        return len(self.raws)

    @property
    def answer(self) -> Answer:
        """What its sender is told, once it is durable."""
        events = sum(part.events for part in self.parts)
        duplicates = sum(part.duplicates for part in self.parts)
        return Answer(events - duplicates, duplicates, self.rejected)

    @property
    def moved(self) -> Progress | None:
        """The source's progress with what became of its events."""
        if self.progress is None:
            return None
        answer = self.answer
        return self.progress._replace(taken=answer.accepted, duplicates=answer.duplicates)

    def fail(self, error: Exception) -> None:
        """Tell its sender that nothing is known to be stored."""
        if not self.done.done():
            self.done.set_exception(error)


class Queue:
    """Requests by account, taken in turn."""

    def __init__(self, max_bytes: int) -> None:
        """Take in at most about *max_bytes*, a quarter of it for any one account."""
        self._max_bytes = max_bytes
        self._bytes: dict[int, int] = {}
        self._lines: dict[int, deque[WaitingRequest]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def waiting(self, account_id: int | None = None) -> Iterator[WaitingRequest]:
        """Yield what waits, of one account or of all."""
        for each, line in self._lines.items():
            if account_id in (None, each):
                yield from line

    def check_room(self, account_id: int) -> None:
        """Raise Overloaded where a request of this account has no room."""
        total, own = sum(self._bytes.values()), self._bytes.get(account_id, 0)
        if total > self._max_bytes or own > self._max_bytes // ACCOUNT_SHARE:
            whose = "of this account " if total <= self._max_bytes else ""
            raise Overloaded(
                f"too many events {whose}wait to be written ({max(total, own) >> 10} KiB);"
                " send them again a little later"
            )

    def put(self, request: WaitingRequest) -> None:
        """Let a request wait; its bytes count until `done`."""
        self._lines.setdefault(request.account.id, deque()).append(request)
        for part in request.parts:
            account_id = part.account.id
            self._bytes[account_id] = self._bytes.get(account_id, 0) + part.size_bytes

    def next_group(self) -> list[WaitingRequest]:
        """Take the requests of the next commit: of each account in turn, up to a bound.

        Two requests under one Idempotency-Key never come together.
        """
        group: list[WaitingRequest] = []
        keys: set[tuple[int, str]] = set()
        size_bytes = events = 0
        turns = deque(self._lines)
        while turns and size_bytes < GROUP_BYTES and events < GROUP_EVENTS:
            account_id = turns.popleft()
            line = self._lines[account_id]
            key = (account_id, line[0].key)
            if line[0].key and key in keys:
                continue
            request = line.popleft()
            group.append(request)
            keys.add(key)
            size_bytes += request.size_bytes
            events += request.events
            if line:
                turns.append(account_id)
            else:
                del self._lines[account_id]
        return group

    def done(self, group: Sequence[WaitingRequest]) -> None:
        """Give back the room of requests that were answered."""
        for part in (part for request in group for part in request.parts):
            account_id = part.account.id
            left = self._bytes[account_id] - part.size_bytes
            if left > 0:
                self._bytes[account_id] = left
            else:
                del self._bytes[account_id]
