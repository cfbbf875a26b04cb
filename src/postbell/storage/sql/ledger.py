"""Lanes, open batches and replays in SQLite."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from postbell.blocks import Position
from postbell.clock import to_us
from postbell.errors import NotFound
from postbell.ports import LATE_S, LEASE_S, MOST_CLAIMED, Claim, Parked, QueueLengths
from postbell.records import BatchState, Entry, LaneChange, OpenBatch, Replay
from postbell.storage.identity import id_taken
from postbell.storage.sql import rows as to
from postbell.storage.sql.journal import write_down
from postbell.storage.sql.reading import asked_for, filled, read, read_one, readable, readable_one
from postbell.storage.sql.store import Store, raise_version
from postbell.storage.sql.transaction import Row, Transaction


class SqlLedger:
    def __init__(
        self, store: Store, *, is_only_worker: bool, has_worker: Callable[[], bool]
    ) -> None:
        """The first claim of the only worker ends the leases of those before it.

        A lane is worked beyond its lease where the installation *has* a worker; asked while it is
        read.
        """
        self._store = store
        self._has_worker = has_worker
        self._is_first = is_only_worker
        self._claiming = asyncio.Lock()

    async def claim(self, owner: str, limit: int, *, lease_s: float) -> list[Claim]:
        async def work(db: Transaction) -> list[Claim]:
            if self._is_first:
                await db.run("release_all_lanes")
            now, lease = await self._store.lease_now_us(db), to.span_us(lease_s)
            await db.run("shorten_leases", now + lease, now + 2 * lease, limit)
            lanes = await db.rows("claim_lanes", owner, now + lease, now, limit)
            return await read(lambda lane: _claim(db, lane, now), sorted(lanes), "lane", account=1)

        async with self._claiming:
            claims = await self._store.lane_writer.run(work, is_reserved=True)
            self._is_first = False
        return claims

    async def renew(self, owner: str, *, lease_s: float) -> list[int]:
        async def work(db: Transaction) -> list[int]:
            until = await self._store.lease_now_us(db) + to.span_us(lease_s)
            return [webhook_id for (webhook_id,) in await db.rows("renew_lanes", owner, until)]

        return await self._store.lane_writer.run(work, is_reserved=True)

    async def hand_over(self, owner: str, to: str, works: Mapping[int, float]) -> list[int]:
        async def work(db: Transaction) -> list[int]:
            least_us = await self._store.lease_now_us(db) + round((LEASE_S - LATE_S) * 1e6)
            until = await db.row("until_of", to, least_us)
            if until is None:
                return []
            values = [(i, owner, to, *until, round(works[i] * 1000)) for i in sorted(works)]
            given = [each[0] for each in values if await db.run("hand_over_lane", *each)]
            if given:
                await raise_version(db, *given)
            return given

        given = await self._store.lane_writer.run(work, is_reserved=True)
        if given:
            self._store.registry_changed()
        return given

    async def release(self, owner: str) -> None:
        await self._write("release_lanes", owner)

    async def reload(self, owner: str, webhook_ids: Sequence[int]) -> list[Claim]:
        async def work(db: Transaction) -> list[Claim]:
            found = [await db.row("read_held_lane", i, owner) for i in webhook_ids]
            lanes = [lane for lane in found if lane is not None]
            now = await self._store.lease_now_us(db)
            return await read(lambda lane: _claim(db, lane, now), lanes, "lane", account=1)

        return await self._store.readers.run(work)

    async def record(self, changes: Sequence[LaneChange]) -> list[int]:
        async def work(db: Transaction) -> list[int]:
            stale = []
            entries: list[Entry] = []
            for change in changes:
                if await self._apply(db, change):
                    entries.extend(change.entries)
                else:
                    stale.append(change.webhook_id)
            await write_down(db, entries)
            return stale

        stale = await self._store.lane_writer.run(work, is_reserved=True)
        if stale or any(change.pause for change in changes):
            self._store.registry_changed()
        return stale

    async def intervene(self, change: LaneChange) -> bool:
        async def work(db: Transaction) -> bool:
            if not await self._apply(db, change):
                return False
            await write_down(db, change.entries)
            await db.run("raise_epoch", change.webhook_id)
            await raise_version(db, change.webhook_id)
            return True

        is_done = await self._store.write(work, is_reserved=True)
        if is_done:
            self._store.registry_changed()
        return is_done

    async def lane(self, webhook_id: int, *, most: int = MOST_CLAIMED) -> Claim | None:
        async def work(db: Transaction) -> Claim | None:
            lane, now = await db.row("read_lane", webhook_id), await self._store.lease_now_us(db)
            claim = await read_one(
                lambda each: _claim(db, each, now, most), lane, "lane", account=1
            )
            # whoever holds the lane may be frozen for longer than its lease, or unable to renew it
            if lane is None or claim is None or not lane[16]:
                return claim
            return claim._replace(is_worked=self._has_worker())

        return await self._store.readers.run(work)

    async def snapshot(self, webhook_id: int) -> tuple[Claim, int] | None:
        async def work(db: Transaction) -> tuple[Claim, int] | None:
            lane, now = await db.row("read_lane", webhook_id), await self._store.lease_now_us(db)
            claim = await read_one(lambda each: _claim(db, each, now), lane, "lane", account=1)
            if claim is None:
                return None
            whole = claim._replace(batches=await _every_batch(db, webhook_id), has_more=False)
            return whole, await db.scalar("newest_journal") or 0

        return await self._store.readers.run(work)

    async def queues(self, account_id: int) -> list[QueueLengths]:
        found = await self._store.readers.rows("queues", account_id)
        return readable(to.queue, found, "lane", account=1)

    async def open_batches(
        self,
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        state: BatchState | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> list[OpenBatch]:
        owner: tuple[int | None, ...]
        if webhook_id is not None:
            name, owner = "batches_of_webhook", (webhook_id, account_id)
        elif account_id is not None:
            name, owner = "batches_of_account", (account_id,)
        else:
            name, owner = "batches", ()

        async def work(db: Transaction) -> list[OpenBatch]:
            found: list[OpenBatch] = []
            for each in BatchState if state is None else (state,):

                async def page(last: Row | None, size: int, each: BatchState = each) -> list[Row]:
                    return await db.rows(name, last[0] if last else after, size, each, *owner)

                found += await filled(page, to.batch, "batch", limit)
            return sorted(found, key=lambda batch: batch.id)[:limit]

        return await self._store.readers.run(work)

    async def parked(
        self,
        account_id: int | None = None,
        *,
        webhook_id: int | None = None,
        before: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[OpenBatch]:
        owner: tuple[int | None, ...] = (account_id,)
        name = "parked_of_account"
        if webhook_id is not None:
            name, owner = "parked_of_webhook", (webhook_id, account_id)
        first = (to_us(before[0]), before[1]) if before is not None else (1 << 62, "")

        async def work(db: Transaction) -> list[OpenBatch]:
            async def page(last: Row | None, size: int) -> list[Row]:
                mark = (last[8], last[0]) if last else first
                return await db.rows(name, *mark, size, *owner)

            return await filled(page, to.batch, "batch", limit)

        return await self._store.readers.run(work)

    async def count_parked(self, account_id: int) -> Parked:
        found = await self._store.readers.row("count_parked", account_id)
        return Parked(*(found or ()))

    async def parked_at(self, webhook_id: int, position: Position) -> OpenBatch | None:
        found = await self._store.readers.row("parked_at", webhook_id, *position)
        batch = readable_one(to.batch, found, "batch")
        return batch if batch is not None and position < batch.range.end else None

    async def batch(self, batch_id: str) -> OpenBatch | None:
        found = await self._store.readers.row("batch", batch_id)
        return asked_for(to.batch, found, "batch")

    async def add_replay(self, replay: Replay) -> Replay:
        async def work(db: Transaction) -> Replay:
            lane = await db.row("read_lane", replay.webhook_id)
            if lane is None or lane[1] != replay.account_id:
                raise NotFound(f"no webhook {replay.webhook_id} in account {replay.account_id}")
            replay_id = await db.scalar("add_replay", *to.replay_values(replay))
            await db.run("raise_epoch", replay.webhook_id)
            await raise_version(db, replay.webhook_id)
            return replace(replay, id=replay_id)

        stored = await self._store.write(work)
        self._store.registry_changed()
        return stored

    async def replay(self, replay_id: int) -> Replay | None:
        found = await self._store.readers.row("replay", replay_id)
        return asked_for(to.replay, found, "replay")

    async def replays(
        self,
        account_id: int | None = None,
        limit: int = 1000,
        *,
        webhook_id: int | None = None,
        before: int = 0,
    ) -> list[Replay]:
        owner: tuple[int | None, ...]
        if webhook_id is not None:
            name, owner = "replays_of_webhook", (webhook_id, account_id)
        elif account_id is not None:
            name, owner = "replays_of_account", (account_id,)
        else:
            name, owner = "replays", ()
        first = before or 1 << 62
        found = await self._store.readers.rows(name, limit, first, *owner)
        return readable(to.replay, found, "replay", account=1)

    async def _write(self, statement: str, *values: object) -> None:
        await self._store.lane_writer.run(lambda db: db.run(statement, *values), is_reserved=True)

    async def _apply(self, db: Transaction, change: LaneChange) -> bool:
        """Write everything of *change* but its entries; False when it is stale."""
        webhook_id = change.webhook_id
        name, values = "begin_change", ()
        if change.lane is not None:
            name, values = "set_lane", to.lane_values(change.lane)
        found = await db.row(name, webhook_id, change.epoch, change.writes, *values)
        if found is None:
            return False
        for batch_id in change.drop:
            await db.run("drop_batch", batch_id, webhook_id)
        for batch in change.put:
            if not await db.run("put_batch", *to.batch_values(batch, found[0])):
                raise id_taken(batch)
        if change.replay is not None:
            stands = to.replay_values(change.replay)[2:]
            await db.run("set_replay", change.replay.id, webhook_id, *stands)
        if change.pause:
            now, version = to_us(self._store.clock.now()), await raise_version(db)
            await db.run("pause_webhook", webhook_id, change.pause, now, version)
        return True


async def _claim(db: Transaction, lane: Row, now_us: int, most: int = MOST_CLAIMED) -> Claim:
    """Read what waits on a lane; what is parked is not looked at."""
    webhook_id = lane[0]
    waiting = await db.rows("waiting_batches", webhook_id, most + 1)
    kept = waiting[:most]
    if len(waiting) > most:
        known = {each[0] for each in kept}
        kept += [
            each for each in await db.rows("stopped_batches", webhook_id) if each[0] not in known
        ]
    replays = await db.rows("running_replays", webhook_id)
    return Claim(
        to.lane(lane),
        readable(to.batch, kept, "batch"),
        readable(to.replay, replays, "replay", account=1),
        Parked(*lane[14:16]),
        len(waiting) > most,
        to.left_s(lane[16], now_us),
        work=lane[19] / 1000,
    )


async def _every_batch(db: Transaction, webhook_id: int) -> list[OpenBatch]:
    batches: list[OpenBatch] = []
    for state in BatchState:
        last = ""
        while page := await db.rows("batches_of_webhook", last, 1000, state, webhook_id, None):
            batches.extend(readable(to.batch, page, "batch"))
            last = page[-1][0]
    return sorted(batches, key=lambda batch: batch.id)
