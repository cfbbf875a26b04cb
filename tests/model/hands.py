"""What a person does about a batch, perhaps while a request of it is under way."""

from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from postbell.desk.stopping import LOOK_S
from postbell.errors import Conflict, NotFound
from postbell.events import decode
from postbell.records import OpenBatch
from tests.model.arrivals import Arrivals
from tests.model.book import Hook, is_run
from tests.model.house import House
from tests.model.receivers import Receivers


class Hands:
    """The desk's actions on batches, and what the model is to expect of each."""

    def __init__(
        self,
        house: House,
        receivers: Receivers,
        arrivals: Arrivals,
        hooks: Mapping[int, Hook],
    ) -> None:
        self._house = house
        self._receivers = receivers
        self._arrivals = arrivals
        self._hooks = hooks

    async def act(self, action: Coroutine[Any, Any, Any], name: str | None) -> Any:
        """Return what an action returns, which may wait for the worker; what hangs is answered
        meanwhile, or hangs on."""
        acting = self._house.asked(action)
        await self._house.drain()
        for post in list(self._receivers.hanging) if name is not None else ():
            self._receivers.release(post, str(name))
        while not acting.done() and not self._house.serving.is_dead:
            await self._house.elapse(LOOK_S)
        return await acting

    async def _open_batch(self, which: int) -> OpenBatch | None:
        found = await self._house.engine.ledger.open_batches()
        found = [batch for batch in found if not is_run(batch)]
        if which % 2:  # rather one that is under way: others want it, too
            hanging = {post.batch_id for post in self._receivers.hanging}
            found = [batch for batch in found if batch.id in hanging] or found
        return found[which % len(found)] if found else None

    async def take(self, which: int, how: str, name: str | None) -> None:
        """Do something about an open batch, as a person would."""
        batch = await self._open_batch(which)
        if batch is None:
            return
        hook = self._hooks[batch.webhook_id]
        with suppress(NotFound, Conflict):
            match how:
                case "split":
                    await self._split(hook, batch, name)
                case "park":
                    await self._park(hook, batch, name)
                case "skip":
                    await self._skip(hook, batch, name)
                case "bisect":
                    await self._bisect(hook, batch)
                case _:
                    await self._retry(hook, batch)

    async def _retry(self, hook: Hook, batch: OpenBatch, *, bisect: bool = False) -> None:
        desk = self._house.desk
        hook.parked.discard(batch.id)
        hook.reopened.add(batch.id)
        with hook.hurried():
            await (desk.bisect_batch if bisect else desk.retry_batch)(batch.id, hook.account_id)

    async def _split(self, hook: Hook, batch: OpenBatch, name: str | None) -> None:
        if batch.count > 1:
            with self._arrivals.deferred():
                splitting = self._house.desk.split_batch(batch.id, hook.account_id)
                with hook.perhaps_split(batch.id):
                    halves = await self.act(splitting, name)
                hook.split_by_hand.update(each.id for each in (batch, *halves))

    async def _bisect(self, hook: Hook, batch: OpenBatch) -> None:
        hook.bisected.update(await self._numbers_of(hook, batch))
        if batch.id in {post.batch_id for post in self._receivers.hanging}:
            hook.arrived[batch.id].goes_at_once = True
        await self._retry(hook, batch, bisect=True)

    async def _park(self, hook: Hook, batch: OpenBatch, name: str | None) -> None:
        now = self._house.clock.now()
        before = dict(hook.put_aside)
        hook.put_aside |= dict.fromkeys(await self._numbers_of(hook, batch), now)
        try:
            await self.act(self._house.desk.park_batch(batch.id, hook.account_id), name)
        except (Conflict, NotFound):
            hook.put_aside = before
            raise

    async def _numbers_of(self, hook: Hook, batch: OpenBatch) -> list[int]:
        """Return the numbers of a batch's events that are kept."""
        webhook = await self._house.desk.find_webhook(hook.account_id, hook.id)
        found = await self._house.desk.events_of(webhook, batch)
        return [int(decode(raw).event_id.removeprefix("e")) for raw, _, _ in found.events]

    async def _skip(self, hook: Hook, batch: OpenBatch, name: str | None) -> None:
        numbers = await self._numbers_of(hook, batch)
        number = numbers[len(numbers) // 3] if numbers else 0
        with self._arrivals.deferred():
            skipping = self._house.desk.skip_event(batch.id, f"e{number}", hook.account_id)
            with hook.perhaps_split(batch.id, number):
                rest = await self.act(skipping, name)
            if batch.replay_id is None:
                hook.skipped.add(number)
            hook.split_by_hand.update(each.id for each in (batch, *rest))
