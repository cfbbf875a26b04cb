"""What a person does about an event that its receiver refuses: find it, split, skip it."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from postbell.desk import noting
from postbell.desk.lanes import Lanes, due, revision_of
from postbell.errors import Conflict, NotFound
from postbell.lane import changes
from postbell.lane.body import Rendered, rendered
from postbell.lane.entries import of_batch
from postbell.lane.split import halved, without
from postbell.logged import Logged
from postbell.ports import Claim
from postbell.reading.found import Found
from postbell.records import (
    Entry,
    EntryKind,
    LaneChange,
    OpenBatch,
    Revision,
    Webhook,
    WebhookState,
)
from postbell.trail import Change


class _Named(msgspec.Struct, frozen=True, gc=False):
    """What is read of a stored event."""

    event_id: str


_decode = msgspec.json.Decoder(_Named).decode


class Isolating(Lanes):
    """Batches that are closed here leave their events to others; the log is covered as before."""

    async def bisect_batch(self, batch_id: str, account_id: int | None = None) -> OpenBatch:
        """Find the event that its receiver refuses: the batch is sent now, and whatever the
        failure is, it is split at once, and so on.

        The events that are refused are parked, each by itself, once anything else was taken.
        """
        webhook, found = await self.open_batch_of(batch_id, account_id)
        if webhook.state is WebhookState.PAUSED:
            raise Conflict(
                f"webhook {webhook.id} is paused ({webhook.state_reason}); resume it first",
                reason="webhook_paused",
            )
        if found.count < 2:
            raise _single(batch_id)
        now = self.clock.now()
        asked: list[OpenBatch] = []

        async def step(claim: Claim) -> LaneChange:
            standing = await self.still_open(batch_id)
            asked.append(replace(due(standing, now), attempts=0, bisect_since=now))
            return changes.hurried(claim.lane, asked[-1:])

        def note(*_: object) -> Change:
            return noting.of_batch("batch.bisected", webhook, asked[-1], {"events": found.count})

        await self._intervene(webhook.id, step, note, most=0)
        return asked[-1]

    async def split_batch(
        self, batch_id: str, account_id: int | None = None
    ) -> tuple[OpenBatch, OpenBatch]:
        """Halve an open or parked batch by hand; both halves are due now, under new ids.

        Raises Conflict where a request of it is under way, or it came to its end meanwhile.
        """
        webhook, found = await self.open_batch_of(batch_id, account_id)
        if found.count < 2:
            raise _single(batch_id)
        async with self.stopped(webhook, batch_id) as found:
            events = await self._all_events_of(webhook, found)
            revision = revision_of(webhook, found)
            halves = halved(found, revision, events, self._render, self.clock.now())
            told = {"halves": _ids(halves), "events": found.count}
            note = noting.of_batch("batch.split", webhook, found, told)
            await self._close(webhook, found, halves, note)
        return halves

    async def skip_event(
        self, batch_id: str, event_id: str, account_id: int | None = None
    ) -> tuple[OpenBatch, ...]:
        """Leave one event out of an open or parked batch: it is counted as skipped.

        Returns what is left of the batch, due now, under new ids: the events before and after.
        Raises Conflict as `split_batch` does.
        """
        webhook, _ = await self.open_batch_of(batch_id, account_id)
        async with self.stopped(webhook, batch_id) as found:
            events = await self._all_events_of(webhook, found)
            ids = [_decode(raw).event_id for raw, _, _ in events.events]
            if event_id not in ids:
                raise NotFound(
                    f"batch {batch_id[:80]} has no event {event_id[:80]!r}", reason="batch_no_event"
                )
            now = self.clock.now()
            revision, number = revision_of(webhook, found), ids.index(event_id)
            part, rest = without(found, revision, events, number, self._render, now)
            skipped = of_batch(
                EntryKind.SKIPPED, found, webhook.account_id, now, part=part, count=1
            )
            told = {"event_id": event_id, "batches": _ids(rest)}
            note = noting.of_batch("batch.event_skipped", webhook, found, told)
            await self._close(webhook, found, rest, note, skipped)
        return rest

    async def _close(
        self,
        webhook: Webhook,
        batch: OpenBatch,
        others: Sequence[OpenBatch],
        note: Change,
        left_out: Entry | None = None,
    ) -> None:
        """Put others in a batch's place, and journal what they leave out."""
        now = self.clock.now()

        async def step(claim: Claim) -> LaneChange:
            await self.still(claim, batch.id)
            return changes.isolated(claim.lane, batch, others, now, left_out)

        await self._intervene(webhook.id, step, lambda *_: note, most=0)

    def _render(self, revision: Revision, events: Sequence[Logged]) -> Rendered:
        return rendered(self.dialects[revision.dialect], revision, events)

    async def _all_events_of(self, webhook: Webhook, batch: OpenBatch) -> Found:
        """Return the events of an open batch; raise Conflict where retention took some."""
        events = await self.events_of(webhook, batch)
        if len(events) != batch.count:
            raise Conflict(
                f"retention took {batch.count - len(events)} events of batch {batch.id};"
                " it cannot be split any more",
                reason="batch_incomplete",
            )
        return events


def _single(batch_id: str) -> Conflict:
    return Conflict(
        f"batch {batch_id} has one event; there is nothing to split", reason="batch_single"
    )


def _ids(batches: Sequence[OpenBatch]) -> str:
    return " ".join(batch.id for batch in batches)
