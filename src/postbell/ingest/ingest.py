"""The first stage: events come in, are checked, told from duplicates, and become durable.

Requests that wait at the same moment share one commit.  Answers come after the commit that
survives `kill -9` and power loss (promise 1); `worker` hears of the new blocks by the bell.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec

from postbell.blocks import IdBlock, NewBlock
from postbell.clock import Clock
from postbell.directory import Directory, no_account
from postbell.errors import BadInput, HeadMoved, Overloaded, ServiceError, StorageError
from postbell.events import Draft, event_id_of
from postbell.fences import note
from postbell.ingest.accepting import Accepting
from postbell.ingest.packing import Packer, known_in
from postbell.ingest.parsing import (
    EventTurns,
    check_digest,
    checked,
    fenced,
    moved,
    request_of,
    with_refused,
)
from postbell.ingest.queueing import KEY_KEPT, Answer, Queue, Rejected, Repeated, WaitingRequest
from postbell.ingest.seen import PART_IDS, Seen
from postbell.ports import Engine, Fact, Progress
from postbell.records import Account, ApiUser, IdempotencyKey
from postbell.signals import log

APPEND_TRIES = 50
IDS_PAGE = 2000
STOPPING = "the service is stopping; send the events again"


class Ingest:
    """Takes requests, commits them in groups, answers.

    At most *max_queued_bytes* wait for a commit; beyond that requests are turned away.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        directory: Directory,
        *,
        dedup_hours: float = 72,
        dedup_ids: int = 50_000_000,
        max_queued_bytes: int = 64 << 20,
    ) -> None:
        self._engine = engine
        self.clock = clock
        self._directory = directory
        self._seen = Seen(hours=dedup_hours, max_ids=dedup_ids)
        self._dedup_kept = timedelta(hours=dedup_hours)
        self._queue = Queue(max_queued_bytes)
        self._work = asyncio.Event()
        self.is_ready = False
        self._is_settled = True  # nothing was learnt that our last commit does not stand behind

    async def start(self) -> None:
        """Read the ids of the past, so that duplicates of events before a restart are known."""
        began = self.clock.monotonic_s()
        now = self.clock.now()
        if not self.clock.is_sure:
            now = min(now, await self._engine.log.newest_at() or now)
        since = now - self._dedup_kept
        self._seen.head = await self._engine.log.first_since(since) - 1
        await self._learn()
        seconds = self.clock.monotonic_s() - began
        log("duplicates_known", ids=len(self._seen), seconds=round(seconds, 3))
        self.is_ready = True

    async def run(self) -> None:
        """Commit what waits, group by group, until cancelled; then turn the rest away."""
        try:
            while True:
                await self._work.wait()
                group = self._queue.next_group()
                if not self._queue:
                    self._work.clear()
                if group:
                    await self._commit(group)
        finally:
            self.is_ready = False
            for request in self._queue.waiting():
                request.fail(Overloaded(STOPPING))

    async def submit(
        self,
        account: Account,
        api_user: ApiUser,
        raws: Sequence[bytes | msgspec.Raw],
        *,
        atomic: bool = False,
        key: str = "",
        digest: bytes = b"",
    ) -> Answer:
        """Store these events and return once they are durable.

        *atomic* stores all or none: BadInput `atomic_rejected` names the first bad event.
        *key* is an Idempotency-Key, *digest* that of the body under it: the same key and body
        within 72 hours get the first answer again, another body BadInput
        `idempotency_key_reused`.  Raises Overloaded and StorageError, after which nothing is
        known to be stored.
        """
        self._queue.check_room(account.id)
        if key:
            answer = await self._answered(account, key, digest)
            if answer is not None:
                return answer
        request = await self._parse(account, api_user, raws, key, digest)
        if atomic and request.rejected:
            first = request.rejected[0]
            raise BadInput(
                f"nothing was stored: event {first.index} is bad ({first.message}), and"
                f" atomic=true takes all or none; {len(request.rejected)} bad in all",
                member=f"[{first.index}]",
                code="atomic_rejected",
            )
        if not request.raws and not key:
            return Answer(0, 0, request.rejected)
        try:
            return await self._written(request)
        finally:
            del request  # an error's trace holds this frame: a failed request must not hold itself

    async def take(
        self,
        account: Account,
        api_user: ApiUser,
        drafts: Sequence[Draft],
        facts: Sequence[Fact],
        progress: Progress,
    ) -> Answer:
        """Store what a source read, and that it did, and return once both are durable: in one
        commit, whatever accounts the drafts name.

        *account* and *api_user* are of those that name none.  *facts* has the fact of each draft:
        one of which a draft is rejected goes to the source's quarantine.  Raises Conflict, and
        nothing is stored, where the source does not stand where its progress is from; Overloaded
        and StorageError as `submit`.
        """
        by_account: dict[str, list[int]] = {account.name: []}
        for index, draft in enumerate(drafts):
            by_account.setdefault(draft.account or account.name, []).append(index)
        rejected: list[Rejected] = []
        parts = []
        for name, indexes in by_account.items():
            owner = account if name == account.name else await self._account_named(name)
            if owner is None:
                said = no_account(name)
                rejected += [Rejected(index, "unknown_account", said) for index in indexes]
                continue
            self._queue.check_room(owner.id)
            user = api_user if owner is account else None
            passed = self._accepting(owner, user)
            chosen = [drafts[index] for index in indexes]
            bad = await checked(partial(fenced, passed), chosen, self._directory.look_again)
            rejected += [Rejected(indexes[each.index], each.code, each.message) for each in bad]
            parts.append(request_of(owner, passed, rejected))
        request, *others = parts
        request.progress = with_refused(progress, facts, rejected)
        request.others = tuple(others)
        try:
            return await self._written(request)
        finally:
            del request, parts, others

    async def tell(self, account: Account, drafts: Sequence[Draft], told: int) -> Answer:
        """Store events that say what changed on the suppression list, and that its changes up to
        the revision *told* were told, in one commit; raises Overloaded and StorageError as
        `submit`."""
        passed = self._accepting(account, None)
        drafted = partial(fenced, passed)
        rejected = await checked(drafted, drafts, self._directory.look_again)
        request = request_of(account, passed, rejected)
        request.told = told
        try:
            return await self._written(request)
        finally:
            del request

    async def _written(self, request: WaitingRequest) -> Answer:
        """Let a request wait for its commit."""
        self._queue.put(request)
        self._work.set()
        try:
            return await request.done
        except HeadMoved:
            raise StorageError("other processes kept appending; send the events again") from None
        finally:
            del request

    async def _account_named(self, name: str) -> Account | None:
        return await self._directory.find(lambda known: known.account_named(name))

    def _accepting(self, account: Account, api_user: ApiUser | None) -> Accepting:
        def user_id(name: str) -> int | None:
            if api_user is not None and name == api_user.name:
                return api_user.id
            return self._directory.known.api_user_id(account.id, name)

        own = "" if api_user is None else api_user.name
        return Accepting(account.name, own, user_id, self.clock.now())

    async def _parse(
        self,
        account: Account,
        api_user: ApiUser,
        raws: Sequence[bytes | msgspec.Raw],
        key: str,
        digest: bytes,
    ) -> WaitingRequest:
        """Check every event; a large request lets others have their turn in between."""
        passed = self._accepting(account, api_user)
        rejected = await checked(passed.take, raws, self._directory.look_again)
        return request_of(account, passed, rejected, key, digest)

    async def _answered(self, account: Account, key: str, digest: bytes) -> Repeated | None:
        """Return the answer that this key got before, once that is durable."""
        for request in self._queue.waiting(account.id):
            if request.key == key:
                check_digest(key, request.digest, digest)
                first = await asyncio.shield(request.done)
                return Repeated(first.accepted, first.duplicates, first.rejected)
        kept = await self._engine.log.find_key(account.id, key)
        if kept is None:
            return None
        if kept.at + KEY_KEPT < self.clock.now() and self.clock.is_sure:
            return None
        check_digest(key, kept.digest, digest)
        await self._engine.log.settle()
        return msgspec.json.decode(kept.answer, type=Repeated)

    async def _commit(self, group: list[WaitingRequest]) -> None:
        """Write a group and answer its requests; a failure is everybody's answer."""
        taken = list(group)
        try:
            await self._commit_together(group)
        finally:
            self._queue.done(taken)

    async def _commit_together(self, group: list[WaitingRequest]) -> None:
        """Write a group; where that fails for another reason than storage each request is written
        alone, so that one fails and no other."""
        try:
            await self._append(group)
        except (StorageError, Overloaded) as error:
            for request in group:
                request.fail(error.with_traceback(None))
        except asyncio.CancelledError:
            for request in group:
                request.fail(Overloaded(STOPPING))
            raise
        except Exception as error:
            left = [request for request in group if not request.done.done()]
            if len(left) > 1:
                for request in left:
                    await self._commit_together([request])
                return
            for request in left:
                note("ingest", error, item="a request", account=request.account.name)
                request.fail(ServiceError("an internal error; it was logged"))
        for request in group:
            if not request.done.done():
                request.done.set_result(request.answer)

    async def _append(self, group: list[WaitingRequest]) -> None:
        for attempt in range(APPEND_TRIES):
            group[:] = await self._without_answered(group, is_first=attempt == 0)
            now = self.clock.now()
            blocks = await self._blocks(group)
            keys = [_key_of(request, now) for request in group if request.key]
            progress = [request.moved for request in group if request.moved is not None]
            told = max(request.told for request in group) if group else 0
            if not blocks and not keys and not progress and not told:
                if not self._is_settled:
                    await self._engine.log.settle()
                self._is_settled = True
                return
            try:
                done = await self._engine.log.append(
                    blocks,
                    keys,
                    head=self._seen.head,
                    now=now,
                    keys_since=now - KEY_KEPT,
                    progress=progress,
                    told=told,
                )
            except HeadMoved:
                if attempt == APPEND_TRIES - 1:
                    raise
                await self._learn()
                continue
            self._seen.learn(done.others)
            for header, block in zip(done.headers, blocks, strict=True):
                self._seen.add(IdBlock(header.id, header.recorded_at, block.hashes))
            self._is_settled = True
            self._forget()
            return

    async def _without_answered(
        self, group: list[WaitingRequest], *, is_first: bool
    ) -> list[WaitingRequest]:
        """Answer requests whose key another process has stored meanwhile, and refuse sources that
        stand elsewhere by now, or of which a fact that was read again is gone; return the others.
        """
        left = []
        for request in group:
            progress = None if is_first else request.progress
            if progress is not None and not await self._stands(progress):
                request.fail(moved(progress.source))
                continue
            if request.key and not is_first:
                try:
                    answer = await self._answered(request.account, request.key, request.digest)
                except BadInput as error:
                    request.fail(error)
                    continue
                if answer is not None:
                    request.done.set_result(answer)
                    continue
            left.append(request)
        return left

    async def _stands(self, progress: Progress) -> bool:
        """Say whether a source stands where its progress is from, with the facts read again."""
        row = await self._engine.checkpoints.read(progress.source)
        if row is None or row.revision != progress.revision:
            return False
        found = [await self._engine.quarantine.find(each) for each in progress.retried]
        return all(each is not None and each.source == progress.source for each in found)

    async def _learn(self) -> None:
        """Take in the ids of blocks that other processes appended.

        The head is read first: what is appended meanwhile is learnt now or next time, but never
        passed over.
        """
        after, head = self._seen.head, await self._engine.log.head()
        blocks: list[IdBlock] = []
        while True:
            page = await self._engine.log.ids(after, IDS_PAGE)
            blocks += page
            is_last = len(page) < IDS_PAGE
            if blocks and (is_last or sum(len(b.hashes) for b in blocks) >= 8 * PART_IDS):
                self._seen.learn(blocks)
                self._is_settled = False
                blocks = []
                await asyncio.sleep(0)
            after = page[-1].block if page else after
            if is_last:
                break
        self._seen.head = max(after, head)
        self._forget()

    def _forget(self) -> None:
        """Let go of ids that are too old, as far as anybody can be sure of the time."""
        if self.clock.is_sure:
            self._seen.forget(self.clock.now())

    async def _blocks(self, group: list[WaitingRequest]) -> list[NewBlock]:
        """Return the blocks to write: each request's events less those accepted before."""
        packer, turns = Packer(), EventTurns()
        ids_in: dict[int, frozenset[str]] = {}
        for part in (part for request in group for part in request.parts):
            homes = self._seen.find(part.hashes) if part.hashes else {}
            await self._read_ids({each for found in homes.values() for each in found}, ids_in)
            packer.add(part, known_in(part, homes, ids_in) if homes else None)
            await turns.after(part.events)
        blocks = []
        for block in packer.blocks():
            blocks.append(block)
            await turns.after(block.count)
        return blocks

    async def _read_ids(self, homes: set[int], ids_in: dict[int, frozenset[str]]) -> None:
        """Look into the blocks: a hash alone would one day lose an event, and so might a block that
        is damaged."""
        unread = sorted(homes - ids_in.keys())
        for block in await self._engine.log.load(unread, is_choosy=False) if unread else ():
            ids = frozenset(map(event_id_of, block.events()))
            ids_in[block.header.id] = ids


def _key_of(request: WaitingRequest, now: datetime) -> IdempotencyKey:
    answer = msgspec.json.encode(request.answer)
    return IdempotencyKey(request.account.id, request.key, request.digest, answer, now)
