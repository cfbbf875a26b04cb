"""A lane in a worker's hands: what to do next for one webhook.

Fed with headers by `worker`, asked by its pumps for work, which `deliver` does.  Nothing here
waits or writes: the time goes in, the next piece of work comes out.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from postbell import policies
from postbell.blocks import BlockHeader, Position
from postbell.body_limits import in_force
from postbell.lane.ahead import Ahead
from postbell.lane.cut import Limits
from postbell.lane.due import Due
from postbell.lane.intake import Intake
from postbell.lane.judge import in_outage, merged
from postbell.lane.late import Late
from postbell.lane.lawful import lawful_batch, lawful_lane
from postbell.lane.pace import Pace
from postbell.lane.passes import Passes
from postbell.lane.run import Run, chained, run_key, taken_over
from postbell.lane.sizes import Sizes
from postbell.lane.work import Again, Cut, Load, Single, Step, Work
from postbell.ports import Claim, Dialect
from postbell.reading.match import Selection
from postbell.records import (
    Lane,
    LaneChange,
    OpenBatch,
    Policy,
    Revision,
    Webhook,
    WebhookState,
)

MAX_OPEN = 64
MAX_OPEN_SINGLE = 1000
MAX_RUNS = 4


class Held:
    """One webhook's lane.

    *turn* serialises writes of the lane's row, so that the cursor never overtakes a cut that
    failed to be written.  *runs* are in the order of the log, each beginning where the one
    before it ends.  *opening* is a batch that was recorded, perhaps by another worker, and is
    now read to be sent for the first time: nothing else is begun before it.
    """

    lane: Lane
    _recorded: Lane
    webhook: Webhook
    intake: Intake
    open: dict[str, OpenBatch]

    def __init__(
        self,
        claim: Claim,
        webhook: Webhook,
        now: datetime,
        dialects: Mapping[str, Dialect],
        installation: Mapping[str, Mapping[str, Any]],
        ahead: Ahead | None = None,
    ) -> None:
        self.turn = asyncio.Lock()
        self.pumps = 0
        self.starting = 0
        self.in_flight = 0
        self.out: set[str] = set()
        self.due = Due({}, self.out)
        self.opening = ""
        self.runs: deque[Run] = deque()
        self.pace = Pace()
        self.late: list[Late] = []
        self.is_reading = False
        self.is_saving = False
        self.is_gone = False
        self.is_passed_over = False
        self._last_cut: asyncio.Future[None] | None = None
        self._cutting = 0
        self.sizes = Sizes()
        self.passes = Passes()
        self._ahead = ahead or Ahead()
        self._dialects = dialects
        self._installation = installation
        self.reload(claim, webhook, now)

    def reload(self, claim: Claim, webhook: Webhook, now: datetime) -> None:
        """Take over what the ledger and the registry say now; requests in flight go on."""
        is_new = not hasattr(self, "intake")
        is_same = not is_new and (claim.lane.cursor, webhook.revisions, webhook.policy) == (
            self.lane.cursor,
            self.webhook.revisions,
            self.webhook.policy,
        )
        has_moved = not is_new and claim.lane.cursor != self.lane.cursor
        start = claim.lane.cursor if is_new or has_moved else self.intake.gather.start
        ours = claim.lane if is_new else merged(self._recorded, self.lane, claim.lane)
        self.lane = lawful_lane(ours, now)
        self._recorded = claim.lane
        self.webhook = webhook
        self.pace.probe_at = None
        self.has_more = claim.has_more
        self.policy = policies.of_webhook(webhook, self._dialects, self._installation)
        waiting = claim.batches
        left = [] if is_new or has_moved else [b for b in self.open.values() if b.next_at is None]
        recorded = [b for b in waiting if b.done is not None]
        self.runs = taken_over(self.runs, recorded, has_moved=has_moved)
        self.passes.reload(claim.replays)
        self._take_open((b for b in (*left, *waiting) if b.done is None), now)
        if not is_same:
            self._restart(start)
            self._forget_crossing()

    def reread(self, now: datetime) -> None:
        """Take every moment for what it can be at most: the clock was set."""
        self.lane = lawful_lane(self.lane, now)
        self.passes.reread()
        self._take_open(self.open.values(), now)

    def _take_open(self, batches: Iterable[OpenBatch], now: datetime) -> None:
        self.open = {b.id: lawful_batch(b, self.policy, now) for b in batches}
        self.due = Due(self.open, self.out, self.open.keys() & self.due.ahead)

    @property
    def id(self) -> int:
        return self.webhook.id

    @property
    def is_single(self) -> bool:
        """Say whether one event per POST is sent of what is gathered now, in runs."""
        return self.policy_of(self.intake.revision).max_events == 1

    def revision(self, number: int) -> tuple[Revision, Selection]:
        """Return a revision of the webhook and what it selects."""
        return self.intake.selection(number)

    def policy_of(self, revision: Revision) -> Policy:
        """Return the policy in force; batches of an older revision are at most as large as its
        own dialect makes them by default: it may not be able to write larger ones."""
        if revision.number == self.webhook.revisions[-1].number:
            return self.policy
        most = self._dialects[revision.dialect].policy(revision.options).max_events
        return msgspec.structs.replace(self.policy, max_events=min(self.policy.max_events, most))

    def limits(self, revision: Revision) -> Limits:
        """Return what ends a batch of this revision."""
        return self.sizes.limits(revision.number, self.policy_of(revision))

    def moved_to(self, change: LaneChange) -> None:
        """Take over what a written change did to the lane's place and stop, and to the webhook."""
        if (now := change.lane) is not None:
            self.lane = msgspec.structs.replace(self.lane, cursor=now.cursor, stop=now.stop)
            self._recorded = now
        if change.pause:
            self.webhook = msgspec.structs.replace(
                self.webhook, state=WebhookState.PAUSED, state_reason=change.pause
            )

    @property
    def idle_blocks(self) -> int:
        """Return by how many block ids the recorded cursor is behind what was looked through,
        0 while something of it is still to be delivered."""
        if self.intake.gather.count or self.in_flight or self.runs:
            return 0
        return self.intake.gather.end.block - self.lane.cursor.block

    @property
    def is_drained(self) -> bool:
        """Say whether nothing of the log waits to be cut: all of it was looked through."""
        is_empty = not (self.intake.gather.count or self.in_flight or self.runs)
        return is_empty and not self.intake.is_behind

    @property
    def is_busy(self) -> bool:
        """Say whether something is on its way or still to be saved."""
        return bool(self.is_saving or self.late or self.in_flight or self.is_reading or self.pumps)

    @property
    def has_unsent(self) -> bool:
        """Say whether a batch that was cut is still to be sent for the first time."""
        return bool(self.opening) or self.due.has_unsent

    def catch_up(self) -> bool:
        """Gather from what was read ahead; False when the log must be read first."""
        is_enough = self.intake.catch_up()
        if in_outage(self.lane):
            self.intake.forget_ahead()
        return is_enough

    def push(self, batch: OpenBatch) -> None:
        """Put a waiting batch on its retry clock."""
        self.open[batch.id] = batch
        self.due.push(batch)

    def leave(self, batch: OpenBatch) -> None:
        """Count a single that left its run; `push` makes it due once the run is saved.

        An attempt before would be settled first, and undone by the save.
        """
        self.open[batch.id] = msgspec.structs.replace(batch, next_at=None)

    def close(self, batch_id: str) -> None:
        """Forget a batch that is delivered, parked or dropped."""
        self.open.pop(batch_id, None)
        self.due.ahead.discard(batch_id)

    def settled(self, late: Sequence[Late]) -> None:
        """Forget deliveries that are written down now: the first ones that were late."""
        del self.late[: len(late)]
        for each in late:
            self.out.discard(each.batch_id)
            self.close(each.batch_id)

    def take(self, now: datetime) -> Work | None:
        """Return the next piece of work, None when there is none that may be done now.

        Who takes it calls `give_back` once it is done.
        """
        if self.blocked_until(now) is not None or self.opening or not self._has_room():
            return None
        self._learn(now)
        work = self._choose(now)
        if work is None:
            return None
        self.in_flight += 1
        if not isinstance(work, Load):
            self.pace.spend(now, self.policy.rate_per_s)
        if isinstance(work, Again):
            self.out.add(work.batch.id)
            self.opening = "" if work.batch.attempts else work.batch.id
        elif isinstance(work, Step):
            self.passes.begin(work.replay)
        return work

    def give_back(self, work: Work) -> None:
        """Say that *work* is over, whatever came of it."""
        self.in_flight -= 1
        match work:
            case Again():
                if all(each.batch_id != work.batch.id for each in self.late):
                    self.out.discard(work.batch.id)
                self.opening = "" if self.opening == work.batch.id else self.opening
            case Step():
                self.passes.stepped(work.replay)
            case Load():
                work.run.is_loading = False
            case Cut() | Single():
                pass

    def cut_ended(self, work: Cut) -> None:
        """Say that a cut is recorded, or came to nothing."""
        self._cutting -= len(work.pieces)
        self._ahead.under_way -= len(work.pieces) - 1
        if work.after is None or work.after.done():
            work.end()
        else:  # what came before it is not over: who waits for this waits for that, too
            work.after.add_done_callback(work.end)

    def put_back(self, work: Work) -> None:
        """Let work that could not be done, because storage failed us, be taken again."""
        match work:
            case Cut():
                self.rewind()
            case Again() if work.batch.id in self.open:  # nobody took it away meanwhile
                self.push(self.open[work.batch.id])
            case _:
                pass

    def rewind(self) -> None:
        """Gather again from the recorded cursor, or where its runs end: a cut came to nothing."""
        self.runs, end = chained(self.runs, self.lane.cursor)
        self._restart(end)

    def judged(self, lane: Lane, now: datetime, chance: float) -> None:
        """Take over what an outcome made of the lane."""
        self.lane = lane
        self.pace.judged(lane, now, chance)
        self._learn(now)

    def feed(self, header: BlockHeader, now: datetime) -> bool:
        """Take notice of a new block; say whether something can be done of it now.

        A lane that is failing only notes that there is more to read.
        """
        if self.pace.is_down(now) and self.intake.gather.count:
            self.intake.fall_behind()
            return False
        self.intake.feed(header)
        has_more = bool(self.intake.gather.count or self.intake.is_behind)
        return has_more and not self.pace.is_down(now) and self._has_room()

    def blocked_until(self, now: datetime) -> datetime | None:
        """Return until when nothing may be sent at all, None when something may."""
        if self.webhook.state is WebhookState.PAUSED or self.is_gone:
            return _NEVER
        return self.pace.blocked_until(self.lane, now)

    def next_due(self, now: datetime) -> datetime | None:
        """Return when to look again, provided that nothing else happens."""
        blocked = self.blocked_until(now)
        if blocked is not None:
            return None if blocked is _NEVER else blocked
        may_begin = not self.pace.is_down(now)
        due_at = self.due.next_at(is_ordered=self.policy.ordered, may_begin=may_begin)
        cut_at = self.intake.gather.due_at(now) if self._may_cut() else None
        known = (self.pace.probe_at, due_at, cut_at)
        moments = (*self.passes.moments(), *filter(None, known))
        later = [moment for moment in moments if moment > now]
        return min(later) if later else None

    def _learn(self, now: datetime) -> None:
        before = self.sizes.most_bytes
        self.sizes.learn(in_force(self.lane.body_limit, self.webhook.updated_at, now))
        if self.sizes.most_bytes != before and not self.intake.gather.count:
            self.intake.gather.limits = self.limits(self.intake.revision)

    def _choose(self, now: datetime) -> Work | None:
        may_begin = not self.pace.is_down(now)
        due = self.due.pop(now, is_ordered=self.policy.ordered, may_begin=may_begin)
        if due is not None:
            return Again(due)
        if not may_begin or (self.policy.ordered and (self.open or self.has_more)):
            return None
        is_first_known = True
        for run in self.runs:
            if run.has_more and is_first_known:
                return Single(run, run.take())
            if not run.found and not run.is_done and not run.is_loading:
                run.is_loading = True
                return Load(run)
            is_first_known = is_first_known and not run.is_loading
        replay = self.passes.next(now)
        if replay is not None and len(self.open) < self._max_open():
            return Step(replay)
        cut_at = self.intake.gather.due_at(now)
        if cut_at is None or cut_at > now or not self._may_cut():
            return None
        if self.is_single and self.intake.gather.count:
            return self._cut_run(now)
        return self._cut() if all(run.is_saved for run in self.runs) else None

    def _cut(self) -> Cut:
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = Cut(self.intake.cut_pieces(self._depth()), self._last_cut, recorded)
        self._last_cut = recorded
        self._cutting += len(work.pieces)
        self._ahead.under_way += len(work.pieces) - 1
        return work

    def _depth(self) -> int:
        """Return how many full batches may be cut at once."""
        if self.policy.ordered or self.policy.rate_per_s > 0 or self.lane.failures:
            return 1
        return min(self._ahead.depth(), self._max_open() - len(self.open) - self._cutting)

    def _cut_run(self, now: datetime) -> Load:
        revision = self.intake.revision.number
        gather = self.intake.cut()
        key = run_key(self.id, revision, gather.range)
        run = Run(key, gather.range, revision, gather.count, now, blocks=gather.blocks)
        run.is_loading = True
        self.runs.append(run)
        return Load(run, self._last_cut)

    def _forget_crossing(self) -> None:
        """Forget runs that were begun without knowing of a revision that begins inside them."""
        for at, run in enumerate(self.runs):
            if not run.is_saved and not self.intake.is_within(run.range, run.revision):
                self.runs = deque(list(self.runs)[:at])
                self._restart(run.range.start)
                return

    def _restart(self, start: Position) -> None:
        """Gather from *start*, reading the log from there."""
        selections = [
            Selection.of(self._dialects[revision.dialect], revision)
            for revision in self.webhook.revisions
        ]
        self.intake = Intake(self.webhook.revisions, selections, self.limits, start)

    def _has_room(self) -> bool:
        is_alone = in_outage(self.lane) or self.policy.ordered
        return self.in_flight < (1 if is_alone else self.policy.concurrency)

    def _max_open(self) -> int:
        return MAX_OPEN_SINGLE if self.is_single else MAX_OPEN

    def _may_cut(self) -> bool:
        is_full = self.has_more or len(self.open) + self._cutting >= self._max_open()
        return not is_full and not self.is_passed_over and len(self.runs) < MAX_RUNS


_NEVER = datetime.max.replace(tzinfo=UTC)
