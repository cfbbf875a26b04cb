"""What every part of the desk works with, and the few questions that all of them ask."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from postbell.clock import Clock
from postbell.desk import noting
from postbell.desk.acting import acting, acts, by_key
from postbell.desk.auth import Authentication, ClientAddress
from postbell.desk.pace import Allowance, CallRate
from postbell.directory import Caller, Directory
from postbell.errors import Conflict, NotFound, Overloaded, ServiceError, StorageError, laneless
from postbell.holding import claim
from postbell.lane import changes
from postbell.ports import MOST_CLAIMED, Claim, Dialect, Engine, Sender, UrlGuard
from postbell.reading.paging import batch_pages
from postbell.records import Account, BatchState, LaneChange, OpenBatch, Replay, Webhook
from postbell.rights import Right
from postbell.signals import tell
from postbell.trail import Actor, Change, TrailEntry, entry_of
from postbell.warrants import under

T = TypeVar("T")

MAX_TRIES = 20
INGEST_AGE_S = 0.05

NextChange = Callable[[Claim], Awaitable[LaneChange | None]]
"""Makes the next change of a lane from its present state, None for nothing to do."""

Note = Callable[[Claim, LaneChange], Change | None]
"""Says of a lane and what changes it what the trail keeps, None for nothing."""


class Core:
    """Engine, dialects, guard, clock and directory; *installation_policies* maps the name of a
    dialect to the policy members that the operator set for it, *calls_per_s* limits the
    management requests of an account, with a burst of ten seconds' worth."""

    def __init__(
        self,
        engine: Engine,
        dialects: Mapping[str, Dialect],
        guard: UrlGuard,
        clock: Clock,
        directory: Directory,
        *,
        installation_policies: Mapping[str, Mapping[str, Any]] | None = None,
        max_webhooks_per_account: int = 1000,
        max_api_users_per_account: int = 1000,
        sender: Sender | None = None,
        calls_per_s: float = 100.0,
    ) -> None:
        self.engine = engine
        self.dialects = dialects
        self.guard = guard
        self.clock = clock
        self.directory = directory
        self.installation_policies = installation_policies or {}
        self.max_webhooks_per_account = max_webhooks_per_account
        self._sender = sender
        self.max_api_users_per_account = max_api_users_per_account
        self._authentication = Authentication(directory, clock, engine.registry)
        self.pace = CallRate(calls_per_s, clock)

    async def authenticate(
        self, authorization: str | None, *, client: ClientAddress = None, right: Right
    ) -> Caller:
        """Return who the value of an Authorization header names; raise Unauthorized otherwise.

        *client* is the ASGI scope's.  Raises Forbidden where the key is not good for *right*,
        TooMany where the client's network sent too many wrong ones, Overloaded where too many
        wait for their check.
        """
        caller = await self._authentication.check(authorization, client, right)
        claim(caller.account.id)
        tell(account=caller.account.name, api_user=caller.api_user.name)
        return caller

    async def caller(self, key_id: int, right: Right) -> Caller:
        """Return who calls by a key that was checked before (a token says which), as above."""
        caller = await self._authentication.caller(key_id, right)
        claim(caller.account.id)
        tell(account=caller.account.name, api_user=caller.api_user.name)
        return caller

    async def confirm(self, caller: Caller, right: Right) -> Caller:
        """Return the caller as he is now, after something was waited for.

        Raises Unauthorized where his key was revoked, replaced or has ended meanwhile, Forbidden
        where it is not good for *right*.  Ingest may be late by INGEST_AGE_S, if another process
        changed the key; anything else asks the registry.
        """
        age_s = INGEST_AGE_S if right is Right.INGEST else 0.0
        return await self._authentication.caller(caller.key.id, right, max_age_s=age_s)

    def fail(self, client: ClientAddress) -> None:
        """Count credentials that are wrong; raise TooMany where their network sent too many."""
        self._authentication.fail(client)

    async def note_uses(self) -> None:
        """Write down which keys were used since the last time."""
        used = self._authentication.take_used()
        if not used:
            return
        try:
            await self.engine.registry.note_api_keys_used(used, self.clock.now())
        except (Overloaded, StorageError):
            self._authentication.put_back_used(used)
            raise

    @asynccontextmanager
    async def acting(
        self, caller: Caller, right: Right, *, client: ClientAddress, face: str
    ) -> AsyncIterator[Caller]:
        """Give the caller as he is now, when everything that he sends was read; what is written
        inside the block is his, and written while his key is good, or not at all.

        *client* is the ASGI scope's, *face* where he came in.  Raises as `confirm` does.
        """
        fresh = await self.confirm(caller, right)
        with under(fresh.warrant), acts(by_key(fresh, client, face)):
            yield fresh

    def admit(self, caller: Caller) -> Allowance:
        """Count one management request of the caller's account; raise TooMany over its rate."""
        return self.pace.admit(caller.account.id)

    @property
    def sender(self) -> Sender:
        if self._sender is None:
            raise ServiceError("this process makes no requests; ask a running `postbell serve`")
        return self._sender

    async def find_account(self, name: str) -> Account:
        """Return the account of this name; raise NotFound."""
        for account in await self.engine.registry.accounts():
            if account.name == name:
                return account
        raise NotFound(f"no account {name!r}; create it first")

    async def find_webhook(self, account_id: int | None, webhook_id: int) -> Webhook:
        """Return a webhook of the account (of any for None); raise NotFound."""
        webhook = None
        if 0 < webhook_id < 1 << 63:
            webhook = await self.engine.registry.webhook(webhook_id)
        if webhook is None or (account_id is not None and webhook.account_id != account_id):
            raise NotFound(f"no webhook {webhook_id}")
        return webhook

    async def find_replay(self, account_id: int | None, replay_id: int) -> Replay:
        """Return a replay of the account (of any for None); raise NotFound."""
        replay = await self.engine.ledger.replay(replay_id) if 0 < replay_id < 1 << 63 else None
        if replay is None or account_id not in (None, replay.account_id):
            raise NotFound(f"no replay {replay_id}")
        return replay

    async def trailed(
        self,
        write: Coroutine[Any, Any, T],
        change_of: Callable[[T], Change | None],
        *,
        actor: Actor | None = None,
    ) -> T:
        """Do one write of the engine with its entry in the audit trail, in one commit.

        *change_of* says of what the write returned what is kept, None for nothing; who did it is
        who acts now, or *actor*.  Every write of the desk that changes something goes through here.
        """
        who, now = actor or acting(), self.clock.now()

        def entry(made: T) -> TrailEntry | None:
            change = change_of(made)
            return None if change is None else entry_of(who, now, change)

        return await self.engine.trail.along(write, entry)

    async def _claim(self, webhook_id: int, most: int) -> Claim:
        claim = await self.engine.ledger.lane(webhook_id, most=most)
        if claim is None:
            await self.find_webhook(None, webhook_id)  # or it was deleted meanwhile
            raise laneless(webhook_id)
        return claim

    async def _waiting(self, claim: Claim) -> list[OpenBatch]:
        """Return all batches of a lane that wait, those, too, that did not come with it."""
        if not claim.has_more:
            return claim.batches
        webhook_id, waits = claim.lane.webhook_id, BatchState.WAITING
        pages = batch_pages(self.engine.ledger, webhook_id=webhook_id, state=waits)
        return [batch async for page in pages for batch in page]

    async def _rewrite(
        self,
        account_id: int | None,
        webhook_id: int,
        change: Callable[[Webhook], Webhook],
        action: str = "webhook.changed",
        *,
        is_url_unique: bool = False,
    ) -> tuple[Webhook, Webhook]:
        """Store what *change* makes of a webhook and return it as it was and as it is; made
        again where the worker or another process changed it meanwhile."""

        def note(before: Webhook) -> Callable[[Webhook], Change]:
            was = noting.webhook_members(before)
            return lambda after: noting.of_webhook(
                action, after, was, noting.webhook_members(after)
            )

        async def write() -> tuple[Webhook, Webhook]:
            before = await self.find_webhook(account_id, webhook_id)
            after = change(before)
            if after == before:
                return before, before
            stored = self.engine.registry.set_webhook(
                after, expect=before, is_url_unique=is_url_unique
            )
            return before, await self.trailed(stored, note(before))

        return await self._persist(write)

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Return what *write* returns, which reads and then writes what it read if that is still
        so: done again where somebody else was faster."""
        for _ in range(MAX_TRIES):
            try:
                return await write()
            except Conflict as error:
                if error.reason != "kept_moving":
                    raise
        raise Conflict("this kept changing while it was changed; try again", reason="kept_moving")

    async def _intervene(
        self,
        webhook_id: int,
        change: NextChange,
        note: Note | None = None,
        *,
        most: int = MOST_CLAIMED,
    ) -> None:
        """Apply what *change* makes of the lane; tried again where the worker moved it meanwhile.

        The trail keeps what *note* says of the change that was applied.  The claim has *most* of
        the batches that wait.

        After that its epoch is raised first: the worker then reads the lane and the registry
        again before it can write, or it would always be the faster one.
        """
        for _ in range(MAX_TRIES):
            claim = await self._claim(webhook_id, most)
            step = await change(claim)
            if step is None:
                return
            kept = note(claim, step) if note is not None else None
            write = self.engine.ledger.intervene(step)
            if await self.trailed(write, _once_done(kept)):
                return
            await self.engine.ledger.intervene(changes.touched(claim.lane))
        raise Conflict(
            f"webhook {webhook_id} kept moving while it was changed; try again",
            reason="kept_moving",
        )


def _once_done(change: Change | None) -> Callable[[bool], Change | None]:
    return lambda is_done: change if is_done else None
