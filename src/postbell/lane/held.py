"""A lane in a worker's hands: what to do next for one webhook.

Fed with headers by `worker`, asked by its pumps for work, which `batches` and its siblings do.
Nothing here waits or writes: the time goes in, the next piece of work comes out.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, assert_never

from postbell.blocks import BlockHeader
from postbell.lane.ahead import Ahead
from postbell.lane.gate import Gate, Stand
from postbell.lane.image import Image
from postbell.lane.judge import in_outage
from postbell.lane.run import Run, run_key
from postbell.lane.stage import Stage
from postbell.lane.tickets import Tickets
from postbell.lane.work import Again, Cut, Load, Single, Step, Work
from postbell.ports import Claim, Dialect
from postbell.records import Webhook

MAX_OPEN = 64
MAX_OPEN_SINGLE = 1000
MAX_RUNS = 4


class Held(Image):
    """One webhook's lane: work of it is begun in the order in which it was taken, and what is cut
    recorded in that order, however long its bodies take."""

    def __init__(
        self,
        claim: Claim,
        webhook: Webhook,
        now: datetime,
        dialects: Mapping[str, Dialect],
        installation: Mapping[str, Mapping[str, Any]],
        ahead: Ahead | None = None,
    ) -> None:
        super().__init__(claim, webhook, now, dialects, installation)
        self.pumps = 0
        self._before: Held | None = None
        self.in_flight = 0
        self.is_saving = False
        self.sure_until_s = float("-inf")
        self._is_leaving = False
        self._queue: deque[Work] = deque()
        self._is_reading = False
        self._is_passed_over = False
        self._cuts = Tickets()
        self._cutting = 0
        self._ahead = ahead or Ahead()

    @property
    def is_single(self) -> bool:
        """Say whether one event per POST is sent of what is gathered now, in runs."""
        return self.policy_of(self.intake.revision).max_events == 1

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

    def behind_s(self, now: datetime) -> float:
        """Return for how long what is gathered could have been cut, 0 while nothing may be sent."""
        due_at = self.intake.gather.due_at(now)
        if due_at is None or due_at >= now or not self.stand(now).row.may_send:
            return 0.0
        return (now - due_at).total_seconds()

    @property
    def is_busy(self) -> bool:
        """Say whether something is on its way or still to be saved."""
        return bool(self.is_saving or self.late or self.in_flight or self._is_reading or self.pumps)

    def may_read(self) -> bool:
        """Say whether the log is to be read for it now; then it is, until `was_read`."""
        if self._is_reading or self.catch_up():
            return False
        self._is_reading = True
        return True

    def was_read(self) -> None:
        self._is_reading = False

    def may_save(self) -> bool:
        """Say whether nobody waits to save the runs; then somebody does, until `saves`."""
        is_first, self.is_saving = not self.is_saving, True
        return is_first

    def saves(self) -> None:
        self.is_saving = False

    def catch_up(self) -> bool:
        """Gather from what was read ahead; False when the log must be read first."""
        is_enough = self.intake.catch_up()
        if in_outage(self.lane):
            self.intake.forget_ahead()
        return is_enough

    @property
    def is_at_work(self) -> bool:
        """Say whether a request of it is under way, of this lane or of the one that it follows."""
        return self.pumps > 0 or (self._before is not None and self._before.is_at_work)

    def is_sure_until(self, moment_s: float) -> None:
        """Take notice that the lane is surely ours until then, monotonic, if not for longer."""
        self.sure_until_s = max(self.sure_until_s, moment_s)

    def leave(self) -> None:
        """Begin nothing more: another process is to go on, unless `stay` is said."""
        self._is_leaving = True

    def stay(self) -> None:
        self._is_leaving = False

    def follow(self, before: "Held | None") -> None:
        """Begin nothing before the same webhook's lane that was held *before* is done: it may have
        been lost, and claimed again, while a request hangs."""
        self._before = before

    def hand_out(self, now: datetime) -> bool:
        """Take the next piece of work for a pump that is to start; False where there is none."""
        work = self.take(now)
        if work is None:
            return False
        self._queue.append(work)
        self.pumps += 1
        return True

    def begin(self, now: datetime, *, may_take: bool) -> Work | None:
        """Return what a pump is to begin: what was handed out first, whoever started for it, or
        else what it *may_take*.  None ends the pump."""
        if self._queue:
            return self._queue.popleft()
        return self.take(now) if may_take else None

    def pump_ended(self) -> None:
        self.pumps -= 1

    def take(self, now: datetime) -> Work | None:
        """Return the next piece of work, None when there is none that may be done now.

        Who takes it calls `give_back` once it is done.
        """
        if self._is_leaving:
            return None
        if self._before is not None:
            if self._before.is_at_work:
                return None
            self._before = None
        stand = self.stand(now)
        if not stand.row.may_send or self.slots.is_opening or not self._has_room(stand):
            return None
        self._learn(now)
        work = self._choose(now, stand)
        if work is None:
            return None
        if isinstance(work, Again):
            self.slots.take(work.batch)
        elif isinstance(work, Step):
            self.passes.begin(work.replay)
        if not isinstance(work, Load):
            self.pace.spend(now, self.policy.rate_per_s)
        self.in_flight += 1
        return work

    def give_back(self, work: Work) -> None:
        """Say that *work* is over, whatever came of it."""
        self.in_flight -= 1
        match work:
            case Single():
                pass
            case Cut():
                self.cut_ended(work)
            case Again():
                self.slots.back(work.batch.id)
            case Step():
                self.passes.stepped(work.replay)
            case Load():
                work.run.is_loading = False
                if work.ticket is not None:
                    work.ticket.give_back()
            case _:
                assert_never(work)

    def cut_ended(self, work: Cut) -> None:
        """Say, once or more often, that a cut is recorded, or came to nothing."""
        if work.ticket.give_back():
            self._cutting -= len(work.pieces)
            self._ahead.under_way -= len(work.pieces) - 1

    @contextmanager
    def passing_over(self) -> Iterator[None]:
        """Cut nothing but what was begun before: retention overtakes the cursor."""
        self._is_passed_over = True
        try:
            yield
        finally:
            self._is_passed_over = False

    def feed(self, header: BlockHeader, now: datetime) -> bool:
        """Take notice of a new block; say whether something can be done of it now.

        A lane that is failing only notes that there is more to read.
        """
        stand = self.stand(now)
        if stand.gate is Gate.DOWN and self.intake.gather.count:
            self.intake.fall_behind()
            return False
        self.intake.feed(header)
        has_more = bool(self.intake.gather.count or self.intake.is_behind)
        return has_more and stand.gate is not Gate.DOWN and self._has_room(stand)

    def next_due(self, now: datetime) -> datetime | None:
        """Return when to look again, provided that nothing else happens."""
        stand = self.stand(now)
        if not stand.row.may_send:
            return stand.until
        due_at = self.slots.next_at(is_ordered=self.policy.ordered, may_begin=stand.may_begin)
        cut_at = self.intake.gather.due_at(now) if self._may_cut() else None
        known = (stand.until, due_at, cut_at)
        moments = (*self.passes.moments(), *filter(None, known))
        later = [moment for moment in moments if moment > now]
        return min(later) if later else None

    def _choose(self, now: datetime, stand: Stand) -> Work | None:
        may_begin = stand.may_begin
        due = self.slots.next(now, is_ordered=self.policy.ordered, may_begin=may_begin)
        if due is not None:
            return Again(due, self.slots.stage(due.id) is Stage.AHEAD)
        if not may_begin or (self.policy.ordered and (len(self.slots) or self.has_more)):
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
        if replay is not None and len(self.slots) < self._max_open():
            return Step(replay)
        cut_at = self.intake.gather.due_at(now)
        if cut_at is None or cut_at > now or not self._may_cut():
            return None
        if self.is_single and self.intake.gather.count:
            return self._cut_run(now)
        are_begun = is_first_known and all(run.is_saved for run in self.runs)
        return self._cut() if are_begun else None

    def _cut(self) -> Cut:
        work = Cut(self.intake.cut_pieces(self._depth()), self._cuts.take())
        self._cutting += len(work.pieces)
        self._ahead.under_way += len(work.pieces) - 1
        return work

    def _depth(self) -> int:
        """Return how many full batches may be cut at once."""
        if self.policy.ordered or self.policy.rate_per_s > 0 or self.lane.failures:
            return 1
        return min(self._ahead.depth(), self._max_open() - len(self.slots) - self._cutting)

    def _cut_run(self, now: datetime) -> Load:
        revision = self.intake.revision.number
        gather = self.intake.cut()
        key = run_key(self.id, revision, gather.range)
        run = Run(key, gather.range, revision, gather.count, now, blocks=gather.blocks)
        run.is_loading = True
        self.runs.append(run)
        return Load(run, self._cuts.take())

    def _has_room(self, stand: Stand) -> bool:
        is_alone = stand.row.is_alone or self.policy.ordered
        return self.in_flight < (1 if is_alone else self.policy.concurrency)

    def _max_open(self) -> int:
        return MAX_OPEN_SINGLE if self.is_single else MAX_OPEN

    def _may_cut(self) -> bool:
        is_full = self.has_more or len(self.slots) + self._cutting >= self._max_open()
        return not is_full and not self._is_passed_over and len(self.runs) < MAX_RUNS
