"""Replays: old events again, as new batches, to the same or another webhook of the account."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from postbell.blocks import Position, Range
from postbell.desk import forms, noting
from postbell.desk.stopping import Stopping
from postbell.errors import BadInput, Conflict
from postbell.lane import changes
from postbell.ports import MOST_CLAIMED, Claim, Logged
from postbell.reading.found import narrowed, passing
from postbell.reading.match import Selection
from postbell.reading.paging import batch_pages
from postbell.reading.reader import Reader
from postbell.records import (
    BatchState,
    LaneChange,
    OpenBatch,
    Replay,
    ReplayFilter,
    ReplayState,
    Webhook,
)
from postbell.trail import Change

REPLAY_MEMBERS = (
    "webhook_id", "from_webhook_id", "since", "until", "parked", "types", "recipient", "message",
    "rate_per_s",
)  # fmt: skip
MAX_RATE_PER_S = 100_000.0


class ReplaysDesk(Stopping):
    """Creating and cancelling replays; the worker carries them out beside what is new."""

    async def create_replay(
        self, account_id: int | None, webhook_id: int, form: Mapping[str, Any]
    ) -> Replay:
        """Send old events to a webhook again; *form* as in `plan_replay`."""
        return await self.start_replay(await self.plan_replay(account_id, webhook_id, form))

    async def start_replay(self, plan: Replay) -> Replay:
        """Carry out what `plan_replay` planned."""
        return await self.trailed(
            self.engine.ledger.add_replay(plan),
            lambda made: noting.of_replay("replay.started", made, _members(made)),
        )

    async def cancel_replay(self, account_id: int | None, replay_id: int) -> Replay:
        """End a replay: what it has not sent is skipped; its parked batches stay.

        Raises Conflict where a request of it is under way for longer than STILL_S: the replay is
        ended, but that batch goes on until this is asked for once more.
        """
        replay = await self.find_replay(account_id, replay_id)
        webhook = await self.find_webhook(account_id, replay.webhook_id)
        now = self.clock.now()

        async def waiting(claim: Claim) -> list[OpenBatch]:
            return [b for b in await self._waiting(claim) if b.replay_id == replay_id]

        async def end(claim: Claim) -> LaneChange | None:
            stands = await self.find_replay(account_id, replay_id)
            is_over = stands.state is not ReplayState.RUNNING and not await waiting(claim)
            if is_over or stands.state is ReplayState.CANCELLED:
                return None
            return changes.replay_ended(claim.lane, stands)

        async def leave(claim: Claim) -> LaneChange | None:
            own = await waiting(claim)
            gone = [batch for batch in own if self.is_still(claim, batch)]
            if not own:
                return None
            others = [batch for batch in own if batch not in gone]
            return changes.replay_left(claim.lane, gone, others, now)

        def skipped(_: Claim, left: LaneChange) -> Change | None:
            told = {"events": sum(entry.count for entry in left.entries), "replay": replay_id}
            return noting.of_webhook("events.skipped", webhook, None, told) if left.drop else None

        await self._intervene(
            webhook.id, end, lambda *_: noting.of_replay("replay.cancelled", replay, {})
        )
        await self.stop_replay(webhook.id, replay_id)
        await self._intervene(webhook.id, leave, skipped)
        if await waiting(await self._claim(webhook.id, MOST_CLAIMED)):
            raise Conflict(
                f"replay {replay_id} is ended, but a request of it is under way, and what is not"
                " taken of it goes on; cancel it once more to leave that out, too",
                reason="replay_under_way",
            )
        return await self.find_replay(account_id, replay_id)

    async def preview_replay(self, plan: Replay) -> AsyncIterator[Sequence[Logged]]:
        """Yield the events that a replay would send, in order, a few at a time."""
        webhook = await self.find_webhook(plan.account_id, plan.webhook_id)
        revision = webhook.revisions[-1]
        selection = Selection.of(self.dialects[revision.dialect], revision)
        selection = narrowed(selection, plan.filter)
        reader = Reader(self.engine.log, max_bytes=0)
        for part in plan.ranges:
            async for page in reader.pages(plan.account_id, part.start.block, part.end.block):
                for header in filter(selection.wants, page):
                    found = await reader.events(plan.account_id, part, selection, (header.id,))
                    yield passing(found, plan.filter).events

    async def plan_replay(
        self, account_id: int | None, webhook_id: int, form: Mapping[str, Any]
    ) -> Replay:
        """Return the replay that *form* asks for, checked and not stored (its id is 0).

        *form*: `since` and `until` (RFC 3339; the whole log without them), or `parked` true for
        the events of all parked batches (of `from_webhook_id` where given); `types`, `recipient`
        and `message` narrow; `rate_per_s` limits events a second, 0 for no limit.
        """
        forms.known_members(form, REPLAY_MEMBERS[1:])
        webhook = await self.find_webhook(account_id, webhook_id)
        parked = forms.check_flag(form.get("parked"), "parked")
        if parked and (form.get("since") is not None or form.get("until") is not None):
            raise BadInput(
                "parked and a time exclude each other; give one",
                member="parked",
                reason="parked_or_time",
            )
        if not parked and form.get("from_webhook_id") is not None:
            raise BadInput(
                "from_webhook_id goes with parked only; a time range is of the whole account",
                member="from_webhook_id",
                reason="parked_only",
            )
        dialect = self.dialects[webhook.dialect]
        wanted = ReplayFilter(
            types=forms.check_types(form.get("types"), dialect, webhook.options),
            recipient=forms.check_text(form.get("recipient"), "recipient") or "",
            message=forms.check_text(form.get("message"), "message") or "",
        )
        rate_per_s = forms.check_number(
            form.get("rate_per_s"), "rate_per_s", 0, MAX_RATE_PER_S, 0.0
        )
        ranges = await (self._parked(webhook, form) if parked else self._times(webhook, form))
        return Replay(
            id=0,
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=webhook.revisions[-1].number,
            ranges=tuple(ranges),
            filter=wanted,
            created_at=self.clock.now(),
            rate_per_s=rate_per_s,
            position=ranges[0].start,
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
                "no events were recorded in that time; see since and until",
                member="since",
                reason="no_events_then",
            )
        return [Range(Position(first, 0), Position(last, 0))]

    async def _parked(self, webhook: Webhook, form: Mapping[str, Any]) -> list[Range]:
        source = webhook.id
        if form.get("from_webhook_id") is not None:
            source = forms.check_id(form["from_webhook_id"], "from_webhook_id")
            await self.find_webhook(webhook.account_id, source)
        pages = batch_pages(self.engine.ledger, webhook_id=source, state=BatchState.PARKED)
        parked = [batch.range async for page in pages for batch in page]
        if not parked:
            raise Conflict(f"webhook {source} has no parked batches", reason="none_parked")
        return _joined(parked)


def _members(replay: Replay) -> dict[str, Any]:
    """Return what the audit trail says of a new replay."""
    first, last = replay.ranges[0].start, replay.ranges[-1].end
    members = {
        "webhook_id": replay.webhook_id,
        "from": f"{first.block}:{first.offset}",
        "to": f"{last.block}:{last.offset}",
        "types": ", ".join(replay.filter.types or ()),
        "recipient": replay.filter.recipient,
        "message": replay.filter.message,
        "rate_per_s": replay.rate_per_s,
    }
    return {name: value for name, value in members.items() if value}


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """Return the ranges in order, those that overlap made one."""
    joined: list[Range] = []
    for each in sorted(ranges):
        if joined and each.start < joined[-1].end:
            joined[-1] = Range(joined[-1].start, max(joined[-1].end, each.end))
        else:
            joined.append(each)
    return joined
