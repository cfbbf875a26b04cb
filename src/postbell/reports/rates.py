"""Rates: which share of the messages was delivered, bounced, opened, clicked, reported.

Of messages where the index runs; of events, from the headers of the log's newest blocks, where
it is switched off.  Used by `stats`.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from postbell.events import MACHINE, OUT_OF_BAND, TYPE_OF, EventType
from postbell.index import messages, terms
from postbell.index.messages import SLOTS
from postbell.ports import CountChange, Engine

BOUNCES = (EventType.SOFT_BOUNCE, EventType.HARD_BOUNCE)
FINAL = (EventType.DELIVERED, *BOUNCES, EventType.DROPPED, EventType.FAILED)
MAX_HEADERS = 4096
"""Blocks that are read where there is no index."""
PAGE = 512

Rates = dict[str, float | None]


def of_messages(counts: Iterable[CountChange]) -> Rates:
    """Return shares of messages: of those with a result, and of those delivered."""
    sums: Counter[int] = Counter()
    for count in counts:
        sums[count.slot] += count.n

    def total(bit: int) -> int:
        return max(sums[SLOTS[bit]], 0)

    delivered, bounced = total(messages.DELIVERED), total(messages.BOUNCED)
    final = delivered + bounced + total(messages.FAILED)
    return {
        "delivery": share(delivered, final),
        "bounce": share(bounced, final),
        "complaint": share(total(messages.REPORTED), delivered),
        "unsubscribe": share(total(messages.UNSUBSCRIBED), delivered),
        "open": share(total(messages.OPENED), delivered),
        "human_open": share(total(messages.HUMAN_OPENED), delivered),
        "click": share(total(messages.CLICKED), delivered),
        "human_click": share(total(messages.HUMAN_CLICKED), delivered),
    }


def of_events(counts: list[CountChange]) -> Rates:
    """Return shares of events: what was opened twice counts twice."""

    def total(*kinds: EventType, flag: int = 0, without: int = 0) -> int:
        return sum(
            count.n
            for count in counts
            if type_of(count.slot) in kinds
            and count.slot & flag == flag
            and not count.slot & without
        )

    late = total(*BOUNCES, flag=OUT_OF_BAND)
    final = max(total(*FINAL) - late, 0)
    delivered = total(EventType.DELIVERED)
    return {
        "delivery": share(max(delivered - late, 0), final),
        "bounce": share(total(*BOUNCES), final),
        "complaint": share(total(EventType.SPAM_REPORT), delivered),
        "unsubscribe": share(total(EventType.UNSUBSCRIBE, without=MACHINE), delivered),
        "open": share(total(EventType.OPEN), delivered),
        "human_open": share(total(EventType.OPEN, without=MACHINE), delivered),
        "click": share(total(EventType.CLICK), delivered),
        "human_click": share(total(EventType.CLICK, without=MACHINE), delivered),
    }


async def from_log(
    engine: Engine, account_id: int, since: datetime, until: datetime
) -> tuple[list[CountChange], datetime]:
    """Return events by minute and kind code, and from when on they are complete.

    Reads headers from the newest back, at most MAX_HEADERS of them.
    """
    sums: Counter[tuple[datetime, int]] = Counter()
    first = await engine.log.first_since(since, account_id)
    edge, width, looked, reached = await engine.log.head() + 1, PAGE, 0, since
    while edge > first and looked < MAX_HEADERS:
        begin = max(edge - width, first)
        page = await engine.log.headers(account_id, begin, width)
        mine = [header for header in page if header.id < edge]
        for header in mine:
            if header.recorded_at < until:
                minute = header.recorded_at.replace(second=0, microsecond=0)
                for code in set(header.codes):
                    sums[minute, code] += header.codes.count(code)
        if mine:
            reached = mine[0].recorded_at
        edge, looked = begin, looked + len(mine) + 1
        if len(mine) < PAGE // 8:
            width *= 2
    counts = [CountChange(terms.EVENTS, account_id, at, code, n) for (at, code), n in sums.items()]
    return counts, since if edge <= first else reached


def type_of(slot: int) -> EventType:
    """Return the type that a kind code stands for."""
    return TYPE_OF.get(slot & ~(OUT_OF_BAND | MACHINE), EventType.UNKNOWN)


def share(part: int, whole: int) -> float | None:
    """Return a share of 1, None of nothing."""
    return part / whole if whole else None
