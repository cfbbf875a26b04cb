"""Running sources: each hands over here what it read, which goes to ingest with its checkpoint.

What goes wrong with one ends neither the service nor another: it is told, and tried again.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from secrets import token_urlsafe
from typing import Any, NamedTuple

from msgspec import structs

from postbell.clock import Clock, from_us
from postbell.directory import Directory
from postbell.errors import Conflict, Overloaded, ServiceError, StorageError
from postbell.fences import LOGGED, fence, note
from postbell.ingest.ingest import Ingest
from postbell.ingest.parsing import moved
from postbell.ports import (
    NO_RULE,
    Checkpoints,
    Fact,
    Progress,
    Quarantine,
    QuarantinedFact,
    RefusedFact,
    Source,
    SourceReading,
    SourceRow,
    SourceStanding,
    SourceState,
)
from postbell.records import Account, ApiUser
from postbell.signals import log
from postbell.sources.telling import SourceTelling

TELL_S = 2.0
"""So often sources that changed note how they do."""
SWEEP_S = 60.0
SWEPT_AT_ONCE = 1000
MAX_WAIT_S = 30.0
AGAIN_S = 2.0
"""So often it is looked whether facts in quarantine are to be read again."""
AGAIN_BYTES = 1 << 20


class SourceParts(NamedTuple):
    """What sources hand over to."""

    ingest: Ingest
    checkpoints: Checkpoints
    quarantine: Quarantine
    directory: Directory
    clock: Clock


class Sources:
    """All sources of the settings, by name."""

    def __init__(self, sources: Mapping[str, Source], parts: SourceParts) -> None:
        self._parts = parts
        runner = token_urlsafe(8)
        self._running = [Running(name, source, parts, runner) for name, source in sources.items()]

    async def run(self) -> None:
        """Run until cancelled; then each is told to be stopped."""
        if not self._running:
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in self._running:
                    tasks.create_task(each.run(), name=f"source {each.name}")
                    tasks.create_task(each.retry(), name=f"quarantine of {each.name}")
                tasks.create_task(self._watch(), name="sources")
        finally:
            for each in self._running:
                each.telling.stop()
            await self._tell()

    async def _watch(self) -> None:
        """Note how they do, and let go of what they need not remember any more."""
        swept_s = self._parts.clock.monotonic_s()
        while True:
            await asyncio.sleep(TELL_S)
            await self._tell()
            now_s = self._parts.clock.monotonic_s()
            if now_s >= swept_s + SWEEP_S and self._parts.clock.is_sure:
                swept_s = now_s
                await self._sweep()

    async def _tell(self) -> None:
        now = self._parts.clock.now()
        news = {each.name: each for each in self._running if each.telling.has_news(now)}
        if not news:
            return
        told = {name: each.telling.standing(now) for name, each in news.items()}
        try:
            with fence("sources", item="all"):
                revisions = await self._parts.checkpoints.tell(told)
                for name, each in news.items():
                    each.told(told[name], revisions[name])
        except (Overloaded, StorageError) as error:
            log("write_failed", what="how sources do", error=error.message)

    async def _sweep(self) -> None:
        try:
            now, checkpoints = self._parts.clock.now(), self._parts.checkpoints
            while await checkpoints.sweep(now, SWEPT_AT_ONCE) == SWEPT_AT_ONCE:
                pass
        except (Overloaded, StorageError) as error:
            log("write_failed", what="what sources remember", error=error.message)


class Running:
    """One source, and its inlet."""

    def __init__(self, name: str, source: Source, parts: SourceParts, runner: str) -> None:
        """Run it in the process that is told from others by *runner*."""
        self.name = name
        self._source = source
        self._parts = parts
        self.telling = SourceTelling(name, source, parts.clock, runner)
        self._revision = 0
        self._checkpoint, self._position = b"", ""
        self._is_unsure = False
        self._is_moved = False
        self._turn = asyncio.Lock()

    @property
    def checkpoint(self) -> bytes:
        return self._checkpoint

    async def run(self) -> None:
        """Run the source, again whenever it ends; never returns."""
        wait_s = 1.0
        while True:
            began_s = self._parts.clock.monotonic_s()
            try:
                await self._begin()
                await self._source.run(self)
            except Conflict as error:
                log("source_hindered", source=self.name, error=error.message, state="moved")
            except (Overloaded, StorageError, ServiceError) as error:
                self.telling.say(SourceState.FAILING, fault=error.message)
            except Exception as error:
                note("sources", error, item=self.name, account=self._source.account)
                self.telling.say(SourceState.FAILING, fault=f"{type(error).__name__}: {error}")
            is_lasting = self._parts.clock.monotonic_s() - began_s > MAX_WAIT_S
            wait_s = 1.0 if is_lasting else min(wait_s * 2, MAX_WAIT_S)
            await asyncio.sleep(wait_s)

    async def _begin(self) -> None:
        """Take up the checkpoint that is stored; raise ServiceError where that, and the facts in
        quarantine, are of another account than the settings name: these are not to be its."""
        self._is_moved = False
        row, account = await self._parts.checkpoints.read(self.name), self._source.account
        keeper = row.standing.account if row is not None and row.moved_at is not None else account
        self.telling.begin(keeper, None if row is None else row.standing)
        if keeper != account:
            raise ServiceError(
                f"what is kept of it is of account {keeper!r}, not {account!r}: give the source"
                f" another name in the settings, or let it begin anew with 'postbell sources"
                f" forget {self.name}'"
            )
        told = {self.name: self.telling.standing(self._parts.clock.now())}
        await self._parts.checkpoints.tell(told)
        row = await self._look()
        log("source_began", source=self.name, place=self._source.place, position=row.position)

    async def take(self, reading: SourceReading) -> None:
        """Hand over to ingest; see `ports.Inlet`."""
        async with self._turn:
            if self._is_unsure:  # whoever handed over last did not wait for the end
                await self._look()
            self._is_unsure = True
            while not await self._taken(reading):
                pass
            self._is_unsure = False

    async def _look(self) -> SourceRow:
        """Read where the source stands."""
        row = await self._parts.checkpoints.read(self.name)
        if row is None:
            raise moved(self.name)
        self._revision, self._is_unsure = row.revision, False
        self._checkpoint, self._position = row.checkpoint, row.position
        return row

    async def _taken(self, reading: SourceReading) -> bool:
        """Try to make *reading* durable; wait before somebody tries again."""
        reading = await self._owned(reading)
        owner = await self._owner()
        if isinstance(owner, str):
            self.telling.say(SourceState.FAILING, fault=owner)
            await asyncio.sleep(1.0)
            return False
        progress = Progress(
            source=self.name,
            revision=self._revision,
            checkpoint=reading.checkpoint,
            position=reading.position,
            **_of(reading),
        )
        try:
            answer = await self._parts.ingest.take(*owner, reading.drafts, reading.facts, progress)
        except (Overloaded, StorageError) as error:
            self.telling.say(SourceState.HELD, fault=error.message)
            await asyncio.sleep(error.retry_after_s if isinstance(error, Overloaded) else 1.0)
            return await self._is_durable(reading)
        self._revision += 1
        self._checkpoint, self._position = reading.checkpoint, reading.position
        rejected = answer.rejected
        self.telling.note(
            reading,
            [
                *reading.refused,
                *(RefusedFact(reading.facts[r.index], r.code, r.message) for r in rejected),
            ],
        )
        return True

    async def _owned(self, reading: SourceReading) -> SourceReading:
        """Return *reading* with the names of those whose it is by their ids."""
        if not reading.users:
            return reading
        drafts, facts, refused = [], [], list(reading.refused)
        for index, (draft, fact) in enumerate(zip(reading.drafts, reading.facts, strict=True)):
            owner, user_id = None, reading.users.get(index)
            if user_id is not None:
                owner = await self._named(user_id)
                if owner is None:
                    message = f"it is of api user {user_id}, whom there is not any more"
                    refused.append(RefusedFact(fact, "unknown_api_user", message))
                    continue
                draft = structs.replace(draft, account=owner[0], api_user=owner[1])
            drafts.append(draft)
            facts.append(fact)
        return reading._replace(drafts=drafts, facts=facts, refused=refused, users={})

    async def _named(self, user_id: int) -> tuple[str, str] | None:
        return await self._parts.directory.find(lambda known: known.owner_of(user_id))

    async def _is_durable(self, reading: SourceReading) -> bool:
        """Say whether what failed became durable nevertheless; raise Conflict where something
        else did."""
        try:
            row = await self._parts.checkpoints.read(self.name)
        except (Overloaded, StorageError):
            return False
        if row is not None and row.revision == self._revision:
            return False
        if row is None or (row.revision, row.checkpoint) != (
            self._revision + 1,
            reading.checkpoint,
        ):
            raise moved(self.name)
        self._revision = row.revision
        self._checkpoint, self._position = row.checkpoint, row.position
        return True

    async def retry(self) -> None:
        """Read again, until cancelled, what of the quarantine somebody wants to be read again."""
        while True:
            await asyncio.sleep(AGAIN_S)
            if self.telling.keeper != self._source.account:
                continue
            try:
                with fence("sources", item=f"quarantine of {self.name}"):
                    for kept in await self._parts.quarantine.wanted(self.name, AGAIN_BYTES):
                        await self._retried(kept)
            except (Overloaded, StorageError) as error:
                log("write_failed", what="facts in quarantine", error=error.message)

    async def _retried(self, kept: QuarantinedFact) -> None:
        """Read a fact again: with its events it leaves the quarantine, or it stays for a reason.
        Where neither can be written now, it is wanted still."""
        fact = Fact(kept.place, kept.raw, kept.id)
        item = f"{self.name} {fact.place}"
        reading = SourceReading([], [], refused=[RefusedFact(fact, "internal", LOGGED)])
        with fence("sources", item=item):
            reading = await self._source.read([fact], self.recall)
        with fence("sources", item=item), contextlib.suppress(Conflict):
            await self._take_again(kept, reading)

    async def _take_again(self, kept: QuarantinedFact, reading: SourceReading) -> None:
        """Hand over what a fact of the quarantine came to."""
        reading = await self._owned(reading)
        async with self._turn:
            if self._is_unsure:
                await self._look()
            owner = await self._owner()
            if isinstance(owner, str):
                return
            progress = Progress(
                source=self.name,
                revision=self._revision,
                checkpoint=self._checkpoint,
                position=self._position,
                retried=[kept.id],
                **_of(reading),
            )
            self._is_unsure = True
            try:
                await self._parts.ingest.take(*owner, reading.drafts, reading.facts, progress)
                self._revision += 1
            except (Conflict, Overloaded, StorageError):
                row = await self._parts.checkpoints.read(self.name)
                if row is not None and row.checkpoint == self._checkpoint:
                    self._revision = row.revision
            finally:
                self._is_unsure = False

    async def recall(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what the source remembers, see `ports.Inlet`; by a clock that jumped nothing has
        ended."""
        now = self._parts.clock.now() if self._parts.clock.is_sure else from_us(0)
        return await self._parts.checkpoints.recall(self.name, keys, now)

    def report(self, state: SourceState, *, lag_bytes: int | None = None, fault: str = "") -> None:
        """Note how it does; see `ports.Inlet`."""
        if self._is_moved:
            raise moved(self.name)
        self.telling.say(state, fault=fault, lag_bytes=lag_bytes)

    def told(self, standing: SourceStanding, revision: int) -> None:
        """Take notice that this was noted, and at which revision the source stands."""
        self.telling.told(standing)
        self._is_moved = not self._is_unsure and revision != self._revision

    async def _owner(self) -> tuple[Account, ApiUser] | str:
        """Return whose the events are, or what is wrong with that."""
        source, directory = self._source, self._parts.directory
        account = await directory.find(lambda known: known.account_named(source.account))
        user = await directory.find(lambda known: known.api_user(source.api_user))
        if account is None or user is None or user.account_id != account.id:
            return directory.known.lacking(source.account, source.api_user)
        return account, user


def _of(reading: SourceReading) -> dict[str, Any]:
    """Return what the progress says that the reading brings along."""
    kept = [each for each in reading.refused if each.code != NO_RULE]
    return {
        "refused": sum(not each.fact.kept for each in kept),
        "unmatched": len(reading.refused) - len(kept),
        "quarantine": kept,
        "forget": reading.forget,
        "remember": reading.remember,
        "most": reading.most,
    }
