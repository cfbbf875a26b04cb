"""The events that every scenario uses: about 300 bytes, three types, ids of their own."""

from collections.abc import Iterator
from datetime import UTC, datetime

_HEAD = (
    '{"event_id":"bench-%(run)s-%(n)09d","type":"%(type)s","occurred_at":"%(at)s",'
    '"recipient":"user%(n)09d@bench.example","message":{"id":"m%(n)09d","from":"shop@mail.example",'
    '"subject":"Your order %(n)09d is on its way"},"tags":["order","eu"],'
)
_TAILS = {
    "delivered": '"smtp":{"code":250,"enhanced":"2.0.0","text":"OK queued as 4XyZ0a12bC"}}',
    "open": '"client":{"ua":"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101","ip":"192.0.2.7"}}',
    "click": '"link":{"url":"https://shop.example/orders/%(n)09d","index":2},'
    '"client":{"ip":"192.0.2.7"}}',
}
_MIX = ("delivered",) * 6 + ("open",) * 3 + ("click",)


def events(run: str, first: int, count: int) -> Iterator[bytes]:
    """Yield *count* different events; *run* and *first* keep their ids apart from other calls'."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for n in range(first, first + count):
        kind = _MIX[n % len(_MIX)]
        text = (_HEAD + _TAILS[kind]) % {"run": run, "n": n, "type": kind, "at": at}
        yield text.encode()


def blocks(run: str, count: int, size: int, first: int = 0) -> Iterator[bytes]:
    """Yield *count* times *size* events with a comma between them."""
    made = events(run, first, count * size)
    for _ in range(count):
        yield b",".join(next(made) for _ in range(size))
