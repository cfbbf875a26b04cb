"""GET /api/v1/feed: the account's events by pull, in the order of acceptance, from any position.

One more cursor over the log, kept by the caller.  A long poll hears the engine's bell and looks
again every POLL_S, so that a ring that was lost costs a second; how many wait is bounded.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import compress
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from starlette.requests import Request
from xxhash import xxh3_64_digest

from postbell.blocks import BlockHeader, Position
from postbell.clock import to_us
from postbell.errors import BadInput, Overloaded, TooMany
from postbell.events import MACHINE, NUMBER_OF, OUT_OF_BAND, EventType
from postbell.ports import Dialect, Engine, Logged
from postbell.reading.match import Selection
from postbell.reading.paging import PAGE
from postbell.reading.reader import Reader
from postbell.serving.arriving import end_with_client

MAX_WAIT_S = 30
MAX_WAITERS = 512
MAX_WAITERS_PER_ACCOUNT = 32
MAX_PAGE_BYTES = 4 << 20
MAX_PAGE_BLOCKS = 8 * PAGE
POLL_S = 1.0
LOOK_AGAIN_S = 0.05
"""A busy log rings for every commit; who waits looks at most so often."""
_READ_BYTES = 16 << 20
_MARK = Struct(">QIQ")
_BLOCK = Struct("<5qI")
_CHECK_BYTES = 8


class Mark(NamedTuple):
    """How far a caller has read: the position, the last event's sequence number (0: none), and a
    check of the block that the position is in: another one may come to lie there after a restore.

    It is empty before the first block, and in marks of before 1 December 2026.
    """

    position: Position
    sequence: int
    check: bytes = b""

    @classmethod
    def within(cls, header: BlockHeader, end: int) -> "Mark":
        """Return the mark of who has read the account's log up to event *end* of this block."""
        sequence = header.first_sequence + end - 1
        return cls(Position(header.id, end), sequence, _check_of(header))

    def text(self) -> str:
        """Return the opaque form that callers keep."""
        raw = _MARK.pack(*self.position, self.sequence) + self.check
        return urlsafe_b64encode(raw).decode().rstrip("=")


class FeedQuery(NamedTuple):
    """What a caller asks for: at most *limit* events that *selection* takes."""

    account_id: int
    selection: Selection
    limit: int


class FeedPage(NamedTuple):
    """Events, where to go on, how many were lost before them, whether there may be more now."""

    events: list[Logged]
    next: Mark
    lost: int
    has_more: bool


