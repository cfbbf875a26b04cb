"""The cases that the test button plays against a webhook's URL, with a verdict for each.

Every type, a full batch, a duplicate, a pair out of order, a wrong signature: what a receiver
meets in a year.  Nothing of it is counted.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from postbell import policies
from postbell.clock import rfc3339
from postbell.desk.secrets import sample_secrets
from postbell.desk.trials import Posted, Trials, new_trial_id
from postbell.errors import NotFound
from postbell.ports import Stored
from postbell.records import Webhook

MAX_FULL_EVENTS = 1000
PLAY_S = 90.0
REFUSALS = range(400, 500)

TYPE, FULL, DUPLICATE, ORDER, SIGNATURE = "type", "full", "duplicate", "order", "signature"
KINDS = (TYPE, FULL, DUPLICATE, ORDER, SIGNATURE)

GOOD, BAD, LEFT_OUT = "good", "bad", "left_out"


class Case(NamedTuple):
    """One case: its requests, and *verdict*: good, bad, or left_out with *why*."""

    kind: str
    word: str
    posted: Sequence[Posted]
    verdict: str
    why: str = ""


Play = Callable[[], Awaitable[Case]]


class Cases(Trials):
    """Playing the cases, one request after the other."""

    async def play_cases(
        self, account_id: int | None, webhook_id: int, only: str = ""
    ) -> list[Case]:
        """Play all cases, or those of one kind, and return them with verdicts.

        A receiver that cannot be reached at all is asked once; after PLAY_S the rest is left out.
        """
        if only and only not in KINDS:
            raise NotFound(f"no kind of test {only[:40]!r}; known: {', '.join(KINDS)}")
        webhook = await self.find_webhook(account_id, webhook_id)
        await self.begin_trial(webhook, only)
        ends_at_s = self.clock.monotonic_s() + PLAY_S
        played: list[Case] = []
        why = ""
        for kind, word, play in self._plan(webhook, only):
            if why:
                played.append(Case(kind, word, (), LEFT_OUT, why))
                continue
            case = await play()
            played.append(case)
            if any(posted.outcome.error in _UNREACHABLE for posted in case.posted):
                why = "unreachable"
            elif self.clock.monotonic_s() > ends_at_s:
                why = "too_slow"
        for kind, posted in [(case.kind, posted) for case in played for posted in case.posted]:
            await self.note_trial(webhook, posted, note=kind)
        return played

    def _plan(self, webhook: Webhook, only: str) -> list[tuple[str, str, Play]]:
        """Return kind, word and play of each case, in order; only of types that it gets."""
        dialect = self.dialects[webhook.dialect]
        told = dialect.carries(webhook.options)
        if webhook.types is not None:
            told = told.intersection(webhook.types)
        samples = [sample for sample in dialect.sample() if sample["type"] in told]
        plan: list[tuple[str, str, Play]] = [
            (TYPE, sample["type"], partial(self.play_type, webhook, sample)) for sample in samples
        ]
        for kind, play in (
            (FULL, self.play_full),
            (DUPLICATE, self.play_duplicate),
            (ORDER, self.play_order),
            (SIGNATURE, self.play_signature),
        ):
            plan.append((kind, "", partial(play, webhook, samples)))
        return [each for each in plan if only in ("", each[0])] if samples else []

    async def play_type(self, webhook: Webhook, sample: dict[str, Any]) -> Case:
        """Send one event alone."""
        posted = await self.post_trial(webhook, [self.sample_of(webhook, sample)])
        return Case(TYPE, sample["type"], (posted,), _taken(posted))

    async def play_full(self, webhook: Webhook, samples: Sequence[dict[str, Any]]) -> Case:
        """Send as much as one batch of this webhook may hold."""
        policy = policies.of_webhook(webhook, self.dialects, self.installation_policies)
        limit = min(policy.max_events, MAX_FULL_EVENTS)
        if limit == 1:
            return Case(FULL, "", (), LEFT_OUT, "one_event")
        dialect = self.dialects[webhook.dialect]
        stored: list[Stored] = []
        size_bytes = 0
        trial = new_trial_id()
        for number in range(limit):
            sample = samples[number % len(samples)] | {"event_id": f"{trial}-{number}"}
            event = self.sample_of(webhook, sample)
            size_bytes += len(dialect.render([event], webhook.options))
            if stored and size_bytes > policy.max_bytes:
                break
            stored.append(event)
        posted = await self.post_trial(webhook, stored, batch_id=trial)
        return Case(FULL, "", (posted,), _taken(posted))

    async def play_duplicate(self, webhook: Webhook, samples: Sequence[dict[str, Any]]) -> Case:
        """Send one batch twice, under one id, as after an answer that was lost."""
        stored = [self.sample_of(webhook, samples[0])]
        trial = new_trial_id()
        first = await self.post_trial(webhook, stored, batch_id=trial)
        second = await self.post_trial(webhook, stored, batch_id=trial)
        both = GOOD if first.is_success and second.is_success else BAD
        return Case(DUPLICATE, "", (first, second), both)

    async def play_order(self, webhook: Webhook, samples: Sequence[dict[str, Any]]) -> Case:
        """Send what happened later first, as after a retry."""
        now = self.clock.now()
        pair = (samples[-1], samples[0]) if len(samples) > 1 else (samples[0], samples[0])
        times = (now, now - timedelta(minutes=5))
        posted = [
            await self.post_trial(
                webhook, [self.sample_of(webhook, sample | {"occurred_at": rfc3339(at)})]
            )
            for sample, at in zip(pair, times, strict=True)
        ]
        return Case(ORDER, "", posted, GOOD if all(p.is_success for p in posted) else BAD)

    async def play_signature(self, webhook: Webhook, samples: Sequence[dict[str, Any]]) -> Case:
        """Sign with a key that the receiver does not know: it should refuse, with a 4xx."""
        dialect = self.dialects[webhook.dialect]
        if not dialect.secret_kinds:
            return Case(SIGNATURE, "", (), LEFT_OUT, "unsigned")
        posted = await self.post_trial(
            webhook,
            [self.sample_of(webhook, samples[0])],
            secrets=sample_secrets(dialect, self.clock.now()),
        )
        is_refused = posted.outcome.status in REFUSALS
        return Case(SIGNATURE, "", (posted,), GOOD if is_refused else BAD)


def _taken(posted: Posted) -> str:
    return GOOD if posted.is_success else BAD


_UNREACHABLE = frozenset(("dns", "refused_address", "connect", "tls"))
