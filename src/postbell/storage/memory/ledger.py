"""Lanes, open batches, replays and the journal in memory."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from msgspec.structs import replace

from postbell.blocks import Position
from postbell.errors import NotFound
from postbell.ports import (
    ENDING,
    LATE_S,
    LEASE_S,
    MOST_CLAIMED,
    Claim,
    JournalBlock,
    Parked,
    QueueLengths,
)
from postbell.records import (
    BatchState,
    Entry,
    Lane,
    LaneChange,
    OpenBatch,
    Replay,
    ReplayState,
    WebhookState,
)
from postbell.storage.entries import entry_filter, reaches
from postbell.storage.identity import id_taken, is_same_batch
from postbell.storage.memory.tables import NEVER, Lease, Tables


class MemoryLedger:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def claim(self, owner: str, limit: int, *, lease_s: float) -> list[Claim]:
        now, lease = self._tables.clock.now(), timedelta(seconds=lease_s)
        for _, held in self._leases():
            if held.until > now + 2 * lease:
                held.until = now + lease
        free = [webhook_id for webhook_id, lease in self._leases() if lease.until <= now]
        for webhook_id in free[:limit]:
            self._tables.leases[webhook_id] = dataclasses.replace(
                self._tables.leases[webhook_id], owner=owner, until=now + lease
            )
            self._raise_epoch(webhook_id)
        return [self._read(webhook_id) for webhook_id in free[:limit]]

    async def renew(self, owner: str, *, lease_s: float) -> list[int]:
        held = {i: lease for i, lease in self._tables.leases.items() if lease.owner == owner}
        for lease in held.values():
            lease.until = self._tables.clock.now() + timedelta(seconds=lease_s)
        return list(held)

    async def hand_over(self, owner: str, to: str, works: Mapping[int, float]) -> list[int]:
        tables = self._tables
        member, until = tables.members.get(to, (None, NEVER))
        least = tables.clock.now() + timedelta(seconds=LEASE_S - LATE_S)
        if member is None or until <= least or member.role == ENDING:
            return []
        leases = tables.leases
        given = [i for i in sorted(works) if i in leases and leases[i].owner == owner]
        for webhook_id in given:
            leases[webhook_id] = Lease(to, until, works[webhook_id])
            self._raise_epoch(webhook_id)
        if given:
            tables.change(*given)
        return given

    async def release(self, owner: str) -> None:
        for webhook_id, lease in self._leases():
            if lease.owner == owner:
                self._tables.leases[webhook_id] = Lease(work=lease.work)

    async def reload(self, owner: str, webhook_ids: Sequence[int]) -> list[Claim]:
        leases = self._tables.leases
        held = [i for i in webhook_ids if i in leases and leases[i].owner == owner]
        return [self._read(webhook_id) for webhook_id in held]

    async def record(self, changes: Sequence[LaneChange]) -> list[int]:
        stale = [change.webhook_id for change in changes if not self._is_current(change)]
        current = [change for change in changes if self._is_current(change)]
        self._check_ids(current)
        for change in current:
            self._apply(change)
        self._write_down([entry for change in current for entry in change.entries])
        return stale

    async def intervene(self, change: LaneChange) -> bool:
        self._tables.check_warrant()
        if not self._is_current(change):
            return False
        self._check_ids((change,))
        self._apply(change)
        self._write_down(change.entries)
        self._raise_epoch(change.webhook_id)
        self._tables.change(change.webhook_id)
        return True

    async def lane(self, webhook_id: int, *, most: int = MOST_CLAIMED) -> Claim | None:
        if webhook_id not in self._tables.lanes:
            return None
        # whoever holds it is in this process, whatever the clock says of the lease
        is_worked = bool(self._tables.leases[webhook_id].owner)
        return self._read(webhook_id, most)._replace(is_worked=is_worked)

    async def snapshot(self, webhook_id: int) -> tuple[Claim, int] | None:
        if webhook_id not in self._tables.lanes:
            return None
        journal = self._tables.journal
        claim = self._read(webhook_id)._replace(batches=self._of(webhook_id), has_more=False)
        return claim, journal[-1].id if journal else 0

    async def queues(self, account_id: int) -> list[QueueLengths]:
        return [
            self._queue(lane)
            for _, lane in sorted(self._tables.lanes.items())
            if account_id == lane.account_id
        ]

    def _queue(self, lane: Lane) -> QueueLengths:
        batches = [b for b in self._tables.batches.values() if b.webhook_id == lane.webhook_id]
        waiting = [batch for batch in batches if batch.state is BatchState.WAITING]
        parked = [batch.count for batch in batches if batch.state is BatchState.PARKED]
        blocks = [batch.range.start.block for batch in waiting if batch.opened_at is None]
        opened = [batch.opened_at for batch in waiting if batch.opened_at is not None]
        return QueueLengths(
            lane.webhook_id,
            lane.cursor,
            lane.failing_since,
            min(blocks, default=None),
            min(opened, default=None),
            sum(parked),
            lane.last_success_at,
        )

    async def open_batches(
        self,
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        state: BatchState | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> list[OpenBatch]:
        lanes = self._tables.lanes
        found = [
            batch
            for batch_id, batch in sorted(self._tables.batches.items())
            if batch_id > after
            and webhook_id in (None, batch.webhook_id)
            and account_id in (None, lanes[batch.webhook_id].account_id)
            and state in (None, batch.state)
        ]
        return found[:limit]

    async def parked(
        self,
        account_id: int | None = None,
        *,
        webhook_id: int | None = None,
        before: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> list[OpenBatch]:
        lanes = self._tables.lanes
        found = [
            batch
            for batch in self._tables.batches.values()
            if batch.state is BatchState.PARKED
            and webhook_id in (None, batch.webhook_id)
            and account_id in (None, lanes[batch.webhook_id].account_id)
            and (before is None or (batch.cut_at, batch.id) < before)
        ]
        return sorted(found, key=lambda batch: (batch.cut_at, batch.id), reverse=True)[:limit]

    async def count_parked(self, account_id: int) -> Parked:
        lanes = self._tables.lanes.values()
        own = [
            self._read(each.webhook_id).parked for each in lanes if each.account_id == account_id
        ]
        return Parked(sum(each.batches for each in own), sum(each.events for each in own))

    async def parked_at(self, webhook_id: int, position: Position) -> OpenBatch | None:
        held = (
            batch
            for batch in self._of(webhook_id, BatchState.PARKED)
            if batch.range.start <= position < batch.range.end and batch.replay_id is None
        )
        return next(held, None)

    async def batch(self, batch_id: str) -> OpenBatch | None:
        return self._tables.batches.get(batch_id)

    async def add_replay(self, replay: Replay) -> Replay:
        tables = self._tables
        tables.check_warrant()
        lane = tables.lanes.get(replay.webhook_id)
        if lane is None or lane.account_id != replay.account_id:
            raise NotFound(f"no webhook {replay.webhook_id} in account {replay.account_id}")
        tables.last_replay += 1
        stored = replace(replay, id=tables.last_replay)
        tables.replays[stored.id] = stored
        self._raise_epoch(stored.webhook_id)
        tables.change(stored.webhook_id)
        return stored

    async def replay(self, replay_id: int) -> Replay | None:
        return self._tables.replays.get(replay_id)

    async def replays(
        self,
        account_id: int | None = None,
        limit: int = 1000,
        *,
        webhook_id: int | None = None,
        before: int = 0,
    ) -> list[Replay]:
        found = (
            replay
            for replay in reversed(self._tables.replays.values())
            if account_id in (None, replay.account_id)
            and webhook_id in (None, replay.webhook_id)
            and (not before or replay.id < before)
        )
        return list(islice(found, limit))

    def _leases(self) -> list[tuple[int, Lease]]:
        return list(self._tables.leases.items())

    def _read(self, webhook_id: int, most: int = MOST_CLAIMED) -> Claim:
        tables = self._tables
        waiting = sorted(self._of(webhook_id, BatchState.WAITING), key=_in_order)
        parked = self._of(webhook_id, BatchState.PARKED)
        kept = waiting[:most] + [batch for batch in waiting[most:] if batch.stop is not None]
        return Claim(
            tables.lanes[webhook_id],
            kept,
            [
                r
                for r in tables.replays.values()
                if r.webhook_id == webhook_id and r.state is ReplayState.RUNNING
            ],
            Parked(len(parked), sum(batch.count for batch in parked)),
            len(waiting) > most,
            tables.left_s(tables.leases[webhook_id].until),
            work=tables.leases[webhook_id].work,
        )

    def _of(self, webhook_id: int, state: BatchState | None = None) -> list[OpenBatch]:
        """Return the batches of a webhook by id."""
        batches = sorted(self._tables.batches.items())
        return [b for _, b in batches if b.webhook_id == webhook_id and state in (None, b.state)]

    def _is_current(self, change: LaneChange) -> bool:
        lane = self._tables.lanes.get(change.webhook_id)
        return (
            lane is not None and lane.epoch == change.epoch and change.writes in (None, lane.writes)
        )

    def _raise_epoch(self, webhook_id: int) -> None:
        lane = self._tables.lanes[webhook_id]
        self._tables.lanes[webhook_id] = replace(lane, epoch=lane.epoch + 1)

    def _check_ids(self, changes: Sequence[LaneChange]) -> None:
        """Raise IdTaken where a batch would take the place of another one."""
        dropped = {batch_id for change in changes for batch_id in change.drop}
        for change in changes:
            for batch in change.put:
                stored = self._tables.batches.get(batch.id)
                if stored is None or batch.id in dropped or is_same_batch(stored, batch):
                    continue
                raise id_taken(batch)

    def _apply(self, change: LaneChange) -> None:
        tables = self._tables
        before = tables.lanes[change.webhook_id]
        tables.lanes[change.webhook_id] = replace(
            change.lane or before,
            webhook_id=before.webhook_id,
            account_id=before.account_id,
            epoch=before.epoch,
            writes=before.writes + 1,
        )
        for batch_id in change.drop:
            batch = tables.batches.get(batch_id)
            if batch is not None and batch.webhook_id == change.webhook_id:
                del tables.batches[batch_id]
        tables.batches.update({batch.id: batch for batch in change.put})
        if change.replay is not None and change.replay.id in tables.replays:
            tables.replays[change.replay.id] = change.replay
        if change.pause:
            tables.webhooks[change.webhook_id] = replace(
                tables.webhooks[change.webhook_id],
                state=WebhookState.PAUSED,
                state_reason=change.pause,
                updated_at=tables.clock.now(),
            )
            tables.change(change.webhook_id)

    def _write_down(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._tables.last_journal += 1
            self._tables.journal.append(JournalBlock(self._tables.last_journal, list(entries)))


def _in_order(batch: OpenBatch) -> tuple[bool, Position]:
    """Runs, then batches in the order of the log."""
    return batch.done is None, batch.range.start


class MemoryJournal:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def scan(self, after: int, limit: int) -> list[JournalBlock]:
        return [block for block in self._tables.journal if block.id > after][:limit]

    async def follow(self, after: int, limit: int) -> list[JournalBlock]:
        return await self.scan(after, limit)

    async def recent(
        self,
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        batch_id: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> list[JournalBlock]:
        fits = entry_filter(webhook_id, account_id, batch_id)
        found: list[JournalBlock] = []
        count = 0
        for block in reversed(self._tables.journal):
            if count >= limit:
                break
            entries = [entry for entry in block.entries if fits(entry)]
            if entries and (before == 0 or block.id < before):
                found.append(JournalBlock(block.id, entries))
                count += len(entries)
        return found

    async def drop(self, before: datetime, *, below: int | None = None) -> int:
        self._tables.check_term()
        kept = [
            block
            for block in self._tables.journal
            if max(entry.at for entry in block.entries) >= before
            or any(reaches(entry.range, below) for entry in block.entries)
        ]
        dropped = len(self._tables.journal) - len(kept)
        self._tables.journal = kept
        return dropped
