"""The search index: a cursor over log and journal, at its own pace, after everything else.

Reads what ingest and settle wrote and tells `ports.Index`; `reports` asks that.  It takes a
small share of the processor, its commits are small, and losing it loses nothing: `clear` and it
is made anew.
"""

import asyncio
from array import array
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import assert_never

import msgspec
import numpy as np

from postbell.blocks import BlockHeader, Position, place_of
from postbell.clock import Clock
from postbell.duties import Duty
from postbell.entry_kinds import CountsAs
from postbell.errors import EngineStopped, Overloaded, StorageError
from postbell.events import MessageIds
from postbell.fences import fence, note
from postbell.index import terms
from postbell.index.messages import KEY_SHIFT, Sampling, Sights
from postbell.index.terms import TERM_MASK, message_term, recipient_term
from postbell.ports import (
    CountChange,
    Engine,
    IndexedRange,
    IndexedUpTo,
    JournalBlock,
    MessageState,
    News,
    Postings,
)
from postbell.presence import ALONE, Doing
from postbell.records import Entry, Verdict
from postbell.signals import log

MAX_BLOCKS = 512
MAX_EVENTS = 4000
MAX_BYTES = 2 << 20
MAX_JOURNAL = 64
"""What one step takes in at most; one block at least."""
SLICE = 200
"""Events between two pauses: about half a millisecond."""
BUSY_S = 0.02
IDLE_S = 1.0
SURE_S = 5.0
"""So long nobody else is looked for who moved the marks, while nothing comes in."""
RETRY_S = 5.0
TRIES = 3
SWEEP_S = 300.0
MAX_COUNT = 1 << 40
MINUTES_KEPT = timedelta(hours=72)


