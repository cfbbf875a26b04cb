"""How each thing is done to the service, and what the model is to expect of it.

Used by the rules of `machine`.  What follows is checked POST by POST (`arrivals`) and, when the
service rests, account by account (`accounts`).
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

from postbell import policies
from postbell.blocks import Position
from postbell.clock import rfc3339
from postbell.dialects import DIALECTS
from postbell.errors import BadInput, Conflict, StorageError
from postbell.records import (
    ALL,
    Account,
    ApiUser,
    BatchState,
    ReplayState,
    Webhook,
    WebhookState,
)
from postbell.serving.timekeeping import SLACK
from tests.delivery.rig import event
from tests.model.accounts import Accounts
from tests.model.agreeing import disagreements
from tests.model.arrivals import Arrivals
from tests.model.book import Fact, Hook, Part
from tests.model.cast import CAST, STRANGER, TYPES
from tests.model.hands import Hands
from tests.model.house import House, Opener
from tests.model.process import Process
from tests.model.receivers import Receivers
from tests.model.ticking import TurnedClock

SAVED_S, MOST_SAVES = 0.2, 20
"""So long after an answer everything is in the journal, which old entries then may leave."""


class Scene:
    """An installation with two accounts and some webhooks, and the model of it.

    *process* is the worker that holds the lanes; *away_s* is for how long the service stays
    away when that dies next, *dies_whole* that what serves dies with it though it is apart.
    """

    main: Account
    elsewhere: Account
    process: Process

    def __init__(self, opener: Opener, clock: TurnedClock) -> None:
        self.clock = clock
        self.facts: list[Fact] = []
        self.hooks: dict[int, Hook] = {}
        self.users: dict[str, ApiUser] = {}
        self.arrivals = Arrivals(clock, self.facts, self.hooks)
        self.receivers = Receivers(clock, self.arrivals.arrive, self.arrivals.answered)
        self.house = House(opener, clock, self.receivers)
        self.accounts = Accounts(self.house, self.facts, self.hooks)
        self.hands = Hands(self.house, self.receivers, self.arrivals, self.hooks)
        self.away_s = 0.0
        self.dies_whole = True
        self.is_over = False
        self.disagreements: list[str] = []

    @property
    def broken(self) -> list[str]:
        """Everything that was against the rules."""
        return self.arrivals.broken + self.accounts.broken + self.disagreements

    def pick(self, which: int) -> Hook:
        """Return one of the webhooks."""
        hooks = [hook for hook in self.hooks.values() if not hook.is_deleted]
        return hooks[which % len(hooks)]

    async def open(self, order: int, *, apart: bool = False) -> None:
        """Open it; *order* says who comes next wherever several could, 0 for first come, first
        served; *apart* that the worker is a process of its own."""
        self.house.turns.chance = Random(order) if order else None
        self.house.is_apart = apart
        await self.house.open()
        self.main, mains = await self.house.account("acme", "main", "other")
        self.elsewhere, others = await self.house.account("elsewhere", STRANGER)
        self.users = {user.name: user for user in (*mains, *others)}
        await self.create(self.elsewhere.id, {"policy": {"max_events": 5}})
        for cast in CAST:
            await self.create(self.main.id, cast)
        random.seed(order)  # of the waits' jitter; modules that came until now have drawn too
        self.process = await self.house.start_worker()
        await self.house.rest()

    async def create(self, account_id: int, form: dict[str, Any]) -> None:
        with self.arrivals.deferred():
            url = f"https://receiver{len(self.hooks)}.example/hook"
            webhook = await self.house.desk.create_webhook(account_id, {"url": url, **form})
            start = len(self.facts)
            if form.get("start") == "oldest":
                kept = await self.house.engine.log.headers(account_id, 0, 1)
                oldest = Position(kept[0].id, 0) if kept else Position(1 << 60, 0)
                start = sum(fact.position < oldest for fact in self.facts)
            hook = Hook(
                id=webhook.id,
                account_id=account_id,
                policy=policies.of_webhook(webhook, DIALECTS, {}),
                start=start,
                parts=[part_of(webhook, 1, 0)],
            )
            hook.set_policy(hook.policy)
            self.hooks[hook.id] = hook

    async def append(
        self, account: Any, user: str, types: Sequence[str], poison: int, dies_after: int = 0
    ) -> None:
        """Send events; all or none are accepted where the service *dies_after* so many steps."""
        with self.arrivals.deferred():
            first = len(self.facts)
            events = [
                event(
                    first + at,
                    each,
                    message={"id": str(first + at), "subject": "x" * (first % 300)},
                )
                for at, each in enumerate(types)
            ]
            if poison:
                self.receivers.poison |= {first + at for at in range(0, len(types), poison)}
            head = await self.house.engine.log.head()
            submitting = self._submit(account, user, events)
            if dies_after:
                await self.house.killed(submitting, dies_after)
            else:
                await submitting
            number = first
            log = self.house.engine.log
            for block in await log.load([header.id for header in await log.tail(head, 1000)]):
                header = block.header
                for offset, raw in enumerate(block.events()):
                    position = Position(header.id, offset)
                    kind, at = types[number - first], header.recorded_at
                    logged = (raw, header.first_sequence + offset, at)
                    moment_s = self.clock.monotonic_s()
                    fact = Fact(number, account.id, user, kind, position, at, logged, moment_s)
                    self.facts.append(fact)
                    number += 1
            assert number == first + len(events) or (dies_after and number == first)

    async def _submit(self, account: Any, user: str, events: list[dict[str, Any]]) -> None:
        answer = await self.house.submit(account, self.users[user], events)
        assert (answer.accepted, answer.duplicates) == (len(events), 0)

    async def send_again(self, which: int) -> None:
        """Send an event that was accepted lately once more, which must be recognised."""
        since_s = self.clock.monotonic_s() - 30 * 3600
        if self.clock.slack_s > 40 * 3600:
            return  # the clock, once it was believed, may have made it older than 72 hours
        lately = [fact for fact in self.facts if fact.moment_s > since_s]
        if lately:
            fact = lately[which % len(lately)]
            account = self.main if fact.account_id == self.main.id else self.elsewhere
            again = event(fact.number, fact.type)
            answer = await self.house.submit(account, self.users[fact.user], [again])
            assert (answer.accepted, answer.duplicates) == (0, 1)

    async def wait(self, seconds: float, steps: int) -> None:
        await self._save()
        await self.accounts.read_journal()
        await self._pass(seconds, steps)
        await self.look()

    async def _save(self) -> None:
        """Let all that was answered be in the journal; a request may end just before that."""
        for _ in range(MOST_SAVES):
            await self.house.elapse(SAVED_S)
            lanes = self.process.worker.lanes.values()
            if self.process.is_dead or not any(held.late or held.is_saving for held in lanes):
                return

    async def _pass(self, seconds: float, steps: int) -> None:
        """Let time pass, and read what retention may take once a jump of the clock is believed."""
        for _ in range(steps):
            await self.house.elapse(seconds / steps)
            await self.accounts.read_journal()

    async def look(self) -> None:
        """Let the service rest, and make up its accounts."""
        await self.house.rest()
        await self.mourn()
        await self.house.drain()
        await self.accounts.make_up()
        for hook in self.hooks.values():
            hook.is_silent = hook.is_deleted or hook.state is WebhookState.PAUSED
            hook.lately = [hook.policy]

    async def mourn(self) -> None:
        """Start the worker anew where it has died, and the service where that died with it; find
        that the accounts hold meanwhile."""
        if self.process.is_dead and not self.is_over:
            if self.house.is_apart and not self.dies_whole:
                await self.house.bury(self.process)
            else:
                await self.house.close()
                await self.house.open()
            self._expect_nothing()
            await self.accounts.make_up()
            await self.house.elapse(self.away_s)
            self.process = await self.house.start_worker()
            await self.house.drain()

    async def compare(self) -> None:
        """Let everybody rest, and hold what the worker has in its hands against what is written."""
        await self.house.drain()
        if not self.process.is_dead:
            was_set = self.clock.was_set
            self.disagreements += await disagreements(
                self.house.engine, self.process, was_set=was_set
            )

    def _expect_nothing(self) -> None:
        for hook in self.hooks.values():
            hook.forget_waits()

    def set_clock(self, seconds: float) -> None:
        """Set the machine's clock; all processes follow at once where that corrects theirs by no
        more than they allow."""
        self.clock.jump(seconds)
        for hook in self.hooks.values():
            hook.shorten_waits(SLACK.total_seconds())

    def followed(self, _told: Any = None) -> None:
        """Take notice that somebody's clock is set: what was to wait may be due."""
        self.clock.taken()
        self._expect_nothing()

    async def restart(self) -> None:
        await self.accounts.read_journal()
        await self.house.stop(self.process)
        self._expect_nothing()
        self.process = await self.house.start_worker()
        await self.look()

    async def serve_anew(self) -> None:
        """Start what serves anew, where that is a process of its own."""
        if self.house.is_apart:
            await self.house.serve_anew()

    async def kill_serving(self, steps: int, which: int, how: str, name: str | None) -> None:
        """Kill what serves, where that is a process of its own, while somebody asks it for
        something; that is done then or not, and what was stopped for it goes on."""
        if self.house.is_apart and how == "send":
            await self.append(self.main, "main", TYPES * 3, 0, dies_after=steps)
        elif self.house.is_apart:
            await self.house.killed(self.hands.take(which, how, name), steps)

    async def overtake(self, name: str) -> None:
        """Freeze a worker until another has taken its lanes over, and let it go on then; or for
        as long as that would take, where the database takes no other worker while it lives.

        Whose leases end by another clock than the newcomer's is told by no engine that has two.
        """
        if self.process.clock.now() != self.clock.now():
            return
        await self.accounts.read_journal()
        frozen = self.process
        frozen.freeze()
        self._expect_nothing()
        with suppress(StorageError):
            self.process = await self.house.start_worker()
            frozen.is_stale = True
        await self.house.elapse(90, 9)
        for post in [post for post in self.receivers.hanging if post.process is frozen]:
            self.receivers.release(post, name)
        frozen.thaw(self.clock.monotonic_s())
        await self.house.rest()
        if frozen.is_stale:
            await self.house.bury(frozen)
        await self.look()

    async def resume(self, hook: Hook, skip: bool, parked: bool, name: str | None = None) -> None:
        hook.is_silent = False
        stored = await self.house.engine.registry.webhook(hook.id)
        was_paused = stored is not None and stored.state is WebhookState.PAUSED
        since = hook.resumed_before
        if was_paused:  # an active one has been failing for as long as before
            hook.resumed_before = await self.accounts.read_journal()
        if skip:
            hook.skips.append((self.house.clock.now(), len(self.facts)))
        if parked:
            hook.reopened |= hook.parked
            hook.parked = set()
            for batch in await self.house.engine.ledger.open_batches(webhook_id=hook.id):
                hook.reopened.add(batch.id)
        desk = self.house.desk
        with hook.hurried():
            resuming = desk.resume(hook.account_id, hook.id, skip=skip, parked=parked)
            try:
                await self.hands.act(resuming, name)
            except Conflict:  # something is under way: nothing was skipped
                hook.resumed_before = since
                hook.is_silent = was_paused
                return
        if was_paused:
            hook.resumed_after = await self.accounts.read_journal()

    async def cancel(self, which: int, name: str | None) -> None:
        replays = await self.house.engine.ledger.replays()
        if replays:
            replay = replays[which % len(replays)]
            cancelling = self.house.desk.cancel_replay(replay.account_id, replay.id)
            with suppress(Conflict):  # something is under way, and goes on
                await self.hands.act(cancelling, name)

    async def revise(self, hook: Hook, changes: dict[str, Any]) -> None:
        with self.arrivals.deferred():
            if not hook.policy.ordered or "policy" not in changes:
                try:
                    webhook = await self.house.desk.update_webhook(
                        hook.account_id, hook.id, changes
                    )
                except BadInput:
                    return
                made = part_of(webhook, hook.part.number + 1, len(self.facts))
                now = (made.user, made.types, made.dialect, made.options)
                old = (hook.part.user, hook.part.types, hook.part.dialect, hook.part.options)
                if now != old:
                    hook.look_up(self.facts)
                    hook.parts.append(made)
                assert [part.number for part in hook.parts] == [r.number for r in webhook.revisions]
                hook.set_policy(policies.of_webhook(webhook, DIALECTS, {}))

    async def replay(self, hook: Hook, types: Any, source: str, rate: float) -> None:
        with self.arrivals.deferred():
            log = self.house.desk.engine.log  # times are what they are by the clock of who plans
            kept = {header.id for header in await log.tail(0, 1_000_000)}
            facts = [fact for fact in self.facts if fact.position.block in kept]
            form: dict[str, Any] = {"types": types, "rate_per_s": rate}
            moment = facts[len(facts) // 2].recorded_at if facts else self.house.clock.now()
            if source == "since":
                form["since"] = rfc3339(moment)
                first = await log.first_since(moment)
                facts = [fact for fact in facts if fact.position.block >= first]
            elif source == "until":
                form["until"] = rfc3339(moment)
                first = await log.first_since(moment)
                facts = [fact for fact in facts if fact.position.block < first]
            elif source == "parked":
                form["parked"] = True
                batches = await self.house.engine.ledger.open_batches(
                    webhook_id=hook.id, limit=9999
                )
                ranges = [batch.range for batch in batches if batch.state is BatchState.PARKED]
                facts = [f for f in facts if any(r.start <= f.position < r.end for r in ranges)]
            numbers = [fact.number for fact in facts if fact.account_id == hook.account_id]
            try:
                made = await self.house.desk.create_replay(hook.account_id, hook.id, form)
            except (BadInput, Conflict):
                return
            hook.replays[made.id] = hook.replayed(self.facts, numbers, types)

    async def delete(self, hook: Hook) -> None:
        await self.house.desk.delete_webhook(hook.account_id, hook.id)
        await self.house.rest()
        hook.is_deleted = hook.is_silent = True

    async def settle_down(self) -> None:
        """Make all receivers healthy and resume everything; then everything must arrive."""
        self.process.die_after(None)
        self.receivers.scripts.clear()
        self.receivers.standing.clear()
        for post in self.receivers.hanging:
            self.receivers.release(post, "takes")
        await self.look()
        for hook in self.hooks.values():
            if not hook.is_deleted and hook.state is WebhookState.PAUSED:
                await self.resume(hook, skip=False, parked=False)
        await self.accounts.read_journal()
        for seconds in (61, 3700, 3700, 50_000):
            await self._pass(seconds, 3)
        for _ in range(300):
            waiting = [hook for hook in self.hooks.values() if await self._is_waiting(hook)]
            if not waiting:
                break
            await self.house.elapse(5, 10)
        await self.look()
        for hook in waiting:
            lane = await self.house.engine.ledger.lane(hook.id)
            raise AssertionError(f"webhook {hook.id} does not get everything: {lane}")
        for replay in await self.house.engine.ledger.replays():
            assert replay.state is not ReplayState.RUNNING

    async def end(self) -> None:
        """Stop the worker in good order, for good."""
        self.is_over = True
        await self.house.stop(self.process)

    async def _is_waiting(self, hook: Hook) -> bool:
        claim = None if hook.is_deleted else await self.house.engine.ledger.lane(hook.id)
        return claim is not None and self.accounts.waiting(hook, claim)


def part_of(webhook: Webhook, number: int, start: int) -> Part:
    """Return the model's revision of what *webhook* is now."""
    types = None if webhook.types is None else frozenset(webhook.types)
    options = tuple(sorted(webhook.options.items()))
    return Part(number, start, webhook.api_user or ALL, types, webhook.dialect, options)
