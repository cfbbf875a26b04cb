"""Test deliveries: sample events, rendered, signed and sent as real ones are, never counted."""

import secrets as random
from collections.abc import Mapping
from typing import Any

import msgspec

from postbell import accepting, policies
from postbell.blocks import Range
from postbell.desk.core import Core
from postbell.desk.secrets import signing_secrets
from postbell.errors import BadInput
from postbell.ports import Claim, Dialect, Request, Signing, Stored
from postbell.records import ALL, Entry, EntryKind, LaneChange, Policy, Verdict, Webhook

SAMPLE_SEQUENCE = 1


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
        stored = self._samples(webhook, dialect, event_type)[: policy.max_events]
        now = self.clock.now()
        batch_id = "test_" + random.token_hex(16)
        account_keys = await self.engine.registry.account_secrets(webhook.account_id)
        signing = Signing(
            batch_id=batch_id,
            attempt=1,
            events=len(stored),
            at=now,
            secrets=signing_secrets(webhook.secrets, account_keys, now),
        )
        body = dialect.render(stored, webhook.options)
        outcome = await self.sender.send(
            Request(
                url=webhook.url,
                headers=(*dialect.headers(body, signing, webhook.options), *webhook.headers),
                body=body,
                timeout_s=policy.timeout_s,
                account_id=webhook.account_id,
                webhook_id=webhook.id,
            )
        )
        entry = Entry(
            kind=EntryKind.TEST,
            at=now,
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=webhook.revisions[-1].number,
            batch_id=batch_id,
            range=Range(webhook.start, webhook.start),
            count=len(stored),
            attempt=1,
            verdict=Verdict.DELIVERED if _is_success(outcome.status, policy) else None,
            outcome=outcome,
            body_bytes=len(body),
        )

        async def step(claim: Claim) -> LaneChange:
            return LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, entries=(entry,))

        await self._intervene(webhook.id, step)
        return entry

    def _samples(self, webhook: Webhook, dialect: Dialect, event_type: str | None) -> list[Stored]:
        samples = dialect.sample()
        if event_type is not None:
            known = list(dict.fromkeys(sample["type"] for sample in samples))
            if event_type not in known:
                raise BadInput(
                    f"no sample of type {event_type[:80]!r} in the dialect {dialect.name};"
                    f" known: {', '.join(known)}",
                    member="type",
                )
            samples = [sample for sample in samples if sample["type"] == event_type]
        return [self._stored(webhook, sample) for sample in samples]

    def _stored(self, webhook: Webhook, sample: Mapping[str, Any]) -> Stored:
        """Return the event as the log would hold it, under the webhook's own scope."""
        scope = webhook.api_user
        if scope == ALL:
            known = self.directory.api_users_of(webhook.account_id)
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


def _is_success(status: int | None, policy: Policy) -> bool:
    if status is None:
        return False
    return status in policy.success if policy.success else 200 <= status < 300
