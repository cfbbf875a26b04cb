"""A lane in a worker's memory, as the ledger says it is.  Part of `held`.

What was written comes back by `apply`, and by nothing else; what somebody else changed by `reload`.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from postbell import policies
from postbell.blocks import Position
from postbell.body_limits import in_force
from postbell.lane.cut import Limits
from postbell.lane.effort import effort_of
from postbell.lane.gate import Facts, Stand, gate
from postbell.lane.intake import Intake
from postbell.lane.judge import in_outage, merged
from postbell.lane.late import Late
from postbell.lane.lawful import lawful_batch, lawful_lane
from postbell.lane.pace import Pace
from postbell.lane.passes import Passes
from postbell.lane.run import Run, chained, taken_over
from postbell.lane.sizes import Sizes
from postbell.lane.slots import Slots
from postbell.lane.stage import Stage
from postbell.lane.tickets import Tickets
from postbell.ports import Claim, Dialect
from postbell.reading.match import Selection
from postbell.records import (
    BatchState,
    Lane,
    LaneChange,
    OpenBatch,
    Policy,
    Revision,
    Webhook,
    WebhookState,
)


class Image:
    """What is held of one webhook's lane.

    One thing of it is written at a time, each in its turn of *writes*, so that the cursor never
    overtakes a cut that failed to be written.  *runs* are in the order of the log, each beginning
    where the one before it ends.  *late* is what receivers took and is not written down yet.
    *effort* is the work that was done of it here, *told_work* that of a second where it was before.
    """

    def __init__(
        self,
        claim: Claim,
        webhook: Webhook,
        now: datetime,
        dialects: Mapping[str, Dialect],
        installation: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.writes = Tickets()
        self.slots = Slots()
        self.runs: deque[Run] = deque()
        self.pace = Pace()
        self.sizes = Sizes()
        self.passes = Passes()
        self.late: list[Late] = []
        self.is_gone = False
        self.effort = 0.0
        self.told_work = claim.work
        self._dialects = dialects
        self._installation = installation
        self._take_over(claim, claim.lane, webhook, now)
        self._restart(self.lane.cursor)

    def reload(self, claim: Claim, webhook: Webhook, now: datetime) -> None:
        """Take over what the ledger and the registry say now; requests in flight go on."""
        before = self.lane.cursor, self.webhook.revisions, self.webhook.policy
        has_moved = claim.lane.cursor != self.lane.cursor
        start = claim.lane.cursor if has_moved else self.intake.gather.start
        ours = merged(self._recorded, self.lane, claim.lane)
        self._take_over(claim, ours, webhook, now, has_moved=has_moved)
        if before != (claim.lane.cursor, webhook.revisions, webhook.policy):
            self._restart(start)
            self._forget_crossing()

    def _take_over(
        self, claim: Claim, ours: Lane, webhook: Webhook, now: datetime, *, has_moved: bool = False
    ) -> None:
        self.lane = lawful_lane(ours, now)
        self._recorded = claim.lane
        self.webhook = webhook
        self.pace.probe_at = None
        self.has_more = claim.has_more
        self.policy = policies.of_webhook(webhook, self._dialects, self._installation)
        recorded = [batch for batch in claim.batches if batch.done is not None]
        self.passes.reload(claim.replays)
        waiting = (batch for batch in claim.batches if batch.done is None)
        self.slots.reload(
            [lawful_batch(batch, self.policy, now) for batch in waiting],
            has_more=claim.has_more,
        )
        self._hold_runs(taken_over(self.runs, recorded, has_moved=has_moved))

    def reread(self, now: datetime) -> None:
        """Take every moment for what it can be at most: the clock was set."""
        self.lane = lawful_lane(self.lane, now)
        self.passes.reread()
        self.slots.reread(lambda batch: lawful_batch(batch, self.policy, now))

    @property
    def id(self) -> int:
        return self.webhook.id

    def revision(self, number: int) -> tuple[Revision, Selection]:
        """Return a revision of the webhook and what it selects."""
        return self.intake.selection(number)

    def policy_of(self, revision: Revision) -> Policy:
        """Return the policy in force for batches of a revision."""
        return policies.of_revision(self.policy, self.webhook, revision, self._dialects)

    def limits(self, revision: Revision) -> Limits:
        """Return what ends a batch of this revision."""
        return self.sizes.limits(revision.number, self.policy_of(revision))

    def apply(self, change: LaneChange, cut: Sequence[str] = ()) -> None:
        """Bring the lane to what was written.

        *cut* are batches that are cut by it, in order: who wrote it sends the first at once, unless
        one that was cut before is still to be sent for the first time.
        """
        self.lane = msgspec.structs.replace(self.lane, writes=self.lane.writes + 1)
        if (now := change.lane) is not None:
            self.lane = msgspec.structs.replace(
                self.lane, cursor=now.cursor, stop=now.stop, delivered=now.delivered
            )
            self._recorded = now
            self.intake.passed(now.cursor)
        first = cut[0] if cut and not self.slots.has_unsent else ""
        for batch_id in change.drop:
            self.slots.close(batch_id)
        for batch in change.put:
            if batch.state is BatchState.PARKED:
                self.slots.close(batch.id)
            elif batch.done is None:
                new = Stage.AHEAD if batch.id in cut else Stage.DUE
                self.slots.write(batch, Stage.OUT if batch.id == first else new)
        self.effort += effort_of(change.entries)
        if self.runs:
            self._apply_to_runs(change)
        if change.replay is not None:
            self.passes.moved(change.replay)
        if change.pause:
            self.webhook = msgspec.structs.replace(
                self.webhook, state=WebhookState.PAUSED, state_reason=change.pause
            )

    def _apply_to_runs(self, change: LaneChange) -> None:
        """Keep those that are recorded; each that was named and is not is done, or passed over."""
        recorded = {batch.id for batch in change.put if batch.done is not None}
        for run in self.runs:
            if run.key in recorded:
                run.saved(change)
        if change.drop:
            gone = set(change.drop)
            self._hold_runs(run for run in self.runs if run.key not in gone)

    def all_due(self, now: datetime, but: str = "") -> tuple[OpenBatch, ...]:
        """Return every batch that waits for its retry *but* one, due now: the outage is over.  What
        left runs that are to be saved is due with them."""
        for run in self.runs:
            run.hurry(now)
        return tuple(
            msgspec.structs.replace(batch, next_at=now)
            for batch in self.slots.waiting()
            if batch.id != but and batch.next_at is not None
        )

    def took(self, late: Late) -> None:
        """Hold a delivery that is to be written down with what is written next."""
        self.slots.took(late.batch_id)
        self.late.append(late)

    def settled(self, late: Sequence[Late]) -> None:
        """Forget deliveries that are written down now: the first ones that were late."""
        del self.late[: len(late)]
        for each in late:
            self.slots.close(each.batch_id)

    def lost(self) -> None:
        """Hold the lane no more: another has it, or nobody can."""
        self.is_gone = True
        self.late.clear()

    def stand(self, now: datetime) -> Stand:
        """Return at which gate the lane stands."""
        pace = self.pace
        facts = Facts(
            self.is_gone,
            self.webhook.state is WebhookState.PAUSED,
            pace.held_until(self.lane, now),
            pace.spaced_until(now),
            pace.down_until(now),
            in_outage(self.lane) or pace.is_recovering,
        )
        return gate(facts, now)

    def judged(self, lane: Lane, now: datetime, chance: float) -> None:
        """Take over what an outcome made of the lane."""
        self.pace.judged(self.lane, lane, now, chance)
        self.lane = lane
        self._learn(now)

    def rewind(self) -> None:
        """Gather again from the recorded cursor, or where its runs end: a cut came to nothing."""
        runs, end = chained(self.runs, self.lane.cursor)
        self._hold_runs(runs)
        self._restart(end)

    def _hold_runs(self, runs: Iterable[Run]) -> None:
        """Hold these runs and no others, nor what left others: the ledger never hears of that."""
        self.runs = deque(runs)
        self.slots.keep_leaving({batch.id for run in self.runs for batch in run.leavers})

    def _learn(self, now: datetime) -> None:
        before = self.sizes.most_bytes
        self.sizes.learn(in_force(self.lane.body_limit, self.webhook.updated_at, now))
        if self.sizes.most_bytes != before and not self.intake.gather.count:
            self.intake.gather.limits = self.limits(self.intake.revision)

    def _forget_crossing(self) -> None:
        """Forget runs that were begun without knowing of a revision that begins inside them."""
        for at, run in enumerate(self.runs):
            if not run.is_saved and not self.intake.is_within(run.range, run.revision):
                self._hold_runs(list(self.runs)[:at])
                self._restart(run.range.start)
                return

    def _restart(self, start: Position) -> None:
        """Gather from *start*, reading the log from there."""
        selections = [
            Selection.of(self._dialects[revision.dialect], revision)
            for revision in self.webhook.revisions
        ]
        self.intake = Intake(self.webhook.revisions, selections, self.limits, start)
