"""The accounts of every webhook, made up from the journal and the ledger, event by event.

`postbell audit` does so over the retained log; this keeps the whole journal and the whole log,
knows what receivers really took, and asks of every place of an event whether it may be there.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import timedelta

from postbell.ports import Claim
from postbell.records import BatchState, Entry, EntryKind, Verdict, WebhookState
from tests.model.arrivals import REFUSALS
from tests.model.book import Fact, Hook, done_bits, is_run
from tests.model.house import RETENTION_DAYS, House

PLACES = ("delivered", "waiting", "parked", "skipped", "expired")
MAX_OPEN = 64
MAX_OPEN_SINGLE = 1000
RUN = "run_"
"""How keys of runs begin.  What retention takes of one is counted for all of it: which of its
events had been sent is told by its other entries."""
PAUSE_AFTER = timedelta(days=5)
PAUSE_AFTER_FAILURES = 10


class Accounts:
    """Makes up the accounts; *broken* collects what does not add up."""

    def __init__(self, house: House, facts: Sequence[Fact], hooks: dict[int, Hook]) -> None:
        self._house = house
        self._facts = facts
        self._hooks = hooks
        self._journal: dict[int, list[tuple[int, Entry]]] = defaultdict(list)
        self._read = 0
        self.broken: list[str] = []

    async def read_journal(self) -> int:
        """Keep what is new in the journal, before retention drops it; return the newest id."""
        while page := await self._house.engine.journal.scan(self._read, 1000):
            for block in page:
                for entry in block.entries:
                    self._journal[entry.webhook_id].append((block.id, entry))
                self._read = block.id
        return self._read

    async def make_up(self) -> None:
        """Check every webhook, and that the audit comes to the same."""
        places = {}
        for hook in self._hooks.values():
            if hook.is_deleted:
                continue
            before = self._read  # retention may have taken the newest: by a clock that was ahead
            snapshot = await self._house.engine.ledger.snapshot(hook.id)
            assert snapshot is not None
            claim, newest = snapshot
            read = await self.read_journal()
            hook.look_up(self._facts)
            known, until = self._journal[hook.id], max(newest, before) if newest else read
            entries = [entry for block_id, entry in known if block_id <= until]
            places[hook.id] = self._place(hook, claim, entries)
            stored = await self._house.engine.registry.webhook(hook.id)
            assert stored is not None
            hook.state = stored.state
            for problem in (
                *_justified(hook, entries, self._facts, self._slack),
                *_bounded(hook, claim),
                *_paused(hook, stored.state_reason, self._journal[hook.id], self._house),
            ):
                self._say(hook, problem)
        await self._compare(places)

    @property
    def _slack(self) -> timedelta:
        return timedelta(seconds=self._house.machine.slack_s)

    def waiting(self, hook: Hook, claim: Claim) -> bool:
        """Say whether something is still to be sent."""
        uncut = any(position >= claim.lane.cursor for position in hook.positions)
        is_open = any(batch.state is BatchState.WAITING for batch in claim.batches)
        return uncut or is_open or bool(claim.replays)

    def _place(self, hook: Hook, claim: Claim, entries: list[Entry]) -> dict[int, str]:
        """Return the one place where each matching event is."""
        places: dict[int, list[str]] = defaultdict(list)
        delivered: set[int] = set()
        lost_of_runs: list[Entry] = []
        for entry in entries:
            if entry.replay_id is not None or entry.kind is EntryKind.TEST:
                continue
            if entry.kind is EntryKind.EXPIRED and entry.batch_id.startswith(RUN):
                lost_of_runs.append(entry)
                continue
            numbers = hook.inside(entry.range)
            self._same_revision(hook, numbers, entry.revision, f"{entry.kind} {entry.batch_id}")
            if entry.count != len(numbers):
                self._say(hook, f"{entry.kind} counts {entry.count} of {len(numbers)} events")
            if entry.kind is EntryKind.RUN:
                bits = done_bits(entry.done or b"", len(numbers))
                numbers = [n for n, is_done in zip(numbers, bits, strict=True) if is_done]
            if entry.kind in (EntryKind.SKIPPED, EntryKind.EXPIRED):
                for number in numbers:
                    places[number].append(entry.kind.value)
            elif entry.delivered:
                if entry.delivered != len(numbers):
                    self._say(hook, f"{entry.batch_id} delivered {entry.delivered} events?")
                for number in numbers:
                    places[number].append("delivered")
                    delivered.add(number)
                if not hook.taken.issuperset(numbers):
                    lost = sorted(set(numbers) - hook.taken)
                    self._say(hook, f"events {lost[:9]} are delivered, but nobody took them")
        hook.parked = set()
        for batch in claim.batches:
            if batch.state is BatchState.PARKED:
                hook.parked.add(batch.id)
            if batch.replay_id is not None:
                continue
            numbers = hook.inside(batch.range)
            self._same_revision(hook, numbers, batch.revision, batch.id)
            if batch.count != len(numbers):
                self._say(hook, f"{batch.id} counts {batch.count} of {len(numbers)} events")
            if batch.done is not None:
                bits = done_bits(batch.done, len(numbers))
                numbers = [n for n, is_done in zip(numbers, bits, strict=True) if not is_done]
            for number in numbers:
                is_parked = batch.state is BatchState.PARKED
                places[number].append("parked" if is_parked else "waiting")
        for entry in lost_of_runs:
            numbers = [n for n in hook.inside(entry.range) if not places[n]]
            if entry.count != len(numbers):
                self._say(hook, f"{entry.batch_id} lost {entry.count} of {len(numbers)} events")
            for number in numbers:
                places[number].append("expired")
        for number, position in zip(hook.matching, hook.positions, strict=True):
            if position >= claim.lane.cursor:
                places[number].append("waiting")
            if len(places[number]) != 1:
                self._say(
                    hook,
                    f"event {number} is in {len(places[number])} places"
                    f" ({', '.join(places[number])})",
                )
        hook.delivered = delivered
        hook.left_out = {n for n, found in places.items() if found in (["skipped"], ["expired"])}
        return {number: found[0] for number, found in places.items() if found}

    def _same_revision(self, hook: Hook, numbers: list[int], revision: int, what: str) -> None:
        found = {hook.part_of[number].number for number in numbers} - {revision}
        if found:
            self._say(hook, f"{what} of revision {revision} holds events of {sorted(found)}")

    async def _compare(self, places: dict[int, dict[int, str]]) -> None:
        """Compare the audit's sums with ours, over the log that is left."""
        kept = {header.id for header in await self._house.engine.log.tail(0, 1_000_000)}
        found = await self._house.audit()
        self.broken += [f"audit: {problem}" for problem in found.problems]
        retained = {fact.number for fact in self._facts if fact.position.block in kept}
        if found.events != len(retained):
            self.broken.append(f"audit counts {found.events} events of {len(retained)}")
        for row in found.rows:
            hook = self._hooks[row.webhook_id]
            ours = dict.fromkeys(PLACES, 0)
            for number, place in places[hook.id].items():
                if number in retained and hook.part_of[number].number == row.revision:
                    ours[place] += 1
            theirs = {place: getattr(row, place) for place in PLACES}
            if theirs != ours or row.matching != sum(ours.values()):
                self._say(hook, f"revision {row.revision}: the audit has {theirs}, we {ours}")

    def _say(self, hook: Hook, problem: str) -> None:
        self.broken.append(f"webhook {hook.id}: {problem}")


