"""Signing, sending and judging: what every attempt goes through, whatever made the batch.

Used by `batches`, `singles` and `replays`; writes nothing.  Keeps bodies that webhooks share.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from postbell.attempts import Used, unset, used_of
from postbell.blocks import Position, Range
from postbell.body_limits import in_force, refused, taken
from postbell.clock import Clock
from postbell.delivery.lease import LaneLeases
from postbell.delivery.turns import Turn
from postbell.lane.body import Rendered, rendered
from postbell.lane.entries import of_attempt
from postbell.lane.gate import Gate
from postbell.lane.held import Held
from postbell.lane.judge import TOO_LARGE, Judgement, after, in_outage, judge
from postbell.logged import Logged
from postbell.ports import Dialect, Ledger, Request, Sender, Signing
from postbell.reading.cache import Cache
from postbell.reading.found import Found, narrowed, passing
from postbell.reading.match import Selection
from postbell.reading.reader import Reader
from postbell.records import (
    Entry,
    OpenBatch,
    Outcome,
    Replay,
    Revision,
    Secret,
    Verdict,
)
from postbell.signals import log
from postbell.signing import signing_at

LEAVE_S = 10.0
"""So long at most a POST that is ready waits for the one before it: it may be paused meanwhile."""
BUSY = "busy"
BUSY_S = 0.5
"""Where no connection was free nothing was sent: that is no attempt, and is tried again."""


class Post(NamedTuple):
    """One attempt: what goes out for which batch, given as it stood before, unsealed."""

    held: Held
    batch: OpenBatch
    revision: Revision
    body: bytes


class Courier:
    """Signs, sends and judges; keeps bodies that several webhooks share."""

    def __init__(
        self,
        reader: Reader,
        ledger: Ledger,
        dialects: Mapping[str, Dialect],
        sender: Sender,
        clock: Clock,
        leases: LaneLeases,
        account_keys: Callable[[Held], Sequence[Secret]],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.reader = reader
        self.clock = clock
        self._ledger = ledger
        self._dialects = dialects
        self._sender = sender
        self._leases = leases
        self._account_keys = account_keys
        self._chance = chance
        self._bodies: Cache[object, Rendered] = Cache(reader.room, lambda made: len(made.body))

    async def rendered(
        self,
        held: Held,
        part: Range,
        number: int,
        blocks: list[int] | None = None,
        ahead: Iterable[int] = (),
    ) -> Rendered:
        """Return the body of a range under a revision, made once for all webhooks alike.

        *blocks* hold it, where the caller knows; those *ahead* will be asked for next.
        """
        revision, selection = held.revision(number)

        async def make() -> Rendered:
            account_id = held.webhook.account_id
            found = await self.reader.events(account_id, part, selection, blocks, ahead)
            return self.render(revision, found.events)

        return await self._bodies.made(_body_key(held, part, revision, selection), make)

    def knows(self, held: Held, batch: OpenBatch) -> bool:
        """Say whether the body of an open batch was made and is still kept."""
        key = _body_key(held, batch.range, *held.revision(batch.revision))
        return self._bodies.get(key) is not None

    async def rendered_again(self, held: Held, batch: OpenBatch) -> Rendered:
        """Return the body of an open batch."""
        if batch.replay_id is None:
            return await self.rendered(held, batch.range, batch.revision)
        revision, _ = held.revision(batch.revision)
        return self.render(revision, (await self.found(held, batch)).events)

    async def found(self, held: Held, batch: OpenBatch) -> Found:
        """Return the events of an open batch, those that its replay's filter passes."""
        if batch.replay_id is None:
            _, selection = held.revision(batch.revision)
            return await self.reader.events(held.webhook.account_id, batch.range, selection)
        replay = await self.replay(held, batch.replay_id)
        return await self.replayed(held, replay, batch.range, None)

    async def replayed(
        self, held: Held, replay: Replay, part: Range, blocks: list[int] | None
    ) -> Found:
        """Return the events of *part* that a replay sends."""
        selection = narrowed(held.revision(replay.revision)[1], replay.filter)
        found = await self.reader.events(held.webhook.account_id, part, selection, blocks)
        return passing(found, replay.filter)

    async def replay(self, held: Held, replay_id: int) -> Replay:
        """Return a replay of the webhook, running or done."""
        known = held.passes.running.get(replay_id) or await self._ledger.replay(replay_id)
        if known is None:
            raise LookupError(f"webhook {held.id} has no replay {replay_id}")
        return known

    def render(self, revision: Revision, events: Sequence[Logged]) -> Rendered:
        """Return the body of these events under a revision."""
        return rendered(self._dialects[revision.dialect], revision, events)

    async def shortened(
        self, revision: Revision, found: Found, most_bytes: int
    ) -> tuple[Rendered, Position]:
        """Return the body of the first half of these events, or of half of that and so on, that
        is at most so long, and where the others begin; one event goes whatever its length."""
        count = len(found)
        while True:
            await self.clock.sleep(0)  # a body takes long: others have their turn in between
            count //= 2
            made = self.render(revision, found.events[:count])
            if len(made.body) <= most_bytes or count == 1:
                return made, Position(*found.place(count))

    async def send(self, post: Post, *, has_waited: bool = True) -> tuple[Outcome, datetime] | None:
        """Sign and send one attempt; return what the receiver did, and when.

        None where the lane may be another's by now; or where it may not be sent any more, and it
        *has waited* since it was taken up or waits here, for its turn or for a free connection.
        """
        policy = post.held.policy
        if policy.rate_per_s > 0:
            await self._leave(post.held, min(1 / policy.rate_per_s, LEAVE_S))
            has_waited = True
        while self._leases.is_sure(post.held) and (not has_waited or self._may_leave(post)):
            request, used = self._signed(post)
            outcome = await self._sender.send(request)
            if outcome.error != BUSY:
                return msgspec.structs.replace(outcome, used=used), self.clock.now()
            await self.clock.sleep(BUSY_S)  # then signed anew: receivers refuse what is minutes old
            has_waited = True
        return None

    def _may_leave(self, post: Post) -> bool:
        """Say whether nobody paused, stopped or lost the lane, or stopped the batch, meanwhile."""
        gate = post.held.stand(self.clock.now()).gate
        is_stopped = post.held.slots.is_stopped(post.batch.id)
        return gate not in (Gate.GONE, Gate.PAUSED, Gate.HELD) and not is_stopped

    def _signed(self, post: Post) -> tuple[Request, Used]:
        """Return an attempt as it is made now, and what is kept of where it goes."""
        held, revision, now = post.held, post.revision, self.clock.now()
        dialect = self._dialects[revision.dialect]
        account_keys = self._account_keys(held)
        signing = Signing(
            url=held.webhook.url,
            batch_id=post.batch.id,
            attempt=post.batch.attempts + 1,
            events=post.batch.count,
            at=now,
            secrets=signing_at(held.webhook.secrets, account_keys, dialect.secret_kinds, now),
        )
        body = dialect.seal(post.body, signing, revision.options)
        headers = dialect.headers(body, signing, revision.options)
        own = unset(held.webhook.headers, headers)
        request = Request(
            url=held.webhook.url,
            headers=(*headers, *own),
            body=body,
            timeout_s=held.policy.timeout_s,
            account_id=held.webhook.account_id,
            webhook_id=held.id,
            is_failing=in_outage(held.lane),
            part=post.batch.range,
        )
        return request, used_of(request.url, own)

    async def _leave(self, held: Held, apart_s: float) -> None:
        """Let POSTs that are ready leave *apart_s* from each other, in the order they come.

        They began so far apart, but storage may have held several up and let them go together.
        """
        async with Turn(held.pace.leaving):
            wait_s = held.pace.leaves_in_s(apart_s, self.clock.monotonic_s())
            if wait_s > 0:
                await self.clock.sleep(wait_s)
            held.pace.leaves(self.clock.monotonic_s())

    def judge(self, post: Post, outcome: Outcome, now: datetime) -> Judgement:
        """Decide what comes of the attempt, and note it in the lane."""
        held = post.held
        lane = held.lane
        chance = self._chance()
        is_sure = self.clock.is_sure
        judgement = judge(outcome, post.batch, held.policy, lane, now, chance, is_sure=is_sure)
        noted = after(lane, outcome, judgement, now)
        limit = in_force(lane.body_limit, held.webhook.updated_at, now)
        if judgement.verdict is Verdict.DELIVERED:
            limit = taken(limit, len(post.body))
        elif outcome.status == TOO_LARGE and not judgement.is_refused:
            begins = post.batch.count > 1 and not post.batch.parent
            limit = refused(limit, len(post.body), now, begins=begins)
        held.judged(msgspec.structs.replace(noted, body_limit=limit), now, chance)
        if held.lane.failures == 1 and not judgement.is_refused:
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

    def entry(self, post: Post, outcome: Outcome, judgement: Judgement, now: datetime) -> Entry:
        """Return the journal's line for an attempt."""
        return of_attempt(
            post.batch,
            post.held.webhook.account_id,
            outcome,
            judgement,
            now,
            body_bytes=len(post.body),
        )


def why(outcome: Outcome) -> str:
    """Return a failed outcome in a word: the status, or the error."""
    return outcome.error or str(outcome.status)


def _body_key(held: Held, part: Range, revision: Revision, selection: Selection) -> object:
    return (
        held.webhook.account_id,
        part,
        revision.dialect,
        msgspec.json.encode(revision.options, order="sorted"),
        selection.weights,
        selection.api_user_id,
    )
