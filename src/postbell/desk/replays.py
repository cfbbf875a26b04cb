"""Replays: old events again, as new batches, to the same or another webhook of the account."""

from collections.abc import Mapping, Sequence
from typing import Any

from postbell.blocks import Position, Range
from postbell.desk import forms
from postbell.desk.core import Core
from postbell.errors import BadInput, Conflict
from postbell.records import BatchState, Replay, ReplayFilter, Webhook

REPLAY_MEMBERS = (
    "webhook_id", "from_webhook_id", "since", "until", "parked", "types", "recipient", "message",
    "rate_per_s",
)  # fmt: skip
MAX_RATE_PER_S = 100_000.0


class Replays(Core):
    """Creating replays; the worker carries them out beside what is new."""

    async def create_replay(
        self, account_id: int | None, webhook_id: int, form: Mapping[str, Any]
    ) -> Replay:
        """Send old events to a webhook again.

        *form*: `since` and `until` (RFC 3339; the whole log without them), or `parked` true for
        the events of all parked batches (of `from_webhook_id` where given); `types`, `recipient`
        and `message` narrow; `rate_per_s` limits events a second, 0 for no limit.
        """
        forms.known_members(form, REPLAY_MEMBERS[1:])
        webhook = await self.find_webhook(account_id, webhook_id)
        parked = forms.check_flag(form.get("parked"), "parked")
        if parked and (form.get("since") is not None or form.get("until") is not None):
            raise BadInput("parked and a time exclude each other; give one", member="parked")
        if not parked and form.get("from_webhook_id") is not None:
            raise BadInput(
                "from_webhook_id goes with parked only; a time range is of the whole account",
                member="from_webhook_id",
            )
        dialect = self.dialects[webhook.dialect]
        narrowed = ReplayFilter(
            types=forms.check_types(form.get("types"), dialect, webhook.options),
            recipient=forms.check_text(form.get("recipient"), "recipient") or "",
            message=forms.check_text(form.get("message"), "message") or "",
        )
        rate_per_s = forms.check_number(
            form.get("rate_per_s"), "rate_per_s", 0, MAX_RATE_PER_S, 0.0
        )
        ranges = await (self._parked(webhook, form) if parked else self._times(webhook, form))
        return await self.engine.ledger.add_replay(
            Replay(
                id=0,
                account_id=webhook.account_id,
                webhook_id=webhook.id,
                revision=webhook.revisions[-1].number,
                ranges=tuple(ranges),
                filter=narrowed,
                created_at=self.clock.now(),
                rate_per_s=rate_per_s,
                position=ranges[0].start,
            )
        )

    async def _times(self, webhook: Webhook, form: Mapping[str, Any]) -> list[Range]:
        log = self.engine.log
        first, last = 0, await log.head() + 1
        if form.get("since") is not None:
            since = forms.check_moment(form["since"], "since")
            first = await log.first_since(since, webhook.account_id)
        if form.get("until") is not None:
            until = forms.check_moment(form["until"], "until")
            last = min(last, await log.first_since(until, webhook.account_id))
        if not await log.headers(webhook.account_id, first, 1) or first >= last:
            raise BadInput(
                "no events were recorded in that time; see since and until", member="since"
            )
        return [Range(Position(first, 0), Position(last, 0))]

    async def _parked(self, webhook: Webhook, form: Mapping[str, Any]) -> list[Range]:
        source = webhook.id
        if form.get("from_webhook_id") is not None:
            source = forms.check_id(form["from_webhook_id"], "from_webhook_id")
            await self.find_webhook(webhook.account_id, source)
        parked = []
        after = ""
        while page := await self.engine.ledger.open_batches(webhook_id=source, after=after):
            parked += [batch.range for batch in page if batch.state is BatchState.PARKED]
            after = page[-1].id
        if not parked:
            raise Conflict(f"webhook {source} has no parked batches")
        return _joined(parked)


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """Return the ranges in order, those that overlap made one."""
    joined: list[Range] = []
    for each in sorted(ranges):
        if joined and each.start < joined[-1].end:
            joined[-1] = Range(joined[-1].start, max(joined[-1].end, each.end))
        else:
            joined.append(each)
    return joined