def _justified(
    hook: Hook, entries: list[Entry], facts: Sequence[Fact], slack: timedelta
) -> Iterator[str]:
    """Every event that was given up may be where it is.

    So much may a time be before that of what came before it: the wall clock was set back.
    """
    fewest_waits = min(len(policy.retry_waits_s) for policy in hook.policies)
    kept_parked = timedelta(days=min(policy.keep_parked_days for policy in hook.policies))
    parked_at = {}
    gone_at = dict(hook.put_aside)
    for entry in entries:
        numbers = hook.inside(entry.range)
        status = entry.outcome.status if entry.outcome is not None else None
        if entry.verdict is Verdict.PARK:
            if entry.replay_id is None:
                for number in numbers:
                    parked_at[number] = entry.at
                    gone_at[number] = min(entry.at, gone_at.get(number, entry.at))
            is_alone = entry.count == 1
            if status in REFUSALS and not is_alone:
                yield f"{entry.batch_id} of {entry.count} events is parked, not split, on {status}"
            is_found = is_alone and not hook.bisected.isdisjoint(numbers)
            is_refused = status in hook.ever_refused
            is_due = is_found or (status in REFUSALS and is_alone) or is_refused
            if not is_due and entry.attempt <= fewest_waits:
                yield f"{entry.batch_id} is parked after {entry.attempt} attempts"
        if entry.replay_id is not None:
            continue
        if entry.kind is EntryKind.SKIPPED:
            seen = [count for at, count in hook.skips if at == entry.at]
            for number in numbers:
                gone_at[number] = min(entry.at, gone_at.get(number, entry.at))
                if (not seen or number >= max(seen)) and number not in hook.skipped:
                    yield f"event {number} is skipped, which nobody asked for"
        if entry.kind is EntryKind.EXPIRED:
            for number in numbers:
                gone_at[number] = min(entry.at, gone_at.get(number, entry.at))
                age = entry.at - facts[number].recorded_at + slack
                parked = parked_at.get(number) or hook.put_aside.get(number)
                if age < timedelta(days=RETENTION_DAYS) and (
                    parked is None or entry.at - parked + slack < kept_parked
                ):
                    yield f"event {number} has expired after {age}"
        if entry.verdict is Verdict.SPLIT and entry.count < 2:
            yield f"{entry.batch_id} of one event is split"
    for batch, number, at in hook.overtaken:
        if number not in gone_at or gone_at[number] > at + slack:
            yield f"{batch.id} {batch.numbers[:9]} overtook event {number}, where order is promised"
    for parent, batch in hook.cut_anew:
        if not any(gone_at.get(number) for number in parent.numbers if number not in batch.numbers):
            yield f"{parent.id} {parent.numbers[:9]} was cut anew as {batch.id} {batch.numbers[:9]}"
    hook.overtaken.clear()
    hook.cut_anew.clear()


