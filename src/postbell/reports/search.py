"""Finding events of an account in the log: by recipient, message, type and time, newest first.

Words are found through the index, types and times through block headers; every hit is read from
the log and compared, so that a hash that fits two words shows nothing wrong.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from postbell.blocks import Block, BlockHeader, Position
from postbell.errors import NotFound
from postbell.events import MACHINE, NUMBER_OF, OUT_OF_BAND, Event, EventType, decode, event_id_of
from postbell.index.terms import event_term, message_term, recipient_term
from postbell.ports import Engine
from postbell.reading.found import fits
from postbell.records import ReplayFilter
from postbell.reports import marks

MAX_LIMIT = 500
PAGE = 512
MAX_HEADERS = 4096
MAX_HITS = 4096
"""What one search looks at; then it says how far it came, and goes on from there when asked."""

BLOCKS_AT_ONCE = 8


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; empty members match everything.

    *recipient* is a whole address, its domain without regard to case; *message* is an event's
    any id of the message; times are those of recording,
    *since* included, *until* not.
    """

    recipient: str = ""
    message: str = ""
    types: tuple[EventType, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


class Hit(NamedTuple):
    """An event of the log and where it lies."""

    header: BlockHeader
    offset: int
    raw: bytes

    @property
    def position(self) -> Position:
        return Position(self.header.id, self.offset)

    @property
    def sequence(self) -> int:
        return self.header.first_sequence + self.offset

    @property
    def recorded_at(self) -> datetime:
        return self.header.recorded_at

    @property
    def event(self) -> Event:
        """Return the event, decoded at each call."""
        return decode(self.raw)

    def on_wire(self) -> dict[str, Any]:
        """Return the event as APIs show it: as the log has it, and when it was recorded."""
        view: dict[str, Any] = msgspec.json.decode(self.raw)
        return view | {"recorded_at": self.recorded_at, "sequence": self.sequence}


class FoundEvents(NamedTuple):
    """A page of events; *next* goes on after it, None where there is no more.

    *reached* is when the oldest event was recorded that the search looked at, where it stopped
    before the end for having looked at so many.
    """

    rows: list[Hit]
    next: str | None
    reached: datetime | None = None


class Search:
    """Reads the index and the log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def behind(self) -> int:
        """Return how many blocks the index has not read yet."""
        marks = await self._engine.index.marks()
        return max(await self._engine.log.head() - marks.block, 0)

    async def events(
        self, account_id: int, wanted: SearchQuery, *, after: str = "", limit: int = 50
    ) -> FoundEvents:
        """Return up to *limit* events, the newest first; *after* is the `next` of a page.

        One damaged block takes no other's events away: its own are missing, and it is told by who
        checks the log.
        """
        limit = min(max(limit, 1), MAX_LIMIT)
        before = await self._before(wanted, after)
        first = await self._first(account_id, wanted)
        term = _term(wanted)
        search = _Walk(self._engine, account_id, wanted, first, limit)
        if term is None:
            await search.headers(before)
        else:
            await search.places(term, before)
        hits = search.hits
        if len(hits) > limit:
            return FoundEvents(hits[:limit], _mark(hits[limit - 1].position))
        if search.left is None:
            return FoundEvents(hits, None)
        return FoundEvents(hits, _mark(search.left), search.reached)

    async def event(self, account_id: int, event_id: str) -> Hit:
        """Return one event by its id; raise NotFound."""
        hits = await self._hits(account_id, event_term(account_id, event_id), 64)
        for hit in hits:
            if event_id_of(hit.raw) == event_id:
                return hit
        raise NotFound(f"no event {event_id[:120]!r}")

    async def of_message(self, account_id: int, message: str, limit: int) -> list[Hit]:
        """Return the newest events of a message, at most *limit*."""
        wanted = ReplayFilter(message=message)
        hits = await self._hits(account_id, message_term(message), limit)
        return [hit for hit in hits if fits(wanted, hit.raw)]

    async def _hits(self, account_id: int, term: int, limit: int) -> list[Hit]:
        end = Position(await self._engine.log.head() + 1, 0)
        places = await self._engine.index.find(account_id, term, before=end, limit=limit)
        return await read(self._engine, places)

    async def _before(self, wanted: SearchQuery, after: str) -> Position:
        end = await self._engine.log.head() + 1
        if wanted.until is not None:
            end = min(end, await self._engine.log.first_since(wanted.until))
        if not after:
            return Position(end, 0)
        return min(Position(*marks.read(after)), Position(end, 0))

    async def _first(self, account_id: int, wanted: SearchQuery) -> int:
        if wanted.since is not None:
            return await self._engine.log.first_since(wanted.since)
        oldest = await self._engine.log.headers(account_id, 0, 1)
        return oldest[0].id if oldest else 0


class _Walk:
    """One search on its way back through the log; *left* is where it goes on, None at the end."""

    def __init__(
        self, engine: Engine, account_id: int, wanted: SearchQuery, first: int, limit: int
    ) -> None:
        self._engine = engine
        self._account_id = account_id
        self._wanted = wanted
        self._words = ReplayFilter(recipient=wanted.recipient, message=wanted.message)
        self._codes = _codes(wanted.types)
        self._first = first
        self._limit = limit
        self.hits: list[Hit] = []
        self.left: Position | None = None
        self.reached: datetime | None = None

    async def places(self, term: int, before: Position) -> None:
        """Read what the index names."""
        looked = 0
        while before > Position(self._first, 0):
            found = await self._engine.index.find(
                self._account_id, term, before=before, limit=self._limit + 1
            )
            kept = [place for place in found if place.block >= self._first]
            for hit in await read(self._engine, kept, is_choosy=False):
                if hit.header.codes[hit.offset] in self._codes and fits(self._words, hit.raw):
                    self.hits.append(hit)
                self.reached = hit.recorded_at
            if len(self.hits) > self._limit or len(kept) <= self._limit:
                return
            before, looked = found[-1], looked + len(found)
            if looked >= MAX_HITS:
                self.left = before
                return

    async def headers(self, before: Position) -> None:
        """Go through block headers; bodies are read only where the types fit."""
        looked, width = 0, PAGE
        while before > Position(self._first, 0):
            edge = before.block + (before.offset > 0)
            begin = max(edge - width, self._first)
            page = await self._engine.log.headers(self._account_id, begin, PAGE)
            mine = [header for header in page if header.id < edge]
            if len(mine) == PAGE and width > PAGE:
                width = max(width // 8, PAGE)
                continue
            width = width * 8 if len(mine) < PAGE // 16 else width
            if await self._take(reversed(mine), before):
                return
            before, looked = Position(begin, 0), looked + max(len(mine), 1)
            if mine:
                self.reached = mine[0].recorded_at
            if looked >= MAX_HEADERS:
                self.left = before
                return

    async def _take(self, headers: Iterable[BlockHeader], before: Position) -> bool:
        """Collect fitting events; say whether there are enough."""
        for header in headers:
            last = before.offset if header.id == before.block else header.count
            codes = header.codes[:last]
            offsets = [at for at in range(len(codes) - 1, -1, -1) if codes[at] in self._codes]
            if not offsets:
                continue
            places = [Position(header.id, at) for at in offsets[: self._limit + 1]]
            self.hits += await read(self._engine, places, is_choosy=False)
            if len(self.hits) > self._limit:
                return True
        return False


async def read(engine: Engine, places: list[Position], *, is_choosy: bool = True) -> list[Hit]:
    """Return the events at *places*, in that order; dropped ones are missing.

    Raises DamagedBlock; where the caller is not choosy, events of damaged blocks are missing, too.
    """
    hits: list[Hit] = []
    blocks: dict[int, Block] = {}
    ids = list(dict.fromkeys(place.block for place in places))
    for at in range(0, len(ids), BLOCKS_AT_ONCE):
        part = ids[at : at + BLOCKS_AT_ONCE]
        blocks = {
            block.header.id: block for block in await engine.log.load(part, is_choosy=is_choosy)
        }
        for place in places:
            block = blocks.get(place.block)
            if block is not None and place.offset < block.header.count:
                [raw] = block.events(place.offset, place.offset + 1)
                hits.append(Hit(block.header, place.offset, raw))
    return hits


def _term(wanted: SearchQuery) -> int | None:
    """Return the term that finds the fewest, None without words."""
    if wanted.message:
        return message_term(wanted.message)
    return recipient_term(wanted.recipient) if wanted.recipient else None


def _codes(types: tuple[EventType, ...]) -> frozenset[int]:
    numbers = {NUMBER_OF[kind] for kind in types} if types else set(NUMBER_OF.values())
    flags = (0, OUT_OF_BAND, MACHINE, OUT_OF_BAND | MACHINE)
    return frozenset(number | flag for number in numbers for flag in flags)


def _mark(position: Position) -> str:
    return f"{position.block}.{position.offset}"
