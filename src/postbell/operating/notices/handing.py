"""Hands over what waits in storage for each recipient, by mail or to the operator's webhook.

After `telling`, which wrote it there.  What was handed over is taken out afterwards: it arrives at
least once, and twice where the process ends in between.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from postbell.clock import Clock
from postbell.errors import Overloaded, StorageError
from postbell.fences import fence
from postbell.operating.notices.kinds import Notice
from postbell.operating.notices.posting import (
    BETWEEN_MAILS_S,
    Deliver,
    Outbox,
    SendMail,
    by_mail,
    by_webhook,
)
from postbell.operating.notices.wording import Addressee
from postbell.ports import LETTERS_KEPT, Engine, Letter
from postbell.signals import log

WEBHOOK = "operator_webhook"
"""The recipient that is no address."""


class Recipients(NamedTuple):
    """Where notices go; empty texts and None for nowhere."""

    send_mail: SendMail | None
    operator_email: str
    operator_webhook: str
    region: str
    public_url: str


class Handing:
    """An outbox for each recipient; sends where *holds* says that nobody else does."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        recipients: Recipients,
        holds: Callable[[], Awaitable[bool]],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._recipients = recipients
        self._holds = holds
        self._outboxes: dict[str, Outbox] = {}
        self._handed: set[int] = set()

    async def mail(self) -> None:
        """Hand over the mails that are due, one after the other: so any other mail, such as a link
        for a new password, waits for one of them at most."""
        await self._flush(lambda name: name != WEBHOOK)

    async def post(self) -> None:
        """Hand over what is due to the operator's webhook, whatever keeps mails waiting."""
        await self._flush(lambda name: name == WEBHOOK)

    async def _flush(self, is_one: Callable[[str], bool]) -> None:
        """Hand over what is due to these recipients, while nobody else does."""
        if self._handed:
            await self._done_with(set(self._handed))
        if not await self._holds():
            self._outboxes.clear()
            return
        waiting = await self._engine.notices.recipients()
        for name in filter(is_one, waiting):
            if (outbox := self.outbox(name)).is_due:
                await self._hand_over(name, outbox)
        self._outboxes = {
            name: box
            for name, box in self._outboxes.items()
            if name in waiting or not box.is_due or not is_one(name)
        }

    def outbox(self, name: str) -> Outbox:
        """Return the outbox of a recipient, a new one gathers what happens together first."""
        outbox = self._outboxes.get(name)
        if outbox is None:
            is_webhook = name == WEBHOOK
            outbox = self._outboxes[name] = Outbox(
                WEBHOOK if is_webhook else "mail",
                self._clock,
                0.0 if is_webhook else BETWEEN_MAILS_S,
            )
        return outbox

    async def names(self, account_id: int) -> list[str]:
        """Return who gets a notice about this account."""
        to = self._recipients
        names = [WEBHOOK] if to.operator_webhook else []
        if to.send_mail is not None:
            names += await self._readers(account_id)
        return names

    async def _hand_over(self, name: str, outbox: Outbox) -> None:
        try:
            with fence("notices", item=outbox.name):
                letters = await self._engine.notices.letters(name, LETTERS_KEPT)
                letters = [letter for letter in letters if letter.id not in self._handed]
                notices, deliver = await self._readable(name, letters)
                is_done = not notices or deliver is None
                if notices and deliver is not None and await self._holds():
                    is_done = await outbox.hand_over(notices, deliver)
                if is_done:
                    await self._done_with({letter.id for letter in letters})
        except (StorageError, Overloaded) as error:
            cannot(error)

    async def _done_with(self, ids: set[int]) -> None:
        """Take letters out of storage; what cannot be taken out now is not sent again."""
        self._handed |= ids
        await self._engine.notices.handed(ids)
        self._handed -= ids

    async def _readable(
        self, name: str, letters: list[Letter]
    ) -> tuple[list[Notice], Deliver | None]:
        """Return the notices that this recipient still is to get, and what hands them over, None
        where nothing does any more."""
        to, deliver = self._recipients, None
        if name == WEBHOOK and to.operator_webhook:
            deliver = by_webhook(to.operator_webhook, to.region, self._clock)
        notices = []
        readers: dict[int, dict[str, Addressee]] = {}
        for letter in letters:
            if name != WEBHOOK and to.send_mail is not None:
                if letter.account_id not in readers:
                    readers[letter.account_id] = await self._readers(letter.account_id)
                reader = readers[letter.account_id].get(name)
                if reader is None:
                    continue
                deliver = by_mail(to.send_mail, reader, to.public_url)
            with fence("notices", item=f"letter {letter.id}", account=letter.account_id):
                notices.append(msgspec.json.decode(letter.notice, type=Notice))
        return notices, deliver

    async def _readers(self, account_id: int) -> dict[str, Addressee]:
        """Return the operator and those of the account's users who want notices, each once."""
        operator = self._recipients.operator_email
        found = {operator: Addressee(operator)} if operator else {}
        for owner in await self._engine.owners.of(account_id):
            if owner.wants_notices:
                found[owner.email] = Addressee(owner.email, owner.spoken, owner.time_zone)
        return found


def cannot(error: StorageError | Overloaded) -> None:
    """Say that storage does not take or give notices now."""
    log("notice_failed", to="the database", error=error.message, is_last=False)
