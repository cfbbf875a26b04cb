"""The log in memory: blocks by id."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

from msgspec.structs import replace

from postbell.blocks import Block, BlockHeader, IdBlock, NewBlock, checksum_of, have_same_ids
from postbell.clock import to_us
from postbell.errors import HeadMoved
from postbell.ports import MOST_OTHERS, Appended, Checked, Progress
from postbell.records import IdempotencyKey
from postbell.storage.bounds import head_moved
from postbell.storage.corrections import Correction, part_since
from postbell.storage.identity import damaged
from postbell.storage.memory import checkpoints
from postbell.storage.memory.tables import Tables


class MemoryLog:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def append(
        self,
        blocks: Sequence[NewBlock],
        keys: Sequence[IdempotencyKey],
        *,
        head: int,
        now: datetime,
        keys_since: datetime | None = None,
        progress: Sequence[Progress] = (),
        told: int = 0,
    ) -> Appended:
        tables = self._tables
        if not head <= tables.head <= head + MOST_OTHERS:
            raise head_moved(head, tables.head)
        others = await self.ids(head, MOST_OTHERS)
        if have_same_ids(blocks, others):
            raise head_moved(head, tables.head)
        for key in keys:
            kept = tables.keys.get((key.account_id, key.key))
            if kept is not None and (keys_since is None or kept.at >= keys_since):
                raise HeadMoved(f"the idempotency key {key.key!r} was stored meanwhile")
        checkpoints.check(tables, progress)
        recorded_at = max(now, tables.newest_at)
        headers = [self._add(block, recorded_at) for block in blocks]
        tables.keys.update({(key.account_id, key.key): key for key in keys})
        checkpoints.move(tables, progress, recorded_at)
        left = [each for each in tables.suppressed.changes if each.revision > told]
        tables.suppressed.changes = left
        tables.bell.ring()
        return Appended(headers, others)

    def _add(self, block: NewBlock, recorded_at: datetime) -> BlockHeader:
        tables = self._tables
        first_sequence = tables.sequences.get(block.account_id, 1)
        tables.sequences[block.account_id] = first_sequence + block.count
        tables.head += 1
        tables.newest_at = recorded_at
        header = BlockHeader(
            id=tables.head,
            account_id=block.account_id,
            api_user_id=block.api_user_id,
            first_sequence=first_sequence,
            recorded_at=recorded_at,
            codes=block.codes,
            sizes=block.sizes,
        )
        tables.blocks[header.id] = Block(header, block.body)
        tables.checksums[header.id] = checksum_of(header, block.hashes, block.body)
        tables.hashes[header.id] = block.hashes
        return header

    async def settle(self) -> None:
        pass

    async def head(self) -> int:
        return self._tables.head

    async def newest_at(self) -> datetime | None:
        tables = self._tables
        return tables.newest_at if tables.head else None

    async def tail(self, after: int, limit: int) -> list[BlockHeader]:
        return list(islice((h for h in self._headers() if h.id > after), limit))

    async def follow(self, after: int, limit: int) -> list[BlockHeader]:
        return await self.tail(after, limit)

    async def headers(self, account_id: int, first: int, limit: int) -> list[BlockHeader]:
        ours = (h for h in self._headers() if h.account_id == account_id and h.id >= first)
        return list(islice(ours, limit))

    async def newest(self, account_id: int) -> BlockHeader | None:
        ours = [header for header in self._headers() if header.account_id == account_id]
        return ours[-1] if ours else None

    async def load(self, ids: Sequence[int], *, is_choosy: bool = True) -> list[Block]:
        blocks = self._tables.blocks
        found = []
        for block_id in sorted(set(ids) & blocks.keys()):
            if self._is_sound(block_id):
                found.append(blocks[block_id])
            elif is_choosy:
                raise damaged(block_id)
        return found

    async def check(self, after: int, limit: int) -> Checked:
        ids = list(islice((each for each in self._tables.blocks if each > after), limit))
        damaged = tuple(each for each in ids if not self._is_sound(each))
        return Checked(ids[-1] if ids else after, len(ids), damaged)

    def _is_sound(self, block_id: int) -> bool:
        block, hashes = self._tables.blocks[block_id], self._tables.hashes[block_id]
        return self._tables.checksums[block_id] == checksum_of(block.header, hashes, block.body)

    async def ids(self, after: int, limit: int) -> list[IdBlock]:
        return [
            IdBlock(header.id, header.recorded_at, self._tables.hashes[header.id])
            for header in await self.tail(after, limit)
        ]

    async def first_since(self, moment: datetime, account_id: int | None = None) -> int:
        tables = self._tables
        corrections, now = tables.corrections, to_us(tables.clock.now())
        low, below = part_since(corrections, to_us(moment), now)
        high = tables.head + 1 if below is None else below
        is_since = (h.id for h in self._headers() if h.id >= low and h.recorded_at >= moment)
        first = min(next(is_since, high), high)
        mine = (h.id for h in self._headers() if account_id in (None, h.account_id))
        return next((block_id for block_id in mine if block_id >= first), tables.head + 1)

    async def trust(self, now: datetime) -> None:
        self._tables.check_term()
        self._tables.trusted_at = now

    async def trusted_at(self) -> datetime | None:
        return self._tables.trusted_at

    async def correct(self, now: datetime) -> None:
        self._tables.check_term()
        tables = self._tables
        if tables.newest_at > now:
            made = Correction(tables.head, to_us(tables.newest_at), to_us(now))
            last = tables.corrections.pop() if self._is_again(made) else made
            tables.corrections.append(made._replace(was=last.was))
            tables.newest_at = now
        for name, key in tables.keys.items():
            tables.keys[name] = replace(key, at=min(key.at, now))

    def _is_again(self, made: Correction) -> bool:
        corrections = self._tables.corrections
        return bool(corrections) and corrections[-1].block == made.block

    async def find_key(self, account_id: int, key: str) -> IdempotencyKey | None:
        return self._tables.keys.get((account_id, key))

    async def drop_keys(self, before: datetime) -> None:
        self._tables.check_term()
        tables = self._tables
        tables.keys = {name: key for name, key in tables.keys.items() if key.at >= before}

    def _headers(self) -> Iterable[BlockHeader]:
        return (block.header for block in self._tables.blocks.values())
