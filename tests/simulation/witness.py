"""What must hold, looked at with every request and after every step: promises 2 to 5 and 9.

Written from what is promised.  It sees what customers see, and reads the storage itself.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from postbell.audit import audit
from postbell.blocks import Position
from postbell.events import decode
from postbell.policies import of_webhook
from postbell.ports import LEASE_S, Dialect, Request
from postbell.records import BatchState, Outcome, Webhook, WebhookState
from tests.simulation.loop import Life, Time
from tests.simulation.outside import Post, Producers, Sent, read

FENCED_S = LEASE_S + 20.0
"""So long after it was last disturbed a process may not know that it lost its lanes."""
BROKEN = "internal_error"


class Sights:
    """What was seen of one webhook's requests."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.batches: dict[str, tuple[int, ...]] = {}
        self.numbers: set[int] = set()
        self.furthest = Position(0, 0)
        self.in_flight: Counter[str] = Counter()


class Witness:
    """Looks at everything; *broken* is what was against the promises."""

    def __init__(
        self,
        storage: Any,
        dialects: Mapping[str, Dialect],
        time: Time,
        producers: Producers,
        taken: Mapping[int, set[int]],
    ) -> None:
        self._storage = storage
        self._dialects = dialects
        self._time = time
        self._producers = producers
        self._taken = taken
        self._sights: dict[int, Sights] = defaultdict(Sights)
        self._logged: dict[int, Position] = {}
        self._read_to = 0
        self.webhooks: dict[int, Webhook] = {}
        self.disturbed_s: dict[str, float] = defaultdict(float)
        self.broken: list[str] = []
        self.is_brittle: set[int] = set()

    # requests

    def watch(self, life: Life, request: Request, outcome: Outcome | None) -> None:
        """Look at a request as its sender begins it, and at its end."""
        sights = self._sights[request.webhook_id]
        if outcome is not None:
            sights.in_flight[life.name] -= 1
            return
        sights.in_flight[life.name] += 1
        post = read(life, request)
        if self._holder(post.webhook) == life.name:
            self._begun(sights, post, request)
        elif self._time.passed_s - self.disturbed_s[life.name.split(".")[0]] > FENCED_S:
            self._say(post, "is sent by who has not held the webhook for long")
        sights.numbers.update(post.numbers)

    def _begun(self, sights: Sights, post: Post, request: Request) -> None:
        policy = of_webhook(self.webhooks[post.webhook], self._dialects, {})
        most = 1 if policy.ordered else policy.concurrency
        if sights.in_flight[post.process] > most:
            self._say(post, f"is one of {sights.in_flight[post.process]} at once, at most {most}")
        assert request.part is not None
        if sights.numbers.isdisjoint(post.numbers):
            if request.part.start < sights.furthest:
                self._say(post, "is the first attempt of what comes before others")
            sights.furthest = max(sights.furthest, request.part.end)
            before = sights.numbers - self._taken[post.webhook]
            if policy.ordered and before - self._put_aside(post.webhook):
                self._say(post, f"overtakes events {sorted(before)[:9]}")

    def arrived(self, post: Post) -> None:
        """Look at a request as it arrives."""
        sights = self._sights[post.webhook]
        if sights.bodies.setdefault(post.batch, post.body) != post.body:
            self._say(post, "has other bytes than before")
        sights.batches.setdefault(post.batch, post.numbers)
        self._read_log()
        order = [self._logged[number] for number in post.numbers]
        if order != sorted(order) or len(set(post.numbers)) < len(post.numbers):
            self._say(post, "is not in the order of acceptance")

    # the state

    async def look(self) -> None:
        """Look at the log, the accounts and the webhooks."""
        self._read_log()
        if lost := self._producers.acknowledged - self._logged.keys():
            self.broken.append(f"events {sorted(lost)[:9]} were acknowledged and are nowhere")
        found = await audit(self._storage, self._dialects)
        self.broken += [f"audit: {problem}" for problem in found.problems]
        for webhook in await self._storage.registry.webhooks():
            self.webhooks[webhook.id] = webhook
            if webhook.state_reason == BROKEN and webhook.id not in self.is_brittle:
                self.broken.append(f"webhook {webhook.id} is paused for an error of ours")

    def _read_log(self) -> None:
        """Take notice of what was accepted since."""
        blocks = self._storage._tables.blocks
        for block_id in range(self._read_to + 1, max(blocks, default=0) + 1):
            for offset, raw in enumerate(blocks[block_id].events()):
                number = int(decode(raw).event_id.removeprefix("e"))
                if number in self._logged:
                    self.broken.append(f"event {number} is in the log twice")
                self._logged[number] = Position(block_id, offset)
            self._read_to = block_id

    def matching(self, webhook: Webhook) -> set[int]:
        """Return the accepted events that a webhook, which was there before them, is to get."""
        carried = self._dialects[webhook.dialect].carries(dict(webhook.options))
        return {
            sent.number
            for sent in self._producers.sent
            if sent.number in self._logged and _is_for(sent, webhook, carried)
        }

    def missing(self, webhook: Webhook) -> set[int]:
        """Return what a webhook has still to get."""
        self._read_log()
        aside = self._put_aside(webhook.id)
        return self.matching(webhook) - self._taken[webhook.id] - aside

    def _put_aside(self, webhook_id: int) -> set[int]:
        """Return the events in parked batches."""
        self._read_log()
        parked = [
            batch.range
            for batch in self._storage._tables.batches.values()
            if batch.webhook_id == webhook_id and batch.state is BatchState.PARKED
        ]
        return {
            number
            for number, position in self._logged.items()
            if any(part.start <= position < part.end for part in parked)
        }

    def finish(self) -> None:
        """Look at what arrived as a whole: a batch comes again as it was, or in parts."""
        for webhook_id, sights in self._sights.items():
            holders: dict[int, list[str]] = defaultdict(list)
            for batch, numbers in sights.batches.items():
                for number in numbers:
                    holders[number].append(batch)
            for number, batches in holders.items():
                for problem in _tangled([sights.batches[each] for each in batches]):
                    self.broken.append(f"webhook {webhook_id}: event {number} came {problem}")

    def _holder(self, webhook_id: int) -> str:
        lease = self._storage._tables.leases.get(webhook_id)
        return "" if lease is None else str(lease.owner)

    def _say(self, post: Post, problem: str) -> None:
        self.broken.append(
            f"webhook {post.webhook}, {post.batch} {list(post.numbers)[:9]}, attempt"
            f" {post.attempt} by {post.process} at {self._time.passed_s:.3f} s {problem}"
        )


def is_active(webhook: Webhook) -> bool:
    return webhook.state is WebhookState.ACTIVE


def _is_for(sent: Sent, webhook: Webhook, carried: Iterable[Any]) -> bool:
    is_wanted = webhook.types is None or sent.type in webhook.types
    return sent.account == webhook.account_id and is_wanted and sent.type in set(carried)


def _tangled(batches: list[tuple[int, ...]]) -> list[str]:
    """Return pairs of batches of which neither is a part of the other."""
    pairs = [(one, other) for at, one in enumerate(batches) for other in batches[:at]]
    return [
        f"in {one[:9]} and {other[:9]}"
        for one, other in pairs
        if not (set(one) <= set(other) or set(other) <= set(one))
    ]
