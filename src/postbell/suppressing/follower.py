"""Follows the log for the suppression list, and ends what is over; one process does, the worker's.

`ports.Suppressions` keeps what is found; losing the cursor's place loses nothing, since finding the
same again changes nothing.
"""

import asyncio

from postbell.blocks import Block, BlockHeader
from postbell.clock import Clock
from postbell.duties import Duty
from postbell.errors import Overloaded, StorageError
from postbell.fences import fence, note
from postbell.ports import Engine
from postbell.presence import ALONE, Doing
from postbell.signals import log
from postbell.suppressing.reading import concerns, findings, settled, unreadable
from postbell.suppressions import (
    MOST_ENTRIES,
    AccountRules,
    Finding,
    FindingKind,
    FollowedUpTo,
)

MAX_BLOCKS = 512
MAX_FINDINGS = 1000
"""What one step takes in at most; one block at least."""
SLICE = 100
"""Events between two pauses: about half a millisecond."""
AT_ONCE = 500
"""So many entries end, or go, in one commit."""
IDLE_S = 0.5
SURE_S = 5.0
"""So long nobody else is looked for who moved the cursor, while nothing comes in."""
RETRY_S = 5.0
SWEEP_S = 30.0


class SuppressionFollower:
    """Keeps the list up to the log."""

    def __init__(self, engine: Engine, clock: Clock, *, doing: Doing = ALONE) -> None:
        """Run while this process does that."""
        self._engine = engine
        self._clock = clock
        self._doing = doing
        self._swept_at = float("-inf")
        self._ended = 0
        self._ended_s = float("-inf")

    async def run(self) -> None:
        """Follow the log until cancelled; what storage cannot do is logged and tried again."""
        while True:
            try:
                with self._doing.doing(Duty.SUPPRESSIONS) as is_ours:
                    is_busy = is_ours and await self._may_go_on() and await self.step()
                    wait_s = 0.0 if is_busy else IDLE_S
                    if is_ours and self._clock.monotonic_s() - self._swept_at >= SWEEP_S:
                        self._swept_at = self._clock.monotonic_s()
                        with fence("suppressions", item="what is over"):
                            await self.sweep()
            except (StorageError, Overloaded) as error:
                log("suppressing_failed", error=f"{type(error).__name__}: {error.message}")
                wait_s = RETRY_S
            await asyncio.sleep(wait_s)

    async def catch_up(self) -> None:
        """Take in everything that there is now, and end a rebuild; what comes later may wait."""
        head = await self._engine.log.head()
        while await self.step():
            followed = await self._engine.suppressions.followed()
            if followed.block >= head and not followed.rebuild_to:
                break

    async def _may_go_on(self) -> bool:
        """Say whether there may be something to take in, at the least cost: mostly there is not."""
        if self._clock.monotonic_s() - self._ended_s >= SURE_S:
            return True
        return bool(await self._engine.log.follow(self._ended, 1))

    async def step(self) -> bool:
        """Take in the next blocks; return whether more wait: those that come one by one wait for
        each other, since a step costs as much for one as for many.

        One that cannot be taken in, for a reason that lies in it, is left out.
        """
        suppressions = self._engine.suppressions
        followed = await suppressions.followed()
        if followed.rebuild_to and followed.block >= followed.rebuild_to:
            await self._finish()
            return True
        headers = await self._engine.log.tail(followed.block, MAX_BLOCKS)
        if not headers and followed.rebuild_to:  # retention dropped the last ones meanwhile
            await self._take_in(followed, followed.rebuild_to, [])
            return True
        if not headers:
            self._ended, self._ended_s = followed.block, self._clock.monotonic_s()
            return False
        rules = await suppressions.rules()
        found: list[Finding] = []
        caused: set[tuple[int, str]] = set()
        taken = followed.block
        for header in headers:
            account = rules.get(header.account_id, AccountRules())
            found += await self._findings(header, account, caused)
            taken = header.id
            if len(found) >= MAX_FINDINGS:
                break
        await self._take_in(followed, taken, found)
        is_all = taken == headers[-1].id and len(headers) < MAX_BLOCKS
        return bool(followed.rebuild_to) or not is_all

    async def _take_in(self, followed: FollowedUpTo, block: int, found: list[Finding]) -> None:
        now = self._clock.now()
        try:
            await self._engine.suppressions.take_in(followed, block, found, now)
        except (StorageError, Overloaded):
            raise
        except Exception as error:
            blocks = sorted({each.entry.block for each in found})
            if len(blocks) > 1:
                for each in blocks:
                    part = [one for one in found if one.entry.block == each]
                    await self._take_in(followed, each, part)
                    followed = followed._replace(block=each)
                await self._engine.suppressions.take_in(followed, block, [], now)
                return
            whose = {each.entry.account_id for each in found}
            item = f"block {block}"
            note("suppressions", error, item=item, account=", ".join(map(str, whose)))
            await self._engine.suppressions.take_in(followed, block, [], now)

    async def _findings(
        self, header: BlockHeader, account: AccountRules, caused: set[tuple[int, str]]
    ) -> list[Finding]:
        """Return what a block says, and add to *caused* what counts for whom since the last step:
        storage does not know of that yet."""
        if not concerns(header, account):
            return []
        found = [unreadable(header)]
        with fence("suppressions", item=f"block {header.id}", account=header.account_id):
            for block in await self._engine.log.load([header.id], is_choosy=False):
                found = await self._read(block, account, caused)
        return found

    async def _read(
        self, block: Block, account: AccountRules, caused: set[tuple[int, str]]
    ) -> list[Finding]:
        found: list[Finding] = []
        for first in range(0, block.header.count, SLICE):
            found += findings(block, account, first, first + SLICE)
            await asyncio.sleep(0)
        found = settled(found)
        account_id = block.header.account_id
        causes = {(account_id, e.entry.key) for e in found if e.kind is FindingKind.CAUSE}
        if causes and account.entries >= MOST_ENTRIES:
            log("suppressions_full", account=account_id)
        caused |= causes
        delivered = {each.entry.key for each in found if each.kind is FindingKind.DELIVERED}
        unsure = sorted(key for key in delivered if (account_id, key) not in caused)
        counted = await self._engine.suppressions.counted(account_id, unsure) if unsure else set()
        off = delivered - counted - {key for whose, key in caused if whose == account_id}
        return [e for e in found if e.kind is not FindingKind.DELIVERED or e.entry.key not in off]

    async def _finish(self) -> None:
        """End a rebuild that came to where the log ended when it began."""
        first, now = await first_block(self._engine), self._clock.now()
        while await self._engine.suppressions.drop_unfounded(first, now, AT_ONCE) == AT_ONCE:
            pass

    async def sweep(self) -> None:
        """End what is over, and forget what nobody needs any more; nothing while nobody can be sure
        of the time."""
        if not self._clock.is_sure:
            return
        suppressions, now = self._engine.suppressions, self._clock.now()
        while await suppressions.end(now, AT_ONCE) == AT_ONCE:
            pass
        first = await first_block(self._engine)
        while await suppressions.sweep(first, now, AT_ONCE) >= AT_ONCE:
            pass


async def first_block(engine: Engine) -> int:
    """Return the id of the oldest block that there is, that of the next one where there is none."""
    oldest = await engine.log.tail(0, 1)
    return oldest[0].id if oldest else await engine.log.head() + 1
