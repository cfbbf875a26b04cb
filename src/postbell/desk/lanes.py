"""What a person does to a webhook's delivery: pause, resume, skip, try again, park."""

from contextlib import nullcontext
from datetime import datetime

from msgspec.structs import replace

from postbell.desk import noting
from postbell.desk.skipping import Skipping
from postbell.desk.stopping import Stopping, no_batch
from postbell.errors import Conflict, NotFound
from postbell.lane import changes
from postbell.lane.changes import Skipped
from postbell.ports import Claim
from postbell.reading.found import Found, narrowed, passing
from postbell.reading.match import Selection
from postbell.reading.reader import Reader
from postbell.records import (
    BatchState,
    LaneChange,
    OpenBatch,
    ReplayFilter,
    Revision,
    Webhook,
    WebhookState,
)
from postbell.trail import Change

OPENED_AT_ONCE = 1000


class Lanes(Stopping):
    """Changes of lanes go through `Ledger.intervene`, so that the worker notices them."""

    async def pause(
        self, account_id: int | None, webhook_id: int, reason: str = "customer"
    ) -> Webhook:
        """Stop delivering; events wait in the log.  *reason* is "customer" or "operator"."""
        return await self._set_state(account_id, webhook_id, WebhookState.PAUSED, reason)

    async def resume(
        self,
        account_id: int | None,
        webhook_id: int,
        *,
        skip: bool = False,
        parked: bool = False,
    ) -> Webhook:
        """Deliver again, everything that waits being due now.

        *skip* leaves out all that waits, in batches and in the log: it is counted and journaled
        as skipped.  Replays of the webhook go on.  Raises Conflict where a request of the webhook
        is under way for longer than STILL_S.
        *parked* opens parked batches again, with all their retries.  Resuming an active
        webhook only makes due what waits: since when it fails, and how often, stays, until it
        takes something.  More parked ones than OPENED_AT_ONCE are opened in several writes.
        """
        webhook = await self.find_webhook(account_id, webhook_id)
        now = self.clock.now()
        skipping = Skipping(self.engine, self.dialects, webhook, now)
        is_paused = webhook.state is WebhookState.PAUSED
        opened: list[OpenBatch] = []

        async def step(claim: Claim) -> LaneChange:
            skipped: Skipped | None = None
            waiting = await self._waiting(claim)
            if skip:
                self.check_still(claim)
                skipped = await skipping.all_waiting(claim._replace(batches=waiting))
            opened[:] = await self._parked_batches(webhook_id, "") if parked else ()
            gone = set(skipped.drop if skipped is not None else ())
            put = [
                due(batch, now)
                for batch in (*waiting, *opened)
                if batch.done is None
                and batch.id not in gone
                and not (claim.has_more and _is_due(batch, now))
            ]
            return changes.resumed(claim.lane, put, was_paused=is_paused, skipped=skipped)

        def note(claim: Claim, change: LaneChange) -> Change | None:
            return _resumption(webhook, claim, change, len(opened))

        async with self.all_stopped(webhook_id) if skip else nullcontext():
            await self._intervene(webhook_id, step, note)
        while opened:
            await self._open_next(webhook, opened, now)
        return await self._set_state(account_id, webhook_id, WebhookState.ACTIVE, "")

    async def retry_batch(self, batch_id: str, account_id: int | None = None) -> OpenBatch:
        """Make an open batch due now; a parked one is opened again, with all its retries."""
        webhook, _ = await self.open_batch_of(batch_id, account_id)
        if webhook.state is WebhookState.PAUSED:
            raise Conflict(
                f"webhook {webhook.id} is paused ({webhook.state_reason}); resume it first",
                reason="webhook_paused",
            )
        now = self.clock.now()
        retried: list[OpenBatch] = []

        async def step(claim: Claim) -> LaneChange:
            retried[:] = [due(await self.still_open(batch_id), now)]
            return changes.hurried(claim.lane, retried)

        await self._intervene(
            webhook.id,
            step,
            lambda *_: noting.of_batch(
                "batch.retried", webhook, retried[-1], {"events": retried[-1].count}
            ),
            most=0,
        )
        return retried[-1]

    async def park_batch(self, batch_id: str, account_id: int | None = None) -> OpenBatch:
        """Give a waiting batch up by hand; it stays visible and can be sent again.

        Raises Conflict where a request of it is under way, or it came to its end meanwhile.
        """
        webhook, found = await self.open_batch_of(batch_id, account_id)
        if found.state is BatchState.PARKED:
            return found
        now = self.clock.now()
        parked = []

        async def step(claim: Claim) -> LaneChange:
            batch = await self.still(claim, batch_id)
            parked.append(
                replace(batch, state=BatchState.PARKED, parked_at=now, next_at=None, stop=None)
            )
            return changes.changed(claim.lane, parked[-1])

        def note(*_: object) -> Change:
            return noting.of_batch(
                "batch.parked", webhook, parked[-1], {"events": parked[-1].count}
            )

        async with self.stopped(webhook, batch_id) as found:
            if found.state is BatchState.PARKED:
                return found
            await self._intervene(webhook.id, step, note, most=0)
        return parked[-1]

    async def open_batch_of(
        self, batch_id: str, account_id: int | None
    ) -> tuple[Webhook, OpenBatch]:
        """Return an open or parked batch of the account with its webhook; raise NotFound."""
        found = await self.still_open(batch_id)
        try:
            return await self.find_webhook(account_id, found.webhook_id), found
        except NotFound:
            raise no_batch(batch_id) from None

    async def _parked_batches(self, webhook_id: int, after: str) -> list[OpenBatch]:
        return await self.engine.ledger.open_batches(
            webhook_id=webhook_id, state=BatchState.PARKED, after=after, limit=OPENED_AT_ONCE
        )

    async def _open_next(self, webhook: Webhook, opened: list[OpenBatch], now: datetime) -> None:
        """Open the parked batches after those last *opened*, which become these."""
        after = opened[-1].id

        async def step(claim: Claim) -> LaneChange | None:
            opened[:] = await self._parked_batches(webhook.id, after)
            put = [due(batch, now) for batch in opened]
            return changes.hurried(claim.lane, put, is_held=True) if put else None

        await self._intervene(
            webhook.id,
            step,
            lambda _, change: noting.of_webhook(
                "batches.retried", webhook, None, {"batches": len(change.put)}
            ),
            most=0,
        )

    async def events_of(self, webhook: Webhook, batch: OpenBatch) -> Found:
        """Return the events of an open batch, those that its replay's filter passes."""
        revision = revision_of(webhook, batch)
        selection = Selection.of(self.dialects[revision.dialect], revision)
        wanted = ReplayFilter()
        if batch.replay_id is not None:
            wanted = (await self.find_replay(webhook.account_id, batch.replay_id)).filter
        found = await Reader(self.engine.log).events(
            webhook.account_id, batch.range, narrowed(selection, wanted)
        )
        return passing(found, wanted)

    async def _set_state(
        self, account_id: int | None, webhook_id: int, state: WebhookState, reason: str
    ) -> Webhook:
        """Bring a webhook into this state; one that is in it already is left as it is."""

        def change(webhook: Webhook) -> Webhook:
            if webhook.state is state:
                return webhook
            now = self.clock.now()
            return replace(
                webhook,
                state=state,
                state_reason=reason,
                updated_at=now,
                active_since=now if state is WebhookState.ACTIVE else webhook.active_since,
            )

        action = "webhook.paused" if state is WebhookState.PAUSED else "webhook.resumed"
        _, webhook = await self._rewrite(account_id, webhook_id, change, action)
        await self.directory.refresh()
        return webhook


