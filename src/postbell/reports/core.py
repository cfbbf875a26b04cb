"""The read side: what the CLI, every API and the pages show, in one form.

Values are frozen structs (`views`, `batch_views`, `event_views`).  `account_id` None is the
operator, who sees every account.  Lists return a page and where the next one begins.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from postbell import policies
from postbell.body_limits import in_force
from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import NotFound, laneless
from postbell.lane.lawful import lawful_lane
from postbell.ports import Claim, Dialect, Engine, WeakSetting
from postbell.reading.paging import batch_pages, journal_pages
from postbell.records import BatchState, Entry, Webhook
from postbell.reports import marks
from postbell.reports.batch_views import (
    AttemptView,
    BatchDetail,
    BatchView,
    attempt_view,
    batch_view,
    ending_of,
    finished_view,
)
from postbell.reports.crew import CrewReport
from postbell.reports.exchange import Exchanges
from postbell.reports.opened import OpenBatches
from postbell.reports.outcomes import Outcomes
from postbell.reports.search import Search
from postbell.reports.singles import SinglesReport, Where
from postbell.reports.sources import SourcesReport
from postbell.reports.stats import Stats
from postbell.reports.suppressions import SuppressionsReport
from postbell.reports.timeline import Timeline
from postbell.reports.trail import TrailReport
from postbell.reports.views import (
    AccountView,
    ApiUserView,
    Page,
    ReplayView,
    SecretView,
    WebhookView,
    account_view,
    api_user_view,
    body_limit_view,
    by_id,
    extended,
    replay_view,
    secret_view,
)
from postbell.reports.waiting import BEHIND, FAILING, UP_TO_DATE, Waits, WebhookStanding
from postbell.signing import active_at

EntryTest = Callable[[Entry], bool]


class Reports:
    """Everything that is shown of webhooks, batches, attempts and replays."""

    def __init__(
        self,
        engine: Engine,
        dialects: Mapping[str, Dialect],
        directory: Directory,
        clock: Clock,
        *,
        installation_policies: Mapping[str, Mapping[str, Any]] | None = None,
        has_index: bool = True,
    ) -> None:
        self._engine = engine
        self._dialects = dialects
        self._directory = directory
        self._clock = clock
        self._installation_policies = installation_policies or {}
        self.stats = Stats(engine, clock, has_index=has_index)
        self.search = Search(engine)
        self.timeline = Timeline(engine, dialects, self.search)
        self.outcomes = Outcomes(engine, clock)
        self.open = OpenBatches(engine)
        self.trail = TrailReport(engine, directory)
        self.crew = CrewReport(engine.crew)
        self.sources = SourcesReport(engine.checkpoints, engine.quarantine, clock)
        self.suppressions = SuppressionsReport(engine, directory, clock)
        self.singles = SinglesReport(engine, dialects)
        self.exchange = Exchanges(engine, dialects, self.singles)
        self.waits = Waits(engine, dialects, clock, self._installation_policies)

    async def weak_settings(self) -> list[WeakSetting]:
        """Return what makes less durable than is promised."""
        return await self._engine.weak_settings()

    async def accounts(self) -> list[AccountView]:
        """Return every account, by id."""
        return [account_view(account) for account in await self._engine.registry.accounts()]

    async def api_users(self, account_id: int | None = None) -> list[ApiUserView]:
        """Return api users, revoked ones too, by id; never a key or its hash."""
        return [api_user_view(user) for user in await self._engine.registry.api_users(account_id)]

    async def matching_webhooks(
        self,
        account_id: int | None,
        *,
        dialect: str | None = None,
        api_user: str | None = None,
        state: str | None = None,
    ) -> list[Webhook]:
        """Return records of webhooks by id ascending, narrowed by exact matches."""
        return [
            webhook
            for webhook in await self._engine.registry.webhooks(account_id)
            if dialect in (None, webhook.dialect)
            and api_user in (None, webhook.api_user)
            and state in (None, webhook.state.value)
        ]

    async def webhooks(
        self, account_id: int | None = None, *, after: int = 0, limit: int = 100, **narrow: Any
    ) -> Page[WebhookView]:
        """Return views of webhooks by id; *narrow* as in `matching_webhooks`."""
        found = by_id(await self.matching_webhooks(account_id, **narrow), after, limit)
        return Page([await self.webhook_view(webhook) for webhook in found.rows], found.next)

    async def webhook(self, account_id: int | None, webhook_id: int) -> WebhookView:
        """Return one webhook's view; raise NotFound, DamagedRow where it has no lane."""
        is_id = 0 < webhook_id < 1 << 63
        webhook = await self._engine.registry.webhook(webhook_id) if is_id else None
        if webhook is None or account_id not in (None, webhook.account_id):
            raise NotFound(f"no webhook {webhook_id}")
        view = await self.webhook_view(webhook)
        if not view.health:
            if await self._engine.registry.webhook(webhook_id) is None:
                raise NotFound(f"no webhook {webhook_id}")
            raise laneless(webhook_id)
        return view

    async def webhook_view(self, webhook: Webhook) -> WebhookView:
        """Return a webhook in the words of docs/reference/http.md, with how its delivery stands."""
        policy = policies.of_webhook(webhook, self._dialects, self._installation_policies)
        view = WebhookView(
            id=webhook.id,
            account=webhook.account,
            url=webhook.url,
            api_user=webhook.api_user,
            types=webhook.types,
            dialect=webhook.dialect,
            options=webhook.options,
            policy=policies.on_wire(policy),
            headers=dict(webhook.headers),
            state=webhook.state,
            state_reason=webhook.state_reason,
            revision=webhook.revisions[-1].number,
            created_at=webhook.created_at,
            updated_at=webhook.updated_at,
        )
        claim = await self._engine.ledger.lane(webhook.id)
        return view if claim is None else await self._standing(view, webhook, claim)

    async def _standing(self, view: WebhookView, webhook: Webhook, claim: Claim) -> WebhookView:
        """Add health, counts of waiting and parked events, and how long the oldest waits."""
        lane = lawful_lane(claim.lane, self._clock.now())
        limit = in_force(lane.body_limit, webhook.updated_at, self._clock.now())
        waiting = await self.waits.of(webhook, claim)
        is_behind = self.waits.is_behind(webhook, waiting.lag_s)
        return replace(
            view,
            health=FAILING if lane.failing_since else BEHIND if is_behind else UP_TO_DATE,
            waiting=waiting.events,
            waiting_is_partial=waiting.is_partial,
            parked=claim.parked.events,
            lag_s=round(waiting.lag_s, 3),
            delivered=lane.delivered,
            failures=lane.failures,
            failing_since=lane.failing_since,
            hold_until=lane.hold_until,
            last_success_at=lane.last_success_at,
            body_limit=body_limit_view(limit),
        )

    async def states(self, account_id: int) -> list[WebhookStanding]:
        """Return how each webhook of the account stands, by id: what counts are made of."""
        webhooks = await self.matching_webhooks(account_id)
        return await self.waits.states(account_id, webhooks)

    async def batches(
        self,
        account_id: int | None = None,
        *,
        webhook_id: int | None = None,
        state: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> Page[BatchView]:
        """Return open and parked batches by id; *state* "waiting" or "parked" narrows."""
        rows: list[BatchView] = []
        pages = batch_pages(
            self._engine.ledger,
            webhook_id=webhook_id,
            account_id=account_id,
            state=BatchState(state) if state else None,
            after=after,
            limit=limit,
        )
        async for found in pages:
            for batch in found:
                if batch.done is None:
                    if len(rows) == limit:
                        return Page(rows, rows[-1].id)
                    rows.append(batch_view(batch))
        return Page(rows, None)

    async def finished_batches(
        self,
        account_id: int | None = None,
        *,
        webhook_id: int | None = None,
        after: str = "",
        limit: int = 100,
    ) -> Page[BatchView]:
        """Return batches that were delivered or split, the newest first, from the journal."""
        entries, next_page = await self._entries(
            lambda entry: bool(ending_of(entry)),
            after,
            limit,
            account_id=account_id,
            webhook_id=webhook_id,
        )
        return Page([finished_view(entry) for entry in entries], next_page)

    async def batch(
        self, account_id: int | None, batch_id: str, where: Where | None = None
    ) -> BatchDetail:
        """Return one batch, open or finished, with its attempts, the newest first.

        A run, whose events went out one by one, is shown as one batch of those delivered; a
        single event of one is looked for as *where* says.
        """
        journal = await self._engine.journal.recent(
            batch_id=batch_id, account_id=account_id, limit=1000
        )
        entries = [entry for block in journal for entry in reversed(block.entries)]
        found = await self._engine.ledger.batch(batch_id)
        if found is not None and found.done is None:
            webhook = await self._engine.registry.webhook(found.webhook_id)
            if webhook is not None and account_id in (None, webhook.account_id):
                return _detail(batch_view(found), entries)
        if not entries:
            entries = [await self.singles.find(account_id, batch_id, where)]
        view = finished_view(entries[0])
        runs = [entry for entry in entries if entry.kind.row.is_run]
        if runs:
            view = replace(view, events=sum(run.delivered for run in runs))
        return _detail(view, entries)

    async def attempts(
        self,
        account_id: int | None = None,
        *,
        webhook_id: int | None = None,
        batch_id: str = "",
        after: str = "",
        limit: int = 100,
    ) -> Page[AttemptView]:
        """Return the journal's entries, the newest first: attempts, tests, skips, splits."""
        entries, next_page = await self._entries(
            lambda entry: True,
            after,
            limit,
            account_id=account_id,
            webhook_id=webhook_id,
            batch_id=batch_id,
        )
        return Page([attempt_view(entry) for entry in entries], next_page)

    async def replays(
        self,
        account_id: int | None = None,
        *,
        webhook_id: int | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> Page[ReplayView]:
        """Return replays, the newest first; *after* is the id of the last one seen."""
        found = await self._engine.ledger.replays(
            account_id, limit + 1, webhook_id=webhook_id, before=after
        )
        rows = [replay_view(one) for one in found[:limit]]
        return Page(rows, str(rows[-1].id) if len(found) > limit else None)

    async def secrets(self, webhook: Webhook) -> list[SecretView]:
        """Return the keys of a webhook, with their values, and its account's where those sign."""
        keys = list(webhook.secrets)
        kinds = self._dialects[webhook.dialect].secret_kinds
        mine = [one for one in keys if one.kind in kinds]
        if kinds and not active_at(mine, self._clock.now()):
            account = await self._engine.registry.account_secrets(webhook.account_id)
            keys += [one for one in account if one.kind in kinds]
        return [secret_view(one) for one in keys]

    async def _entries(
        self, wants: EntryTest, after: str, limit: int, **narrow: Any
    ) -> tuple[list[Entry], str | None]:
        """Return *limit* entries, newest first, and the mark of the last one.

        A mark is "block.index": blocks of the journal never change, so it stays right.
        """
        block_id, skip = marks.read(after)
        found: list[tuple[Entry, str]] = []
        before = block_id + 1 if block_id else 0
        pages = journal_pages(self._engine.journal, before=before, limit=limit + 1, **narrow)
        async for blocks in pages:
            for block in blocks:
                for index, entry in enumerate(reversed(block.entries), 1):
                    is_seen = block.id == block_id and index <= skip
                    if not is_seen and wants(entry):
                        found.append((entry, f"{block.id}.{index}"))
                if len(found) > limit:
                    return [entry for entry, _ in found[:limit]], found[limit - 1][1]
        return [entry for entry, _ in found], None


def _detail(view: BatchView, entries: list[Entry]) -> BatchDetail:
    return extended(view, BatchDetail, attempts_made=list(map(attempt_view, entries)))
