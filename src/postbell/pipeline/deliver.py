"""From a piece of work to a settled attempt: claim, render, sign, send, judge, settle.

Comes after `held`, which says what to do next; `settle` writes.  Batches here, single events in
`singles`, the next batch of a replay in `replay`; all three attempt through `Courier`.
"""

import random
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from postbell.blocks import Range
from postbell.clock import Clock
from postbell.events import event_id_of
from postbell.pipeline.cut import batch_id
from postbell.pipeline.held import Held
from postbell.pipeline.judge import Judgement, after, in_outage, judge
from postbell.pipeline.match import Selection
from postbell.pipeline.reading import Kept, Place, Reader
from postbell.pipeline.settle import Settler
from postbell.pipeline.work import Again, Cut
from postbell.ports import Dialect, Request, Sender, Signing
from postbell.records import (
    BatchState,
    Entry,
    EntryKind,
    Lane,
    LaneChange,
    OpenBatch,
    Outcome,
    Revision,
    Secret,
    Verdict,
)
from postbell.signals import log
from postbell.signing import active_at

BODIES_BYTES = 32 << 20


class Rendered(NamedTuple):
    """A body and what the id of its batch is made from; no body where every event is gone."""

    body: bytes
    events: int
    first_id: str
    last_id: str
    digest: bytes


class Post(NamedTuple):
    """One attempt: what goes out for which batch, and which number it has."""

    held: Held
    batch: OpenBatch
    revision: Revision
    body: bytes
    attempt: int


