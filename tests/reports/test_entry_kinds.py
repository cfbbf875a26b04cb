"""Whoever reads the journal says the same of an entry, whatever its kind."""

from dataclasses import dataclass, replace

import msgspec
import pytest

from postbell.blocks import START, Position, Range
from postbell.index import terms
from postbell.index.indexer import Indexer
from postbell.operating.metrics.following import Following
from postbell.records import Entry, EntryKind, LaneChange, Outcome, Verdict
from postbell.reports.batch_views import ending_of
from postbell.reports.outcomes import Outcomes
from tests.delivery.rig import Rig, event, running
from tests.index.test_indexer import slots

EVENTS = 3
PART = Range(Position(1, 0), Position(1, EVENTS))


@dataclass(frozen=True)
class Said:
    """What one reader says; None is what it does not speak of."""

    delivered: int | None = 0
    skipped: int = 0
    expired: int = 0
    attempts: int | None = 0


SAID = {
    EntryKind.ATTEMPT: Said(delivered=EVENTS, attempts=1),
    EntryKind.RUN: Said(delivered=EVENTS, attempts=EVENTS),
    EntryKind.SKIPPED: Said(skipped=EVENTS),
    EntryKind.EXPIRED: Said(expired=EVENTS),
    EntryKind.SPLIT: Said(),
    EntryKind.RECUT: Said(),
    EntryKind.TEST: Said(),
}
BESIDE = {EntryKind.SPLIT: "split", EntryKind.RECUT: "recut", EntryKind.TEST: "tests"}
ENDINGS = {
    EntryKind.ATTEMPT: "delivered",
    EntryKind.RUN: "delivered",
    EntryKind.EXPIRED: "expired",
    EntryKind.SPLIT: "split",
}


def entry(rig: Rig, kind: EntryKind) -> Entry:
    """Return an entry of the kind as its maker would write it, of all events that there are."""
    is_sent = kind in (EntryKind.ATTEMPT, EntryKind.RUN)
    made = Entry(
        kind=kind,
        at=rig.clock.now(),
        account_id=rig.account.id,
        webhook_id=1,
        revision=1,
        batch_id="bat_1",
        range=PART,
        count=EVENTS,
        done=bytes([(1 << EVENTS) - 1]) if kind is EntryKind.RUN else None,
    )
    if kind is EntryKind.TEST:
        made = msgspec.structs.replace(made, range=Range(START, START))
    if is_sent or kind is EntryKind.TEST:
        made = msgspec.structs.replace(
            made, attempt=1, verdict=Verdict.DELIVERED, outcome=Outcome(status=200)
        )
    return msgspec.structs.replace(made, delivered=EVENTS) if is_sent else made


async def record(rig: Rig, one: Entry) -> None:
    """Write the entry to the journal; the cursor passes what has got its place by it."""
    claim = await rig.engine.ledger.lane(1)
    has_place = SAID[one.kind] != Said()
    lane = msgspec.structs.replace(claim.lane, cursor=PART.end if has_place else START)
    change = LaneChange(webhook_id=1, epoch=claim.lane.epoch, lane=lane, entries=(one,))
    assert await rig.engine.ledger.record([change]) == []


async def index(rig: Rig) -> Said:
    await Indexer(rig.engine, rig.clock).catch_up()
    found = await slots(rig, terms.ATTEMPTS, 1)
    attempts = found.get(terms.SUCCESSES, 0) + found.get(terms.FAILURES, 0)
    told = [found.get(slot, 0) for slot in (terms.DELIVERED, terms.SKIPPED, terms.EXPIRED)]
    return Said(*told, attempts)


async def outcomes(rig: Rig) -> Said:
    sums = await Outcomes(rig.engine, rig.clock).recent(rig.account.id)
    return Said(None, sums[1].skipped, sums[1].expired, sums[1].attempts)


async def metrics(rig: Rig) -> Said:
    following = Following(rig.engine, rig.directory)
    await following.read()
    lost = following.lost.counts
    delivered = sum(following.delivered.counts.values())
    attempts = sum(following.attempts.counts.values())
    skipped, expired = (lost.get(("native", kind), 0) for kind in ("skipped", "expired"))
    assert sum(lost.values()) == skipped + expired
    return Said(int(delivered), int(skipped), int(expired), int(attempts))


@pytest.mark.parametrize("kind", EntryKind)
async def test_all_readers_of_the_journal_agree_on_an_entry(kind: EntryKind) -> None:
    async with running() as rig:
        await rig.webhook()
        await rig.send(*map(event, range(EVENTS)))
        await record(rig, entry(rig, kind))

        found = await rig.audit()

        said = SAID[kind]
        row = found.rows[0]
        assert found.problems == []
        assert Said(row.delivered, row.skipped, row.expired, None) == replace(said, attempts=None)
        assert row.waiting == (EVENTS if said == Said() else 0)
        for one, name in BESIDE.items():
            assert getattr(row, name) == (kind is one)
        assert await index(rig) == said
        assert await outcomes(rig) == replace(said, delivered=None)
        assert await metrics(rig) == said


@pytest.mark.parametrize("kind", EntryKind)
async def test_an_entry_ends_its_batch_as_its_kind_does(kind: EntryKind) -> None:
    async with running() as rig:
        one = entry(rig, kind)

        assert ending_of(one) == ENDINGS.get(kind, "")


async def test_what_failed_or_is_of_no_batch_ends_none() -> None:
    async with running() as rig:
        failed = msgspec.structs.replace(entry(rig, EntryKind.ATTEMPT), verdict=Verdict.RETRY)
        lost = msgspec.structs.replace(entry(rig, EntryKind.EXPIRED), batch_id="")

        assert [ending_of(failed), ending_of(lost)] == ["", ""]