class Feed:
    """Reads pages, and waits for new events on behalf of callers."""

    def __init__(self, engine: Engine, dialects: Mapping[str, Dialect]) -> None:
        self._engine = engine
        self._dialects = dialects
        self._reader = Reader(engine.log, max_bytes=_READ_BYTES)
        self._waiters: Counter[int] = Counter()
        self._is_stopping = False

    def stop(self) -> None:
        """Let nobody wait any longer: the service is ending."""
        self._is_stopping = True

    async def start_of(self, account_id: int, after: str | None, since: datetime | None) -> Mark:
        """Return where to begin: a mark, `now`, `oldest` (the default) or a time.

        Raises BadInput for what is none of these, and for a mark that is not of this log: it lies
        ahead of it, or other events lie where it was made.
        """
        if after is not None and since is not None:
            raise BadInput(
                "after and since exclude each other; give one", member="since", status=400
            )
        if since is not None or after == "now":
            newest = await self._engine.log.newest(account_id)
            if newest is None:
                return _OLDEST
            if since is None:
                return Mark.within(newest, newest.count)
            first = await self._engine.log.first_since(since, account_id)
            is_past = first > newest.id  # what comes in meanwhile lies behind the newest, too
            return Mark.within(newest, newest.count) if is_past else Mark(Position(first, 0), 0)
        if after in (None, "oldest"):
            return _OLDEST
        mark = read_mark(after or "")
        await self._check(account_id, mark)
        return mark

    async def _check(self, account_id: int, mark: Mark) -> None:
        """Raise BadInput for a mark that is not of this log."""
        log, block = self._engine.log, mark.position.block
        if block > await log.head() + 1:
            raise BadInput(
                "after is ahead of the log: it is of another data centre, or of a time that a"
                " restored backup does not know; go on with since= a time",
                member="after",
                code="position_ahead",
                status=400,
            )
        if not mark.check:
            return
        there = await log.headers(account_id, block, 1)
        if there and there[0].id == block:
            is_same = _check_of(there[0]) == mark.check
        else:  # retention drops the oldest of all accounts first
            oldest = await log.tail(0, 1)
            is_same = block <= await log.head() and not (oldest and oldest[0].id < block)
        if not is_same:
            raise BadInput(
                "after is of another log: a restored backup went on otherwise since, or it is of"
                " another account; go on with since= a time",
                member="after",
                code="position_other",
                status=400,
            )

    async def read(self, wanted: FeedQuery, start: Mark) -> FeedPage:
        """Return what is there now after *start*."""
        events: list[Logged] = []
        position, sequence, check = start
        lost = size_bytes = blocks = 0
        while blocks < MAX_PAGE_BLOCKS:
            headers = await self._reader.headers(wanted.account_id, position.block)
            for header in headers:
                offset = min(position.offset, header.count) if header.id == position.block else 0
                if sequence:
                    lost += max(header.first_sequence + offset - sequence - 1, 0)
                end = _end(wanted, header, offset, wanted.limit - len(events), size_bytes)
                taken = await self._load(wanted, header, offset, end)
                position, check = Position(header.id, end), _check_of(header)
                if taken is None:
                    continue
                events += taken
                size_bytes += sum(len(raw) for raw, _, _ in taken)
                sequence = header.first_sequence + end - 1 if end else sequence
                is_full = len(events) >= wanted.limit or end < header.count
                if is_full:
                    return FeedPage(events, Mark(position, sequence, check), lost, True)
            blocks += len(headers)
            if len(headers) < PAGE:
                return FeedPage(events, Mark(position, sequence, check), lost, False)
        return FeedPage(events, Mark(position, sequence, check), lost, True)

    async def read_or_wait(
        self, wanted: FeedQuery, start: Mark, wait_s: float, request: Request
    ) -> FeedPage:
        """Return what is there after *start*, or comes within *wait_s* while *request* lasts: a
        client that sends no more may be gone, and is answered early with what there is.

        Raises TooMany or Overloaded where too many wait already.
        """
        if wait_s <= 0:
            return await self.read(wanted, start)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s
        bell = self._engine.bell
        await bell.wait(0)
        found = await self.read(wanted, start)
        lost = found.lost
        end_with_client(request.scope)
        with self._waiting(wanted.account_id):
            while not found.events and not self._is_stopping:
                left_s = ends_at - loop.time()
                if left_s <= 0:
                    break
                if not found.has_more:
                    await bell.wait(min(left_s, POLL_S))
                if await request.is_disconnected():
                    break
                await asyncio.sleep(LOOK_AGAIN_S)
                found = await self.read(wanted, found.next)
                lost += found.lost
        return found._replace(lost=lost)

    def render(self, events: list[Logged]) -> bytes:
        """Return a JSON array of the events in the native form."""
        return self._dialects["native"].render(events, {}) if events else b"[]"

    async def _load(
        self, wanted: FeedQuery, header: BlockHeader, first: int, end: int
    ) -> list[Logged] | None:
        """Return the wanted events [first, end) of a block, None where retention just took it."""
        weights = wanted.selection.weigh(header)[first:end]
        if not any(weights):
            return []
        for block in await self._reader.load([header.id]):
            raws = enumerate(block.events(first, end), header.first_sequence + first)
            return [
                (raw, sequence, header.recorded_at) for sequence, raw in compress(raws, weights)
            ]
        return None

    @contextmanager
    def _waiting(self, account_id: int) -> Iterator[None]:
        if self._waiters[account_id] >= MAX_WAITERS_PER_ACCOUNT:
            raise TooMany(
                f"{MAX_WAITERS_PER_ACCOUNT} requests of the account wait for events, which is the"
                " limit; use one for each consumer"
            )
        if self._waiters.total() >= MAX_WAITERS:
            raise Overloaded(f"{MAX_WAITERS} requests wait for events, which is the limit")
        self._waiters[account_id] += 1
        try:
            yield
        finally:
            self._waiters[account_id] -= 1
            if not self._waiters[account_id]:
                del self._waiters[account_id]


_OLDEST = Mark(Position(0, 0), 0)


def _check_of(header: BlockHeader) -> bytes:
    """Return 8 bytes by which a block is told from any other that has its place."""
    at = to_us(header.recorded_at)
    owner = (header.id, header.account_id, header.api_user_id, header.first_sequence, at)
    return xxh3_64_digest(_BLOCK.pack(*owner, header.count) + header.codes + header.sizes)


def _end(wanted: FeedQuery, header: BlockHeader, first: int, limit: int, held_bytes: int) -> int:
    """Return up to which offset a block's events fit into the page; one always does."""
    sizes = header.size_list()
    for offset, weight in enumerate(wanted.selection.weigh(header)[first:], first):
        if not weight:
            continue
        held_bytes += sizes[offset]
        if limit == 0 or (held_bytes > MAX_PAGE_BYTES and held_bytes > sizes[offset]):
            return offset
        limit -= 1
    return header.count


def selection_of(types: Collection[EventType] | None, api_user_id: int | None) -> Selection:
    """Return what takes these types of this api user, None for all."""
    kept = set(NUMBER_OF.values()) if types is None else {NUMBER_OF[each] for each in types}
    weights = bytes(code & ~(OUT_OF_BAND | MACHINE) in kept for code in range(256))
    return Selection(api_user_id, weights, bytes(256))


def read_mark(text: str) -> Mark:
    """Return the mark of an opaque text; raise BadInput for what none ever was."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        block, offset, sequence = _MARK.unpack(raw[: _MARK.size])
    except (ValueError, StructError):
        raw, block, offset, sequence = b"", -1, -1, -1
    check = raw[_MARK.size :]
    mark = Mark(Position(block, offset), sequence, check)
    if len(check) not in (0, _CHECK_BYTES):
        block = -1
    if not 0 <= block < 1 << 62 or offset > 1 << 20 or sequence >= 1 << 62:
        raise BadInput(
            "after is neither a `next` that the feed returned nor `oldest` or `now`",
            member="after",
            status=400,
        )
    return mark