def _resumption(webhook: Webhook, claim: Claim, change: LaneChange, opened: int) -> Change | None:
    """Say what a resumption does to what waits; that the webhook was resumed is said with its
    state."""
    skipped = sum(entry.count for entry in change.entries)
    if skipped or opened:
        told = {"events": skipped, "batches": opened}
        action = "events.skipped" if skipped else "batches.retried"
        return noting.of_webhook(action, webhook, None, {n: v for n, v in told.items() if v})
    is_hurried = bool(change.put) or change.lane != claim.lane
    if webhook.state is WebhookState.ACTIVE and is_hurried:
        return noting.of_webhook("webhook.hurried", webhook, None, {"batches": len(change.put)})
    return None


def _is_due(batch: OpenBatch, now: datetime) -> bool:
    return batch.next_at is not None and batch.next_at <= now


def due(batch: OpenBatch, now: datetime) -> OpenBatch:
    """Return the batch due at *now*; a parked one begins its retries anew."""
    if batch.state is BatchState.WAITING:
        return replace(batch, next_at=now)
    return replace(
        batch, state=BatchState.WAITING, attempts=0, next_at=now, parked_at=None, opened_at=now
    )


def revision_of(webhook: Webhook, batch: OpenBatch) -> Revision:
    """Return the revision under which a batch of the webhook was cut."""
    return next(each for each in webhook.revisions if each.number == batch.revision)
