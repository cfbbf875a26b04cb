"""What is true of every POST, checked at the moment when it arrives and when it is answered.

The rules: same id, same bytes; batches are ranges; first attempts in
order of acceptance; one in flight where ordered; never more than the concurrency; nothing while
paused; no retry before its time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from postbell.blocks import START
from postbell.clock import Clock
from postbell.dialects import DIALECTS
from postbell.lane.body import batch_id, rendered
from postbell.records import Revision
from tests.model.book import Arrived, Fact, Hook
from tests.model.receivers import Post

REFUSALS = (400, 413, 422)
MAX_RETRY_AFTER_S = 3600.0
EXACT_S = 1e-3
CLEARLY_FAILING = 10
"""So many failures in a row make a webhook a failing one, by any reading of the design."""


class Arrivals:
    """Checks POSTs; *broken* collects what was against the rules."""

    def __init__(self, clock: Clock, facts: Sequence[Fact], hooks: dict[int, Hook]) -> None:
        self._clock = clock
        self._facts = facts
        self._hooks = hooks
        self._deferred: list[Callable[[], None]] | None = None
        self.broken: list[str] = []

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Look at POSTs only after the block, once the model knows what happened in it."""
        self._deferred = []
        try:
            yield
        finally:
            waiting, self._deferred = self._deferred, None
            for look in waiting:
                look()

    def arrive(self, post: Post) -> None:
        """Take note of a POST and check it."""
        if self._deferred is not None:
            self._deferred.append(partial(self.arrive, post))
            return
        hook = self._hooks[post.request.webhook_id]
        hook.look_up(self._facts)
        batch = hook.arrived.get(post.batch_id)
        is_first = batch is None
        if batch is None:
            batch = self._identify(hook, post)
        if batch is None:
            self._say(hook, post, "its id is not that of its events under any revision")
            return
        problems = []
        if batch.body != post.body:
            problems.append("the same id came with other bytes")
        if is_first:
            hook.arrived[batch.id] = batch
            problems += _content(hook, batch, post, self._facts)
        if not post.process.is_stale:
            if is_first:
                problems += _descent(hook, batch)
            if not post.was_frozen:
                problems += _moment(hook, batch, post)
                hook.last_start_s[post.process] = post.moment_s
        if is_first:
            for number in batch.numbers:
                hook.holders[batch.replay, number].append(batch)
        hook.in_flight[post.process] += 1
        for problem in problems:
            self._say(hook, post, problem)

    def answered(self, post: Post) -> None:
        """Take note of what the receiver made of a POST; no outcome where the client left."""
        look = partial(self._answered, post, self._clock.monotonic_s())
        look() if self._deferred is None else self._deferred.append(look)

    def _answered(self, post: Post, now_s: float) -> None:
        hook = self._hooks[post.request.webhook_id]
        hook.in_flight[post.process] -= 1
        batch = hook.arrived.get(post.batch_id)
        outcome = post.outcome
        if outcome is None or batch is None:
            return
        status = outcome.status or 0
        is_taken = status in (hook.policy.success or range(200, 300)) and not outcome.error
        if is_taken:
            batch.was_taken, batch.taken_by = True, post.process
            if batch.replay is None:
                hook.taken.update(batch.numbers)
        may_split = any(policy.split_failing for policy in hook.policies)
        is_bisected = not hook.bisected.isdisjoint(batch.numbers)
        batch.was_refused |= not is_taken and (status in REFUSALS or may_split or is_bisected)
        if status == 413:
            hook.too_long_bytes = min(hook.too_long_bytes, len(post.body))
        batch.times_gone += status == 410
        if post.process.is_stale:
            return
        if is_taken:
            hook.forget_waits()
            return
        held_s = min(outcome.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
        if held_s and not hook.is_hurried:
            until_s = now_s + held_s
            hook.hold_until_s = max(hook.hold_until_s or until_s, until_s)
            hook.held_at_s = now_s
            hook.under_way = max(policy.concurrency for policy in hook.lately) - 1
        if status in hook.policy.refused:
            return
        hook.failures_in_row += 1
        if not post.process.clock.is_sure:
            hook.unsure.add((post.batch_id, post.attempt))
        goes_at_once, batch.goes_at_once = batch.goes_at_once, False
        is_held = not (goes_at_once or hook.is_hurried)
        waits = [policy.retry_waits_s[post.attempt - 1 :] for policy in hook.lately]
        if status != 410 and all(waits) and is_held:
            batch.not_before_s = now_s + min(left[0] for left in waits)

    def _identify(self, hook: Hook, post: Post) -> Arrived | None:
        """Return the batch of which this can be the first sight."""
        place = post.request.part
        assert place is not None
        logged = [self._facts[number].logged for number in post.numbers]
        for part in hook.parts:
            user = None  # whose events a revision takes is in no id
            revision = Revision(part.number, START, user, None, part.dialect, dict(part.options))
            body = rendered(DIALECTS[part.dialect], revision, logged)
            for replay in (None, *hook.replays):
                made = batch_id(hook.id, revision, place, body, replay)
                if made == post.batch_id:
                    return Arrived(made, part.number, replay, post.numbers, post.body)
        return None

    def _say(self, hook: Hook, post: Post, problem: str) -> None:
        self.broken.append(
            f"webhook {hook.id}, batch {post.batch_id} {list(post.numbers)[:12]}"
            f" ({len(post.numbers)} events), attempt {post.attempt} by {post.process.name}"
            f" at {post.at:%d %H:%M:%S}: {problem}"
        )


def _content(hook: Hook, batch: Arrived, post: Post, facts: Sequence[Fact]) -> Iterator[str]:
    """A batch is a range of what matches, under one revision, within the policy's limits."""
    if batch.replay is None:
        expected = hook.matching
        rank = hook.rank
        parts = {hook.part_of[n].number for n in batch.numbers if n in hook.part_of}
        if parts and parts != {batch.revision}:
            yield f"revision {batch.revision} took events of revisions {sorted(parts)}"
    else:
        plan = hook.replays[batch.replay]
        expected = list(plan.numbers)
        rank = {number: at for at, number in enumerate(expected)}
        if plan.revision != batch.revision:
            yield f"replay {batch.replay} is of revision {plan.revision}"
    strangers = [number for number in batch.numbers if number not in rank]
    if strangers:
        yield f"events {strangers[:9]} do not match the webhook"
        return
    first = rank[batch.numbers[0]]
    if tuple(expected[first : first + len(batch.numbers)]) != batch.numbers:
        yield "its events are not all of a range in order of acceptance"
    if any(facts[number].account_id != hook.account_id for number in batch.numbers):
        yield "it holds events of another account"
    if len(batch.numbers) > 1:
        if post.lines > max(policy.max_events for policy in hook.policies):
            yield f"{post.lines} events on the wire are over max_events"
        if len(post.body) > max(policy.max_bytes for policy in hook.policies):
            yield f"{len(post.body)} bytes are over max_bytes"


def _descent(hook: Hook, batch: Arrived) -> Iterator[str]:
    """A new id for an event that came before: only a half of what was refused, or is too long for
    a receiver that refused shorter ones, or what retention left.  All other first attempts follow
    the order of acceptance, but of what a person parked before."""
    key = batch.replay
    parents = {each.id: each for n in batch.numbers for each in hook.holders[key, n]}
    for parent in parents.values():
        if not set(batch.numbers) < set(parent.numbers):
            yield f"some of its events came in batch {parent.id} {parent.numbers[:9]} before"
        elif parent.taken_by is not None and not (
            parent.taken_by.is_dead or parent.taken_by.is_stale
        ):
            yield f"batch {parent.id} {parent.numbers[:9]}, which has its events, was taken before"
        elif (
            not parent.was_refused
            and parent.id not in hook.split_by_hand
            and len(parent.body) <= hook.too_long_bytes // 2
        ):
            hook.cut_anew.append((parent, batch))
    if parents or batch.id in hook.split_by_hand or batch.numbers[0] in hook.put_aside:
        return
    if batch.numbers[0] <= hook.furthest.get(key, -1):
        yield f"first attempt after that of event {hook.furthest[key]}"
    hook.furthest[key] = max(hook.furthest.get(key, -1), batch.numbers[-1])


def _moment(hook: Hook, batch: Arrived, post: Post) -> Iterator[str]:
    """Now is a moment when this webhook may be sent this batch."""
    others = hook.in_flight[post.process]
    if hook.is_silent:
        yield "the webhook is paused or deleted"
    if others >= max(policy.concurrency for policy in hook.lately):
        yield f"{others} other requests are in flight"
    if hook.failures_in_row >= CLEARLY_FAILING and others:
        yield f"the webhook is failing, and {others} other requests are in flight"
    hold_s = (hook.hold_until_s or 0.0) - post.moment_s - EXACT_S
    if hold_s > 0 and not _was_under_way(hook, post):
        yield f"Retry-After holds the webhook for {hold_s} s more"
    early_s = (batch.not_before_s or 0.0) - post.moment_s - EXACT_S
    if early_s > 0:
        yield f"its retry is due in {early_s} s"
    if post.attempt > 1 + max(len(p.retry_waits_s) for p in hook.policies) + batch.times_gone:
        yield "it has no retry left"
    slowest = min(policy.rate_per_s for policy in hook.lately)
    last_s = hook.last_start_s.get(post.process)
    fastest = max(policy.rate_per_s for policy in hook.lately)
    if slowest and last_s is not None and post.moment_s - last_s < 1 / fastest - 1e-6:
        yield f"{post.moment_s - last_s:.3f} s after the one before is over rate_per_s"
    if batch.id in hook.parked:
        yield "it is parked"
    if batch.replay is not None:
        return
    if not hook.left_out.isdisjoint(batch.numbers):
        yield "it holds events that were skipped or have expired"
    if not hook.delivered.isdisjoint(batch.numbers):
        yield "it holds events whose delivery was settled"
    if all(policy.ordered for policy in hook.lately) and batch.numbers[0] in hook.rank:
        if others:
            yield "another one is in flight, where order is promised"
        before = hook.matching[: hook.rank[batch.numbers[0]]]
        hook.overtaken += [(batch, n, post.at) for n in before if n not in hook.taken]


def _was_under_way(hook: Hook, post: Post) -> bool:
    """Say whether this may be one of those that were begun when the receiver asked for a break."""
    hook.under_way -= 1
    return post.moment_s == hook.held_at_s and hook.under_way >= 0
