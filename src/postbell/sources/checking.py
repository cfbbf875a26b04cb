"""What a source would make of a sample: which events, for whom, by which rule; nothing is stored.

Its facts go through the source's own reader and the checks of ingest.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

import msgspec

from postbell.directory import Known, no_account
from postbell.errors import BadInput
from postbell.events import Draft, decode
from postbell.ingest.accepting import Accepting
from postbell.ports import MAX_BEGIN_BYTES, Fact, RefusedFact, Source, SourceReading
from postbell.sources.samples import grouped

SIGNED = "signed"
"""What stands in the place of a rule where the mail itself was signed here (`verp`)."""


class SampleEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a fact of the sample makes; *event_id* is empty where it would be made up."""

    place: str
    type: str
    occurred_at: datetime
    recipient: str
    account: str
    api_user: str
    rule: str
    event_id: str


class SampleRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of the sample that makes no event, or not all that it says, and how it begins."""

    place: str
    code: str
    message: str
    begin: str


class SampleMemory:
    """What a source remembers while a sample is read."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[datetime, bytes]] = {}

    async def recall(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {key: self._kept[key][1] for key in keys if key in self._kept}

    def take(self, reading: SourceReading) -> None:
        """Do what the reading says of it."""
        for key in reading.forget:
            self._kept.pop(key, None)
        self._kept |= {one.key: (one.until, one.value) for one in reading.remember}
        beyond = len(self._kept) - reading.most
        if beyond > 0:
            for key in sorted(self._kept, key=lambda each: self._kept[each][0])[:beyond]:
                del self._kept[key]


async def check(
    source: Source, facts: Iterable[Fact], known: Known, now: datetime
) -> AsyncIterator[SampleEvent | SampleRefusal]:
    """Yield what becomes of facts where these accounts are *known*: group by group the events, in
    their order, then what is refused, in its."""
    memory, checks = SampleMemory(), SampleChecks(source, known, now)
    for group in grouped(facts):
        reading = await source.read(group, memory.recall)
        memory.take(reading)
        refused = list(reading.refused)
        for index, (draft, fact) in enumerate(zip(reading.drafts, reading.facts, strict=True)):
            rule = reading.rules[index] if reading.rules else ""
            try:
                yield checks.event(fact, draft, rule, reading.users.get(index))
            except BadInput as error:
                refused.append(RefusedFact(fact, error.code, error.message))
        for each in sorted(refused, key=lambda each: each.fact.number):
            yield _refusal(each)


class SampleChecks:
    """What ingest would check of the drafts of a source."""

    def __init__(self, source: Source, known: Known, now: datetime) -> None:
        self._own = (source.account, source.api_user)
        self._now = now
        self._known = known

    def event(self, fact: Fact, draft: Draft, rule: str, user_id: int | None) -> SampleEvent:
        """Return the event of a draft; *user_id* is who signed for it.  Raises BadInput."""
        account, user = self._own if draft.account in (None, self._own[0]) else (draft.account, "")
        if user_id is not None:
            owner = self._known.owner_of(user_id)
            if owner is None:
                raise BadInput(
                    f"it is of api user {user_id}, whom there is not any more",
                    code="unknown_api_user",
                )
            rule, (account, user) = SIGNED, owner
        found = self._known.account_named(account)
        if found is None:
            raise BadInput(no_account(account), code="unknown_account")
        account_id = found.id
        passed = Accepting(
            found.name, user, lambda name: self._known.api_user_id(account_id, name), self._now
        )
        passed.take_draft(draft)
        event = decode(passed.raws[0])
        return SampleEvent(
            place=fact.place,
            type=event.type.value,
            occurred_at=event.occurred_at,
            recipient=event.recipient,
            account=event.account,
            api_user=event.api_user,
            rule=rule,
            event_id="" if passed.randoms[0] else event.event_id,
        )


def _refusal(refused: RefusedFact) -> SampleRefusal:
    return SampleRefusal(
        place=refused.fact.place,
        code=refused.code,
        message=refused.message,
        begin=refused.fact.raw[:MAX_BEGIN_BYTES].decode("utf-8", "replace"),
    )


class SampleResult:
    """What came of a sample: counts of all of it, and the first few events and refusals; and what
    the settings name that is *lacking*."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.counts: Counter[tuple[str, str, str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.events: list[SampleEvent] = []
        self.refused: list[SampleRefusal] = []
        self.lacking: list[str] = []

    def add(self, found: SampleEvent | SampleRefusal) -> None:
        """Count one, and keep it if it is among the first."""
        if isinstance(found, SampleEvent):
            self.counts[found.account, found.api_user, found.rule, found.type] += 1
            self.events += [found] if len(self.events) < self._most else []
        else:
            self.refusals[found.code] += 1
            self.refused += [found] if len(self.refused) < self._most else []
