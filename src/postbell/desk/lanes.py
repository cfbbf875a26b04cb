"""What a person does to a webhook's delivery: pause, resume, skip, try again."""

from datetime import datetime

import msgspec

from postbell.blocks import Position, Range
from postbell.desk.core import Core
from postbell.errors import Conflict, NotFound
from postbell.pipeline.match import Selection
from postbell.pipeline.tally import Tally, segments
from postbell.ports import Claim
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    LaneChange,
    OpenBatch,
    Webhook,
    WebhookState,
)


class Lanes(Core):
    """Changes of lanes go through `Ledger.intervene`, so that the worker notices them."""

    async def pause(
        self, account_id: int | None, webhook_id: int, reason: str = "customer"
    ) -> Webhook:
        """Stop delivering; events wait in the log.  *reason* is "customer" or "operator"."""
        async with self._writes:
            webhook = await self.find_webhook(account_id, webhook_id)
            if webhook.state is not WebhookState.PAUSED:
                webhook = await self._store(webhook, WebhookState.PAUSED, reason)
        await self.directory.refresh()
        return webhook

    async def resume(
        self,
        account_id: int | None,
        webhook_id: int,
        *,
        skip: bool = False,
        parked: bool = False,
    ) -> Webhook:
        """Deliver again, everything that waits being due now.

        *skip* leaves out what is not in a batch yet: it is counted and journaled as skipped.
        *parked* opens parked batches again, with all their retries.  Resuming an active
        webhook is allowed: it ends the waits of a failing one.
        """
        webhook = await self.find_webhook(account_id, webhook_id)
        now = self.clock.now()

        async def step(claim: Claim) -> LaneChange:
            entries = await self._skipped(webhook, claim, now) if skip else ()
            lane = msgspec.structs.replace(
                claim.lane,
                cursor=entries[-1].range.end if entries else claim.lane.cursor,
                failing_since=None,
                failures=0,
                hold_until=None,
            )
            return LaneChange(
                webhook_id=webhook_id,
                epoch=claim.lane.epoch,
                lane=lane,
                put=tuple(
                    _due(batch, now)
                    for batch in claim.batches
                    if batch.done is None and (parked or batch.state is not BatchState.PARKED)
                ),
                entries=entries,
            )

        await self._intervene(webhook_id, step)
        async with self._writes:
            webhook = await self.find_webhook(account_id, webhook_id)
            if webhook.state is not WebhookState.ACTIVE:
                webhook = await self._store(webhook, WebhookState.ACTIVE, "")
        await self.directory.refresh()
        return webhook

    async def retry_batch(self, batch_id: str, account_id: int | None = None) -> OpenBatch:
        """Make an open batch due now; a parked one is opened again, with all its retries."""
        found = await self.engine.ledger.batch(batch_id)
        if found is None or found.done is not None:
            raise _no_batch(batch_id)
        try:
            webhook = await self.find_webhook(account_id, found.webhook_id)
        except NotFound:
            raise _no_batch(batch_id) from None
        if webhook.state is WebhookState.PAUSED:
            raise Conflict(
                f"webhook {webhook.id} is paused ({webhook.state_reason}); resume it first"
            )
        now = self.clock.now()
        retried = []

        async def step(claim: Claim) -> LaneChange:
            for batch in claim.batches:
                if batch.id == batch_id:
                    retried.append(_due(batch, now))
                    return LaneChange(
                        webhook_id=webhook.id,
                        epoch=claim.lane.epoch,
                        lane=msgspec.structs.replace(claim.lane, hold_until=None),
                        put=(retried[-1],),
                    )
            raise _no_batch(batch_id)

        await self._intervene(webhook.id, step)
        return retried[-1]

    async def _store(self, webhook: Webhook, state: WebhookState, reason: str) -> Webhook:
        return await self.engine.registry.set_webhook(
            msgspec.structs.replace(
                webhook, state=state, state_reason=reason, updated_at=self.clock.now()
            )
        )

    async def _skipped(self, webhook: Webhook, claim: Claim, now: datetime) -> tuple[Entry, ...]:
        """Return one entry for each revision's part of the log from the cursor to the head."""
        end = Position(await self.engine.log.head() + 1, 0)
        tally = Tally(self.engine.log, webhook.account_id)
        entries = []
        for revision, part in segments(webhook.revisions, Range(claim.lane.cursor, end)):
            selection = Selection.of(self.dialects[revision.dialect], revision)
            entries.append(
                Entry(
                    kind=EntryKind.SKIPPED,
                    at=now,
                    account_id=webhook.account_id,
                    webhook_id=webhook.id,
                    revision=revision.number,
                    batch_id="",
                    range=part,
                    count=(await tally.count(selection, part)).events,
                )
            )
        return tuple(entries)


def _due(batch: OpenBatch, now: datetime) -> OpenBatch:
    """Return the batch due at *now*; a parked one begins its retries anew."""
    attempts = 0 if batch.state is BatchState.PARKED else batch.attempts
    return msgspec.structs.replace(batch, state=BatchState.WAITING, attempts=attempts, next_at=now)


def _no_batch(batch_id: str) -> NotFound:
    return NotFound(f"no open or parked batch {batch_id[:80]!r}")
