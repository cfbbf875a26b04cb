"""Test deliveries: sample events, rendered, signed and sent as real ones are, never counted."""

import secrets as random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from postbell import policies
from postbell.attempts import unset, used_of
from postbell.blocks import Range
from postbell.desk import noting
from postbell.desk.core import Core
from postbell.errors import BadInput
from postbell.ingest import accepting
from postbell.lane import changes
from postbell.ports import Claim, Dialect, Request, Signing, Stored
from postbell.records import (
    ALL,
    Entry,
    EntryKind,
    LaneChange,
    Outcome,
    Policy,
    Secret,
    Verdict,
    Webhook,
)
from postbell.signing import signing_at

SAMPLE_SEQUENCE = 1


class Posted(NamedTuple):
    """One test request: what was sent, what came back, whether the policy calls it a success."""

    batch_id: str
    events: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    outcome: Outcome
    is_success: bool


class Trials(Core):
    """One signed batch to a webhook, paused or not; journaled as a test."""

    async def test_webhook(
        self, account_id: int | None, webhook_id: int, event_type: str | None = None
    ) -> Entry:
        """Send the dialect's sample events (of *event_type*, else as many as a batch holds).

        Returns the journal's entry, whose outcome says what the receiver did; its verdict is
        delivered, or None for a failure, because a test is never retried.
        """
        webhook = await self.find_webhook(account_id, webhook_id)
        dialect = self.dialects[webhook.dialect]
        policy = policies.of_webhook(webhook, self.dialects, self.installation_policies)
        samples = _samples(dialect, event_type)[: policy.max_events]
        stored = [self.sample_of(webhook, sample) for sample in samples]
        await self.begin_trial(webhook)
        posted = await self.post_trial(webhook, stored)
        return await self.note_trial(webhook, posted)

    async def begin_trial(self, webhook: Webhook, case: str = "") -> None:
        """Write into the audit trail that a webhook is tested, before anything is sent: the right
        to test may have ended once the receiver has answered."""
        change = noting.of_webhook("webhook.tested", webhook, None, {"case": case})

        async def step(claim: Claim) -> LaneChange:
            return changes.touched(claim.lane)

        await self._intervene(webhook.id, step, lambda *_: change)

    async def post_trial(
        self,
        webhook: Webhook,
        stored: Sequence[Stored],
        *,
        batch_id: str = "",
        secrets: Sequence[Secret] | None = None,
    ) -> Posted:
        """Send these events as one batch; *secrets* sign instead of the webhook's own."""
        dialect = self.dialects[webhook.dialect]
        policy = policies.of_webhook(webhook, self.dialects, self.installation_policies)
        now = self.clock.now()
        if secrets is None:
            account_keys = await self.engine.registry.account_secrets(webhook.account_id)
            secrets = signing_at(webhook.secrets, account_keys, dialect.secret_kinds, now)
        batch_id = batch_id or new_trial_id()
        signing = Signing(
            url=webhook.url,
            batch_id=batch_id,
            attempt=1,
            events=len(stored),
            at=now,
            secrets=secrets,
        )
        body = dialect.render(stored, webhook.options)
        body = dialect.seal(body, signing, webhook.options)
        made = dialect.headers(body, signing, webhook.options)
        own = unset(webhook.headers, made)
        headers = (*made, *own)
        outcome = await self.sender.send(
            Request(
                url=webhook.url,
                headers=headers,
                body=body,
                timeout_s=policy.timeout_s,
                account_id=webhook.account_id,
                webhook_id=webhook.id,
            )
        )
        outcome = msgspec.structs.replace(outcome, used=used_of(webhook.url, own))
        is_success = _is_success(outcome.status, policy)
        return Posted(batch_id, len(stored), headers, body, outcome, is_success)

    async def note_trial(self, webhook: Webhook, posted: Posted, note: str = "") -> Entry:
        """Write a test request to the journal, where no statistics count it."""
        entry = Entry(
            kind=EntryKind.TEST,
            at=self.clock.now(),
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=webhook.revisions[-1].number,
            batch_id=posted.batch_id,
            range=Range(webhook.start, webhook.start),
            count=posted.events,
            attempt=1,
            verdict=Verdict.DELIVERED if posted.is_success else None,
            outcome=posted.outcome,
            body_bytes=len(posted.body),
            note=note,
        )

        async def step(claim: Claim) -> LaneChange:
            return changes.tried(claim.lane, entry)

        await self._intervene(webhook.id, step, lambda *_: None)
        return entry

    def sample_of(self, webhook: Webhook, sample: Mapping[str, Any]) -> Stored:
        """Return the event as the log would hold it, under the webhook's own scope."""
        scope = webhook.api_user
        if scope == ALL:
            known = self.directory.known.api_users_of(webhook.account_id)
            scope = known[0].name if known else "sample"
        now = self.clock.now()
        accepted = accepting.accept(
            msgspec.json.encode(sample),
            account=webhook.account,
            api_user=scope,
            api_user_id=lambda _: 0,
            now=now,
        )
        return Stored(accepted.raw, SAMPLE_SEQUENCE, now)


def new_trial_id() -> str:
    """Return a batch id that no real batch has."""
    return "test_" + random.token_hex(16)


def _samples(dialect: Dialect, event_type: str | None) -> list[dict[str, Any]]:
    samples = list(dialect.sample())
    if event_type is None:
        return samples
    known = list(dict.fromkeys(sample["type"] for sample in samples))
    if event_type not in known:
        raise BadInput(
            f"no sample of type {event_type[:80]!r} in the dialect {dialect.name};"
            f" known: {', '.join(known)}",
            member="type",
            reason="no_sample",
            given=event_type[:80],
            dialect=dialect.title,
        )
    return [sample for sample in samples if sample["type"] == event_type]


def _is_success(status: int | None, policy: Policy) -> bool:
    if status is None:
        return False
    return status in policy.success if policy.success else 200 <= status < 300