def _bounded(hook: Hook, claim: Claim) -> Iterator[str]:
    """No more batches are open than the design allows, those from splits and by hand apart."""
    batches = [
        batch
        for batch in claim.batches
        if batch.state is BatchState.WAITING
        and not batch.parent
        and not is_run(batch)
        and batch.replay_id is None
        and batch.id not in hook.reopened
    ]
    is_single = any(policy.max_events == 1 for policy in hook.policies)
    if len(batches) > (MAX_OPEN_SINGLE if is_single else MAX_OPEN):
        yield f"{len(batches)} batches are open"


def _paused(
    hook: Hook, reason: str, journal: list[tuple[int, Entry]], house: House
) -> Iterator[str]:
    """The webhook is paused only for a reason, and always for a good one.

    A run's entry tells of many answers at once: which failures came before, it does not say.
    """
    tried = [
        (at, entry) for at, entry in journal if entry.kind is EntryKind.ATTEMPT or entry.delivered
    ]
    since = [entry for at, entry in tried if at > hook.resumed_before]
    after = (entry for at, entry in tried if at > hook.resumed_after)
    surely = _failures(after, hook.ever_refused)
    answers = (entry for entry in since if entry.kind is not EntryKind.RUN)
    perhaps = _failures(answers, hook.always_refused)
    if reason == "internal_error":
        yield "an error of our own paused it"
    if hook.state is WebhookState.PAUSED and reason == "gone" and not _was_gone(since):
        yield "paused as gone, but no receiver said so"
    slack = timedelta(seconds=house.machine.slack_s)
    is_failing = hook.state is WebhookState.PAUSED and reason == "failing"
    if is_failing and not _is_hopeless(perhaps, PAUSE_AFTER - slack):
        yield "paused as failing too early"
    if hook.state is WebhookState.ACTIVE and _was_gone(surely):
        yield "active, though its receiver is gone"
    is_single = any(policy.max_events == 1 for policy in hook.policies)
    is_active = hook.state is WebhookState.ACTIVE and not is_single
    if is_active and _is_hopeless(surely, PAUSE_AFTER + slack, hook.unsure):
        yield "active after 5 days of failures"


def _failures(entries: Iterable[Entry], refused: Container[int | None]) -> list[Entry]:
    """Return the failed attempts since the last success; one that was refused for good is none."""
    failed: list[Entry] = []
    for entry in entries:
        status = entry.outcome.status if entry.outcome is not None else None
        if entry.delivered:
            failed.clear()
        elif entry.verdict is not Verdict.PARK or status not in refused:
            failed.append(entry)
    return failed


def _was_gone(attempts: list[Entry]) -> bool:
    return any(entry.outcome is not None and entry.outcome.status == 410 for entry in attempts)


def _is_hopeless(failed: list[Entry], after: timedelta, unsure: Container[object] = ()) -> bool:
    """Say whether one of these, made while the clock was sure, is enough: *after* the first."""
    return any(
        each.at - failed[0].at >= after and (each.batch_id, each.attempt) not in unsure
        for each in failed[PAUSE_AFTER_FAILURES - 1 :]
    )
