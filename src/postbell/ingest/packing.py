"""From requests to blocks: who came first, and what goes together.  Part of `ingest`; pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, compress

from postbell.blocks import MAX_BYTES, MAX_EVENTS, NewBlock, build_block
from postbell.ingest.queueing import WaitingRequest

HASH_BYTES = 8


class Packer:
    """Collects the events of one commit, each id of an account once."""

    def __init__(self) -> None:
        self._taken: dict[int, set[str]] = defaultdict(set)
        self._parts: dict[tuple[int, int], list[tuple[Sequence[bytes], bytes, bytes]]] = (
            defaultdict(list)
        )

    def add(self, request: WaitingRequest, is_known: Callable[[int], bool] | None) -> None:
        """Take in a request's events but for those whose id came before.

        *is_known* says so of an event by its number; None where none of them is.
        """
        taken = self._taken[request.account.id]
        ids = set(request.ids)
        request.duplicates = 0
        if is_known is None and len(ids) == len(request.ids) and taken.isdisjoint(ids):
            taken |= ids
            self._put(request, None)
            return
        fresh = []
        for number, event_id in enumerate(request.ids):
            is_fresh = event_id not in taken and not (is_known is not None and is_known(number))
            taken.add(event_id)
            fresh.append(is_fresh)
        request.duplicates = fresh.count(False)
        self._put(request, fresh)

    def blocks(self) -> Iterator[NewBlock]:
        """Yield what was collected, as blocks of one account and api user each."""
        for (account_id, user_id), parts in self._parts.items():
            yield from _packed(account_id, user_id, parts)

    def _put(self, request: WaitingRequest, fresh: list[bool] | None) -> None:
        users = set(request.users)
        for user_id in users:
            chosen = fresh
            if len(users) > 1:
                mine = [each == user_id for each in request.users]
                chosen = (
                    mine if fresh is None else [a and b for a, b in zip(mine, fresh, strict=True)]
                )
            raws, codes, hashes = request.raws, request.codes, request.hashes
            if chosen is not None:
                raws = list(compress(raws, chosen))
                codes = bytes(compress(codes, chosen))
                each = (hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))
                hashes = b"".join(compress(each, chosen))
            if raws:
                self._parts[request.account.id, user_id].append((raws, codes, hashes))


def known_in(
    request: WaitingRequest, homes: dict[int, list[int]], ids_in: dict[int, frozenset[str]]
) -> Callable[[int], bool]:
    """Return what says of an event, by its number, that its id is in one of the blocks that its
    hash was found in, *homes*; ids that were made up are new."""

    def is_known(number: int) -> bool:
        if number not in homes or request.randoms[number]:
            return False
        event_id = request.ids[number]
        return any(event_id in ids_in.get(block, ()) for block in homes[number])

    return is_known


def _packed(
    account_id: int, user_id: int, parts: list[tuple[Sequence[bytes], bytes, bytes]]
) -> Iterator[NewBlock]:
    """Yield blocks of at most MAX_EVENTS and MAX_BYTES."""
    raws = [raw for part, _, _ in parts for raw in part]
    codes = b"".join(codes for _, codes, _ in parts)
    hashes = b"".join(hashes for _, _, hashes in parts)
    first = 0
    while first < len(raws):
        last = first + _fitting(raws[first : first + MAX_EVENTS])
        yield build_block(
            account_id,
            user_id,
            raws[first:last],
            codes[first:last],
            hashes[first * HASH_BYTES : last * HASH_BYTES],
        )
        first = last


def _fitting(raws: Sequence[bytes]) -> int:
    """Return how many of these have room in a block, one at least."""
    sizes = list(accumulate(map(len, raws)))
    if sizes[-1] + len(raws) - 1 <= MAX_BYTES:
        return len(raws)
    return max(bisect_right(range(len(raws)), MAX_BYTES, key=lambda n: sizes[n] + n), 1)
