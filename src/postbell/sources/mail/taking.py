"""From mails to events that are durable: what each makes, or that it is refused; what those make
that come at once; and who waits to hear that it is done."""

import asyncio
from collections.abc import Collection, Iterable
from concurrent.futures import Executor
from typing import NamedTuple

from postbell.errors import BadInput, ServiceError
from postbell.events import Draft
from postbell.fences import LOGGED, fence
from postbell.ports import Fact, Inlet, RefusedFact, SourceReading, SourceState
from postbell.sources.mail.arrived import ToldEvent, enveloped
from postbell.sources.mail.reading import MailReader

ACCEPT_S = 60.0
"""So long a mail waits to be durable; clients wait for ten minutes (RFC 5321, 4.5.3.2.6)."""
MAX_AT_ONCE = 100
MAX_EVENTS = 1000
"""Mails that are made durable together: so many, or those that tell of so many events."""
LATER = "451 4.3.0 it cannot be written at the moment; hand it over again"
TAKEN = "250 2.0.0 OK: durable"


class ReadMail(NamedTuple):
    """A mail, and the events that it tells of; with a code and why where it is refused, or does not
    say all."""

    fact: Fact
    found: list[ToldEvent] = []
    code: str = ""
    message: str = ""


def read(reader: MailReader, fact: Fact) -> ReadMail:
    """Read a mail; one that befalls an error of ours is refused, or it would come for ever."""
    given = ReadMail(fact, [], "internal", LOGGED)
    with fence("sources", item=f"a mail {fact.place}".strip()):
        try:
            events, missing = reader.read(fact.raw)
            given = ReadMail(fact, events, "too_long" if missing else "", missing)
        except BadInput as error:
            given = ReadMail(fact, [], error.code, error.message)
    return given


def is_enough(mails: Collection[ReadMail]) -> bool:
    """Say whether no more are to be made durable together with these."""
    return len(mails) >= MAX_AT_ONCE or sum(len(each.found) for each in mails) >= MAX_EVENTS


def gathered(mails: Iterable[ReadMail]) -> SourceReading:
    """Return what mails make all together."""
    drafts: list[Draft] = []
    facts, rules, refused, users = [], [], [], {}
    for mail in mails:
        if mail.code:
            refused.append(RefusedFact(mail.fact, mail.code, mail.message))
        for draft, user_id, rule in mail.found:
            if user_id:
                users[len(drafts)] = user_id
            drafts.append(draft)
            facts.append(mail.fact)
            rules.append(rule)
    return SourceReading(drafts, facts, refused=refused, users=users, rules=rules)


class Taking:
    """The mails of one run of a source that is handed them: each waits, is read in *thread*, and is
    made durable with those beside it.  The checkpoint is how many have been taken."""

    def __init__(self, inlet: Inlet, reader: MailReader, thread: Executor) -> None:
        self._inlet = inlet
        self._reader = reader
        self._thread = thread
        self._number = _number(inlet.checkpoint)
        self._waiting: dict[asyncio.Future[bool], Fact] = {}
        self._has_mail = asyncio.Event()

    async def take(self, content: bytes, sender: str, recipients: list[str]) -> str:
        """Return what a mail is answered with, once that is true."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[done] = Fact("", enveloped(content, sender, recipients))
        self._has_mail.set()
        try:
            async with asyncio.timeout(ACCEPT_S):
                return TAKEN if await done else LATER
        except TimeoutError:
            return LATER
        finally:
            self._waiting.pop(done, None)  # nobody waits for it any more: it comes again

    async def run(self) -> None:
        """Make mails that wait durable until cancelled."""
        while True:
            await self._write()

    async def _write(self) -> None:
        """Make mails that wait durable, as they came."""
        await self._has_mail.wait()
        group = await self._read()
        if not self._waiting:
            self._has_mail.clear()
        if not group:
            return
        numbered = enumerate(group.values(), self._number + 1)
        mails = [
            each._replace(fact=each.fact._replace(place=f"mail {n}", number=n))
            for n, each in numbered
        ]
        self._number += len(mails)
        reading = gathered(mails)._replace(
            checkpoint=str(self._number).encode(), position=f"mail {self._number}"
        )
        is_durable = False
        try:
            await self._inlet.take(reading)
            is_durable = True
        finally:
            _tell(group, is_durable)
        self._inlet.report(SourceState.UP_TO_DATE)

    async def _read(self) -> dict[asyncio.Future[bool], ReadMail]:
        """Read as many of them as are written at once, without those that nobody waits for any
        more; what they tell of is in memory for these alone, however many wait."""
        loop = asyncio.get_running_loop()
        mails: dict[asyncio.Future[bool], ReadMail] = {}
        for done, fact in list(self._waiting.items())[:MAX_AT_ONCE]:
            if done in self._waiting:
                mails[done] = await loop.run_in_executor(self._thread, read, self._reader, fact)
            if is_enough(mails.values()):
                break
        return {each: mail for each, mail in mails.items() if self._waiting.pop(each, None)}

    def fail(self) -> None:
        """Let nobody wait for what is not made durable any more."""
        _tell(self._waiting, False)


def _tell(group: Iterable[asyncio.Future[bool]], is_durable: bool) -> None:
    for done in group:
        if not done.done():
            done.set_result(is_durable)


def _number(checkpoint: bytes) -> int:
    """Return the number that a checkpoint is; raise ServiceError where it is none."""
    try:
        return int(checkpoint or b"0")
    except ValueError:
        raise ServiceError(
            "its checkpoint is that of a source of another kind; begin anew with"
            " 'postbell sources forget', or give this one another name"
        ) from None