class Courier:
    """Signs, sends and judges; keeps bodies that several webhooks share."""

    def __init__(
        self,
        reader: Reader,
        dialects: Mapping[str, Dialect],
        sender: Sender,
        clock: Clock,
        secrets_of: Callable[[Held], list[Secret]],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.reader = reader
        self.clock = clock
        self._dialects = dialects
        self._sender = sender
        self._secrets_of = secrets_of
        self._chance = chance
        self._bodies: Kept[object, Rendered] = Kept(BODIES_BYTES, lambda made: len(made.body))

    async def rendered(
        self, held: Held, part: Range, number: int, blocks: list[int] | None
    ) -> Rendered:
        """Return the body of a range under a revision, made once for all webhooks alike."""
        revision, selection = held.revision(number)
        key = _body_key(held, part, revision, selection)
        made = self._bodies.get(key)
        if made is None:
            places = await self.reader.places(held.webhook.account_id, part, selection, blocks)
            made = self.render(revision, places)
            self._bodies.put(key, made)
        return made

    def render(self, revision: Revision, places: list[Place]) -> Rendered:
        """Return the body of these events under a revision."""
        if not places:
            return Rendered(b"", 0, "", "", b"")
        events = [place.event for place in places]
        body = self._dialects[revision.dialect].render(events, revision.options)
        return Rendered(
            body,
            len(events),
            event_id_of(events[0].raw),
            event_id_of(events[-1].raw),
            blake2b(body, digest_size=16).digest(),
        )

    def overhead_bytes(self, revision: Revision) -> int:
        """Return how much longer than in the log an event of this revision can be."""
        return self._dialects[revision.dialect].overhead_bytes

    async def send(self, post: Post) -> tuple[Outcome, datetime]:
        """Sign and send one attempt; return what the receiver did, and when."""
        held, revision = post.held, post.revision
        dialect = self._dialects[revision.dialect]
        now = self.clock.now()
        kinds = dialect.secret_kinds
        secrets = [s for s in active_at(self._secrets_of(held), now) if s.kind in kinds]
        signing = Signing(
            batch_id=post.batch.id,
            attempt=post.attempt,
            events=post.batch.count,
            at=now,
            secrets=secrets,
        )
        headers = dialect.headers(post.body, signing, revision.options)
        outcome = await self._sender.send(
            Request(
                url=held.webhook.url,
                headers=[*headers, *held.webhook.headers],
                body=post.body,
                timeout_s=held.policy.timeout_s,
                account_id=held.webhook.account_id,
                webhook_id=held.id,
                is_failing=in_outage(held.lane),
            )
        )
        return outcome, self.clock.now()

    def judge(self, post: Post, outcome: Outcome, now: datetime) -> Judgement:
        """Decide what comes of the attempt, and note it in the lane."""
        held = post.held
        lane = held.lane
        judgement = judge(outcome, post.attempt, held.policy, lane, now, self._chance())
        held.lane = after(lane, outcome, judgement, post.batch.count, now)
        if held.lane.failures == 1:
            log("webhook_failing", webhook_id=held.id, why=why(outcome))
        elif lane.failures and judgement.verdict is Verdict.DELIVERED:
            log("webhook_recovered", webhook_id=held.id)
        if judgement.verdict is Verdict.PARK:
            log(
                "batch_parked",
                webhook_id=held.id,
                batch_id=post.batch.id,
                events=post.batch.count,
                why=why(outcome),
            )
        return judgement


class Batches:
    """Cuts batches, and attempts them until they are delivered or given up."""

    def __init__(self, courier: Courier, settler: Settler) -> None:
        self._courier = courier
        self._settler = settler

    async def cut(self, held: Held, work: Cut) -> None:
        """Record the batch, then make its first attempt."""
        try:
            made = await self._courier.rendered(held, work.range, work.revision, work.blocks)
            if work.after is not None:
                await work.after
            batch = self._new(held, work, made)
            is_ours = await self._settler.write(
                held, lambda lane: self._cut_change(lane, work, batch)
            )
        finally:
            if not work.recorded.done():
                work.recorded.set_result(None)
        if not is_ours:
            held.rewind()
        elif batch is not None:
            held.open[batch.id] = batch
            await self.attempt(held, batch, made.body)

    async def again(self, held: Held, work: Again) -> None:
        """Attempt an open batch once more, with the same id and bytes."""
        batch = work.batch
        made = await self._courier.rendered(held, batch.range, batch.revision, None)
        await self.resend(held, batch, made)

    async def resend(self, held: Held, batch: OpenBatch, made: Rendered) -> None:
        """Attempt *batch*, or close it where retention took its events."""
        if made.events:
            await self.attempt(held, batch, made.body)
        else:
            await self._settler.write(held, lambda lane: expiry(lane, held, batch, batch.count))
            held.close(batch.id)

    async def attempt(self, held: Held, batch: OpenBatch, body: bytes) -> None:
        """Send the batch once and settle it."""
        held.out.add(batch.id)
        try:
            revision, _ = held.revision(batch.revision)
            post = Post(held, batch, revision, body, batch.attempts + 1)
            outcome, now = await self._courier.send(post)
            was_out = in_outage(held.lane)
            judgement = self._courier.judge(post, outcome, now)
            left = follow_up(batch, outcome, judgement, now)
            others = _made_due(held, batch, now) if was_out and left is None else ()
            entry = entry_of(post, outcome, judgement, now)
            await self._settler.write(
                held,
                lambda lane: LaneChange(
                    webhook_id=held.id,
                    epoch=lane.epoch,
                    lane=lane,
                    put=(*((left,) if left else ()), *others),
                    drop=() if left else (batch.id,),
                    entries=(entry,),
                    pause=judgement.pause,
                ),
            )
        finally:
            held.out.discard(batch.id)
        held.close(batch.id)
        for each in (*((left,) if left else ()), *others):
            if each.state is BatchState.WAITING:
                held.push(each)

    def _new(self, held: Held, work: Cut, made: Rendered) -> OpenBatch | None:
        if not made.events:
            return None
        now = self._courier.clock.now()
        return OpenBatch(
            id=batch_id(held.id, work.revision, made.first_id, made.last_id, made.events, None),
            webhook_id=held.id,
            revision=work.revision,
            range=work.range,
            count=made.events,
            cut_at=now,
            next_at=now,
            body_hash=made.digest,
        )

    def _cut_change(self, lane: Lane, work: Cut, batch: OpenBatch | None) -> LaneChange | None:
        if lane.cursor != work.range.start:
            return None
        missing = work.events - (batch.count if batch else 0)
        lost = Entry(
            kind=EntryKind.EXPIRED,
            at=self._courier.clock.now(),
            account_id=lane.account_id,
            webhook_id=lane.webhook_id,
            revision=work.revision,
            batch_id="",
            range=Range(work.range.start, work.range.start),
            count=missing,
        )
        return LaneChange(
            webhook_id=lane.webhook_id,
            epoch=lane.epoch,
            lane=msgspec.structs.replace(lane, cursor=work.range.end),
            put=(batch,) if batch else (),
            entries=(lost,) if missing else (),
        )


def follow_up(
    batch: OpenBatch, outcome: Outcome, judgement: Judgement, now: datetime
) -> OpenBatch | None:
    """Return the batch as the attempt leaves it open, None once it is delivered."""
    if judgement.verdict is Verdict.DELIVERED:
        return None
    is_parked = judgement.verdict is Verdict.PARK
    return msgspec.structs.replace(
        batch,
        state=BatchState.PARKED if is_parked else BatchState.WAITING,
        parked_at=now if is_parked else None,
        attempts=batch.attempts + 1,
        next_at=None if is_parked else judgement.next_at,
        last_status=outcome.status,
        last_error=outcome.error,
    )


def entry_of(post: Post, outcome: Outcome, judgement: Judgement, now: datetime) -> Entry:
    """Return the journal's line for an attempt; a good answer's head and body are not kept."""
    is_delivered = judgement.verdict is Verdict.DELIVERED
    if is_delivered:
        outcome = msgspec.structs.replace(outcome, headers=(), body=b"")
    return Entry(
        kind=EntryKind.ATTEMPT,
        at=now,
        account_id=post.held.webhook.account_id,
        webhook_id=post.batch.webhook_id,
        revision=post.batch.revision,
        batch_id=post.batch.id,
        range=post.batch.range,
        count=post.batch.count,
        attempt=post.attempt,
        delivered=post.batch.count if is_delivered else 0,
        verdict=judgement.verdict,
        next_at=judgement.next_at,
        outcome=outcome,
        body_bytes=len(post.body),
        replay_id=post.batch.replay_id,
    )


def expiry(lane: Lane, held: Held, batch: OpenBatch, events: int) -> LaneChange:
    """Return the change that closes a batch whose events retention took."""
    log("events_expired", webhook_id=held.id, events=events)
    entry = Entry(
        kind=EntryKind.EXPIRED,
        at=batch.cut_at,
        account_id=lane.account_id,
        webhook_id=held.id,
        revision=batch.revision,
        batch_id=batch.id,
        range=batch.range,
        count=events,
        replay_id=batch.replay_id,
    )
    return LaneChange(
        webhook_id=held.id, epoch=lane.epoch, lane=lane, drop=(batch.id,), entries=(entry,)
    )


def why(outcome: Outcome) -> str:
    """Return a failed outcome in a word: the status, or the error."""
    return outcome.error or str(outcome.status)


def _made_due(held: Held, delivered: OpenBatch, now: datetime) -> tuple[OpenBatch, ...]:
    """Return every other waiting batch, due now: the outage is over."""
    return tuple(
        msgspec.structs.replace(batch, next_at=now)
        for batch in held.open.values()
        if batch.id != delivered.id and batch.id not in held.out
    )


def _body_key(held: Held, part: Range, revision: Revision, selection: Selection) -> object:
    return (
        held.webhook.account_id,
        part,
        revision.dialect,
        msgspec.json.encode(revision.options, order="sorted"),
        selection.weights,
        selection.api_user_id,
    )
