"""The log's words: blocks, positions, and how events lie inside a block.

A block is what was appended together for one account and one api user: at most MAX_EVENTS
events or MAX_BYTES of canonical JSON.  A position (block, offset) says how far somebody has read:
all earlier blocks of the account, and the first *offset* events of that block.
"""

from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from struct import pack
from typing import NamedTuple

import msgspec
from xxhash import xxh3_128

from postbell.clock import to_us

MAX_EVENTS = 1000
MAX_BYTES = 1 << 20
PLACE_BITS = 10


class Position(NamedTuple):
    """How far one has read in an account's log; totally ordered; opaque outside storage."""

    block: int
    offset: int


START = Position(0, 0)


class Range(NamedTuple):
    """The half-open part of a log from *start* up to, not including, *end*."""

    start: Position
    end: Position


class NewBlock(msgspec.Struct, frozen=True):
    """A block before it has a place in the log.

    *codes*: one kind code a event (`events.kind_code`); *sizes*: bytes of each event;
    *hashes*: 8 bytes an event (`id_hash`); *body*: the canonical JSON objects with a
    comma between them.
    """

    account_id: int
    api_user_id: int
    codes: bytes
    sizes: bytes
    hashes: bytes
    body: bytes

    @property
    def count(self) -> int:
        return len(self.codes)


class BlockHeader(msgspec.Struct, frozen=True):
    """What matching and cutting need of a block; its events have sequence numbers from
    *first_sequence* on, and all of them became durable at *recorded_at*."""

    id: int
    account_id: int
    api_user_id: int
    first_sequence: int
    recorded_at: datetime
    codes: bytes
    sizes: bytes

    @property
    def count(self) -> int:
        return len(self.codes)

    def size_list(self) -> memoryview:
        """Return the events' sizes in bytes as a sequence of ints."""
        return memoryview(self.sizes).cast("I")


class Block(msgspec.Struct, frozen=True):
    """A block with its events."""

    header: BlockHeader
    body: bytes

    def events(self, first: int = 0, last: int | None = None) -> list[bytes]:
        """Return the canonical JSON of the events [first, last), in order; all by default."""
        sizes = self.header.size_list()
        return apart(self.body, sizes[first:last], sum(sizes[:first]) + first)


def apart(body: bytes, sizes: Iterable[int], begin: int = 0, without: int = 0) -> list[bytes]:
    """Return the pieces of a body that have these sizes and a comma between them.

    The first is at *begin*; *without* so many of its last bytes is each.
    """
    found = []
    for size in sizes:
        end = begin + size
        found.append(body[begin : end - without])
        begin = end + 1
    return found


def checksum_of(header: BlockHeader, hashes: bytes, body: bytes) -> bytes:
    """Return the 16 bytes by which it is told that a block is as it was written.

    They change with every bit of it: what a disk does to a block is found, not what somebody who
    means harm does.
    """
    at = to_us(header.recorded_at)
    owner = (header.id, header.account_id, header.api_user_id, header.first_sequence, at)
    whole = xxh3_128(pack("<5q3I", *owner, header.count, len(header.sizes), len(hashes)))
    for part in (header.codes, header.sizes, hashes, body):
        whole.update(part)
    return whole.digest()


class IdBlock(NamedTuple):
    """The id hashes of one block, for recognising duplicates."""

    block: int
    recorded_at: datetime
    hashes: bytes


def have_same_ids(blocks: Iterable[NewBlock], others: Iterable[IdBlock]) -> bool:
    """Say whether an id of *blocks* may be one of *others*."""
    there = [memoryview(other.hashes).cast("Q") for other in others]
    if not there:
        return False
    ours = {hashed for block in blocks for hashed in memoryview(block.hashes).cast("Q")}
    return not all(map(ours.isdisjoint, there))


def place_of(position: Position) -> int:
    """Return *position* as one number that rises with it; an offset needs 10 bits."""
    return position.block << PLACE_BITS | position.offset


def position_of(place: int) -> Position:
    """Undo `place_of`."""
    return Position(place >> PLACE_BITS, place & ((1 << PLACE_BITS) - 1))


def pack_sizes(sizes: Iterable[int]) -> bytes:
    """Return *sizes* as the little-endian 32-bit array that a block keeps."""
    return array("I", sizes).tobytes()


def build_block(
    account_id: int,
    api_user_id: int,
    raws: Sequence[bytes],
    codes: bytes,
    hashes: bytes,
) -> NewBlock:
    """Return the block of these canonical events; the caller keeps to MAX_EVENTS and MAX_BYTES."""
    return NewBlock(
        account_id=account_id,
        api_user_id=api_user_id,
        codes=codes,
        sizes=pack_sizes(map(len, raws)),
        hashes=hashes,
        body=b",".join(raws),
    )


def id_hash(account_id: int, event_id: str) -> bytes:
    """Return the 8 bytes by which duplicates of an event id are looked for in an account."""
    return id_hashes(account_id, (event_id,))


def id_hashes(account_id: int, event_ids: Iterable[str]) -> bytes:
    """Return `id_hash` of each, one after the other."""
    begun = _account_hasher(account_id).copy
    hashes = []
    for event_id in event_ids:
        hasher = begun()
        hasher.update(event_id.encode())
        hashes.append(hasher.digest())
    return b"".join(hashes)


@lru_cache(4096)
def _account_hasher(account_id: int) -> "blake2b":
    return blake2b(digest_size=8, key=account_id.to_bytes(8, "little"))