class Indexer:
    """Keeps the index up to the log; *share* of a processor is what it takes at most."""

    def __init__(
        self, engine: Engine, clock: Clock, *, share: float = 0.2, doing: Doing = ALONE
    ) -> None:
        """Run while this process does that."""
        self._engine = engine
        self._clock = clock
        self._share = share
        self._doing = doing
        self._swept_at = float("-inf")
        self._failures = 0
        self._worked = 0
        self._busy_s = 0.0
        self._sampling = Sampling()
        self._ended = IndexedUpTo()
        self._ended_s = float("-inf")

    async def run(self) -> None:
        """Follow the log until cancelled; what storage cannot do is logged and tried again."""
        while True:
            try:
                with self._doing.doing(Duty.INDEX) as is_ours:
                    is_busy = is_ours and await self._may_go_on() and await self.step()
                    wait_s = BUSY_S if is_busy else IDLE_S
                    if is_ours and self._clock.monotonic_s() - self._swept_at >= SWEEP_S:
                        with fence("index", item="what retention dropped"):
                            await self.sweep()
                self._failures = 0
            except (StorageError, Overloaded) as error:
                log("index_failed", error=f"{type(error).__name__}: {error.message}")
                self._failures += 1
                wait_s = RETRY_S
            await asyncio.sleep(wait_s)

    async def _may_go_on(self) -> bool:
        """Say whether there may be something to take in, at the least cost: mostly there is not."""
        if self._clock.monotonic_s() - self._ended_s >= SURE_S:
            return True
        headers = await self._engine.log.follow(self._ended.block, 1)
        return bool(headers or await self._engine.journal.follow(self._ended.journal, 1))

    async def step(self) -> bool:
        """Take in the next part of log and journal; return whether more waits: what comes bit by
        bit is taken in together, since a step costs as much for little as for much.

        Where that fails for a reason that lies in it, its blocks are taken in one by one, and the
        one that cannot be is left out: it is tried never again.
        """
        marks = await self._engine.index.marks()
        tail = await self._engine.log.follow(marks.block, MAX_BLOCKS)
        headers = _first_part(tail)
        journal = await self._engine.journal.follow(marks.journal, MAX_JOURNAL)
        if not headers and not journal:
            self._ended, self._ended_s = marks, self._clock.monotonic_s()
            return False
        error = await self._take_in(marks, headers, journal)
        if error is not None and len(headers) + len(journal) == 1:
            await self._leave_out(marks, headers, journal, error)
        elif error is not None:
            await self._one_by_one(headers, journal)
        is_all = len(headers) == len(tail) < MAX_BLOCKS and len(journal) < MAX_JOURNAL
        return not is_all

    async def _one_by_one(self, headers: list[BlockHeader], journal: list[JournalBlock]) -> None:
        parts: list[tuple[list[BlockHeader], list[JournalBlock]]] = [
            *(([header], []) for header in headers),
            *(([], [block]) for block in journal),
        ]
        for part in parts:
            marks = await self._engine.index.marks()
            error = await self._take_in(marks, *part)
            if error is not None:
                await self._leave_out(marks, *part, error)

    async def _leave_out(
        self,
        marks: IndexedUpTo,
        headers: list[BlockHeader],
        journal: list[JournalBlock],
        error: Exception,
    ) -> None:
        """Go past one block that cannot be taken in."""
        accounts = {header.account_id for header in headers}
        accounts |= {entry.account_id for block in journal for entry in block.entries}
        item = f"block {headers[0].id}" if headers else f"journal {journal[0].id}"
        note("index", error, item=item, account=", ".join(map(str, sorted(accounts)[:10])))
        await self._engine.index.add(marks, News(_after(marks, headers, journal), [], [], [], []))

    async def _take_in(
        self, marks: IndexedUpTo, headers: list[BlockHeader], journal: list[JournalBlock]
    ) -> Exception | None:
        """Take these blocks in; return what is wrong with them, None where nothing is.

        Raises what may pass by itself and says nothing about them: storage that cannot write (a
        full disk may still have room for less), or that has failed to read fewer than TRIES times.
        """
        try:
            news = await self._news(marks, headers, journal)
        except EngineStopped:
            raise
        except (StorageError, Overloaded) as error:
            if self._failures < TRIES:
                raise
            return error
        except Exception as error:
            return error
        try:
            await self._engine.index.add(marks, news)
        except (StorageError, Overloaded):
            raise
        except Exception as error:
            return error
        return None

    async def _news(
        self, marks: IndexedUpTo, headers: list[BlockHeader], journal: list[JournalBlock]
    ) -> News:
        after = _after(marks, headers, journal)
        counts = _count_events(headers)
        visits = _read_journal(journal, counts)
        sights: dict[int, Sights] = {}
        postings = await self._postings(headers, sights)
        messages = await self._messages(sights, counts)
        added = [
            CountChange(*key, min(max(n, -MAX_COUNT), MAX_COUNT)) for key, n in counts.items() if n
        ]
        return News(after, postings, added, visits, messages)

    async def catch_up(self) -> None:
        """Take in everything that there is now."""
        while await self.step():
            pass

    async def sweep(self) -> None:
        """Forget what retention dropped from the log, and minutes that hours stand for; nothing
        while nobody can be sure of the time."""
        self._swept_at = self._clock.monotonic_s()
        if not self._clock.is_sure:
            return
        now = self._clock.now()
        oldest = await self._engine.log.tail(0, 1)
        block = oldest[0].id if oldest else await self._engine.log.head() + 1
        hours_before = min(oldest[0].recorded_at, now) if oldest else now
        await self._engine.index.drop(
            block,
            minutes_before=now - MINUTES_KEPT,
            hours_before=hours_before.replace(minute=0, second=0, microsecond=0),
        )

    async def _messages(
        self, sights: dict[int, Sights], counts: "Counter[_Key]"
    ) -> list[MessageState]:
        """Return what is known now of the messages seen, and count them into *counts*."""
        changed: list[MessageState] = []
        for account_id, mine in sights.items():
            wanted = self._sampling.wanted(account_id, mine)
            keys = list({sight.key for sight in wanted})
            stored = await self._engine.index.messages(account_id, keys) if keys else []
            known = {message.key: message for message in stored}
            rows, added = self._sampling.read(account_id, wanted, known)
            changed += rows
            for (minute, slot), n in added.items():
                at = _EPOCH + timedelta(minutes=minute)
                counts[terms.MESSAGES, account_id, at, slot] += n
        return changed

    async def _postings(
        self, headers: list[BlockHeader], sights: dict[int, Sights]
    ) -> list[Postings]:
        """Return the terms of these blocks, by account, and note the messages in *sights*."""
        if not headers:
            return []
        engine_log = self._engine.log
        blocks = await engine_log.load([header.id for header in headers], is_choosy=False)
        hashes = {
            each.block: each.hashes
            for each in await engine_log.ids(headers[0].id - 1, len(headers))
        }
        found: dict[int, tuple[array[int], array[int]]] = {}
        for block in blocks:
            header = block.header
            mine = found.setdefault(header.account_id, (array("I"), array("Q")))
            first = place_of(Position(header.id, 0))
            _add_ids(mine, hashes.get(header.id, b""), first)
            raws = block.events()
            seen = sights.setdefault(header.account_id, Sights())
            for at in range(0, len(raws), SLICE):
                began = self._clock.monotonic_s()
                part = raws[at : at + SLICE]
                _add_words(mine, part, first + at, seen.keys)
                await self._rest(len(part), self._clock.monotonic_s() - began)
            seen.end_block(header.codes, int(header.recorded_at.timestamp()) // 60)
        return [
            Postings(account_id, words.tobytes(), places.tobytes())
            for account_id, (words, places) in found.items()
        ]

    async def _rest(self, events: int, busy_s: float) -> None:
        """Pause as long as the share asks, once a slice of work has come together."""
        self._worked += events
        self._busy_s += busy_s
        if self._worked >= SLICE:
            pause_s = self._busy_s * (1 / self._share - 1)
            self._worked, self._busy_s = 0, 0.0
            await asyncio.sleep(pause_s)


class _Glance(msgspec.Struct, gc=False):
    """What of an event can be searched for."""

    recipient: str
    message: MessageIds | None = None


_glance = msgspec.json.Decoder(_Glance).decode
_glances = msgspec.json.Decoder(list[_Glance]).decode


def _after(
    marks: IndexedUpTo, headers: list[BlockHeader], journal: list[JournalBlock]
) -> IndexedUpTo:
    return IndexedUpTo(
        headers[-1].id if headers else marks.block,
        journal[-1].id if journal else marks.journal,
    )


def _first_part(headers: list[BlockHeader]) -> list[BlockHeader]:
    """Return as many of *headers* as one step takes in."""
    events = size_bytes = 0
    for number, header in enumerate(headers):
        events += header.count
        size_bytes += sum(header.size_list())
        if number and (events > MAX_EVENTS or size_bytes > MAX_BYTES):
            return headers[:number]
    return headers


def _add_ids(found: tuple["array[int]", "array[int]"], hashes: bytes, first: int) -> None:
    """Add the terms of the events' ids; their hashes are in the block already."""
    ids = np.frombuffer(hashes, np.uint64) & np.uint64(TERM_MASK)
    found[0].frombytes(ids.astype(np.uint32).tobytes())
    found[1].frombytes((np.arange(len(ids), dtype=np.uint64) + np.uint64(first)).tobytes())


def _add_words(
    found: tuple["array[int]", "array[int]"], raws: Iterable[bytes], first: int, keys: list[int]
) -> None:
    """Add the terms of recipients and messages, and the key of each event's message, 0 for none."""
    words, places = found[0].append, found[1].append
    for place, each in enumerate(_read(raws), first):
        if each is None:
            keys.append(0)
            continue
        recipient = recipient_term(each.recipient)
        words(recipient)
        places(place)
        message = each.message
        name = 0
        if message is not None:
            for text in message.all:
                term = message_term(text)
                words(term)
                places(place)
                name = name or term
        keys.append(name << KEY_SHIFT | recipient if name else 0)


def _read(raws: Iterable[bytes]) -> list[_Glance | None]:
    """Decode events; one that cannot be read is None, and keeps none of the others away."""
    try:
        return list(_glances(b"[" + b",".join(raws) + b"]"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [_read_one(raw) for raw in raws]


def _read_one(raw: bytes) -> _Glance | None:
    try:
        return _glance(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Key = tuple[str, int, datetime, int]


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _count_events(headers: list[BlockHeader]) -> "Counter[_Key]":
    counts: Counter[_Key] = Counter()
    for header in headers:
        at = _minute(header.recorded_at)
        for code in set(header.codes):
            counts[terms.EVENTS, header.account_id, at, code] += header.codes.count(code)
    return counts


def _read_journal(journal: list[JournalBlock], counts: "Counter[_Key]") -> list[IndexedRange]:
    """Return which ranges the journal speaks of, and count its attempts into *counts*."""
    visits = []
    for block in journal:
        for entry in block.entries:
            if not entry.kind.row.is_counted:
                continue
            at = _minute(entry.at)
            for slot, n in _slots(entry):
                if n:
                    counts[terms.ATTEMPTS, entry.webhook_id, at, slot] += n
            if entry.range.start < entry.range.end:
                visits.append(IndexedRange(entry.webhook_id, entry.range, block.id))
    return visits


def _slots(entry: Entry) -> list[tuple[int, int]]:
    """Return what an entry adds to its webhook's counters; each single of a run is an attempt."""
    match entry.kind.row.counts_as:
        case CountsAs.SKIPPED:
            return [(terms.SKIPPED, entry.count)]
        case CountsAs.EXPIRED:
            return [(terms.EXPIRED, entry.count)]
        case CountsAs.SPLIT | CountsAs.RECUT | CountsAs.TEST:
            return []
        case CountsAs.DELIVERED:
            return _attempt_slots(entry)
        case never:
            assert_never(never)


def _attempt_slots(entry: Entry) -> list[tuple[int, int]]:
    if entry.verdict is Verdict.DELIVERED:
        found = [(terms.DELIVERED, entry.delivered), (terms.SUCCESSES, entry.posts)]
        if entry.outcome is not None and entry.outcome.phases_ms:
            found.append((terms.latency_slot(entry.outcome.phases_ms[-1]), entry.posts))
        return found
    parked = entry.count if entry.verdict is Verdict.PARK else 0
    return [(terms.FAILED, entry.count), (terms.FAILURES, 1), (terms.PARKED, parked)]
