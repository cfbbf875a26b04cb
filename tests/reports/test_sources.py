"""How sources are shown: to the operator whole, to an account what is its own."""

from datetime import timedelta

from postbell.clock import Clock
from postbell.ports import (
    MAX_SILENCE,
    Checkpoints,
    Engine,
    Fact,
    Progress,
    RefusedFact,
    SourceStanding,
    SourceState,
)
from postbell.reports.sources import SourcesReport
from postbell.storage.memory import MemoryEngine
from tests.fakes import FakeClock

FAULT = "cannot read /var/log/mail.jsonl: Permission denied"


def standing(clock: Clock, account: str = "acme", **members: object) -> SourceStanding:
    given = {
        "kind": "file",
        "place": "/var/log/mail.jsonl",
        "account": account,
        "api_user": "mailer",
        "state": SourceState.UP_TO_DATE,
        "seen_at": clock.now(),
        "lag_bytes": 12,
        "fault": FAULT,
        "fault_at": clock.now(),
    }
    return SourceStanding(**(given | members))  # type: ignore[arg-type]  # a test's own members


async def move(engine: MemoryEngine, clock: FakeClock, name: str = "mail") -> None:
    """Let a source of acme take three events, and refuse two lines."""
    checkpoints: Checkpoints = engine.checkpoints
    revisions = await checkpoints.tell({name: standing(clock)})
    progress = Progress(name, revisions[name], b"here", "line 6", taken=3, duplicates=1, refused=2)
    await engine.log.append([], [], head=0, now=clock.now(), progress=[progress])


async def quarantined(
    engine: Engine, clock: Clock, *raws: bytes, source: str = "mail", **members: object
) -> None:
    """Let a source of acme refuse facts of these bytes."""
    revisions = await engine.checkpoints.tell({source: standing(clock, **members)})
    facts = (Fact(f"line {number}", raw) for number, raw in enumerate(raws, 1))
    refused = [RefusedFact(fact, "malformed", "the event is not valid JSON") for fact in facts]
    progress = Progress(source, revisions[source], b"", refused=len(raws), quarantine=refused)
    head = await engine.log.head()
    await engine.log.append([], [], head=head, now=clock.now(), progress=[progress])


async def test_the_operator_sees_all_of_every_source() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    await move(engine, clock)
    await engine.checkpoints.tell({"bounces": standing(clock, "bolt", kind="other")})

    bounces, mail = await SourcesReport(engine.checkpoints, engine.quarantine, clock).all()

    assert (bounces.name, bounces.account, bounces.kind, bounces.moved_at) == (
        "bounces", "bolt", "other", None,
    )  # fmt: skip
    assert (mail.taken, mail.duplicates, mail.refused, mail.position) == (3, 1, 2, "line 6")
    assert (mail.place, mail.fault, mail.lag_bytes) == ("/var/log/mail.jsonl", FAULT, 12)
    assert mail.moved_at == clock.now()


async def test_an_account_sees_its_own_and_nothing_of_the_machine() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    await move(engine, clock)
    await engine.checkpoints.tell({"bounces": standing(clock, "bolt")})
    report = SourcesReport(engine.checkpoints, engine.quarantine, clock)

    [mail] = await report.of("acme")
    [bounces] = await report.of("bolt")

    assert (mail.name, bounces.name) == ("mail", "bounces")
    assert "/var/log" not in repr(mail)
    assert await report.of("nobody") == []


async def test_a_source_that_accounts_share_is_shown_to_none_of_them() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    await engine.checkpoints.tell({"mail": standing(clock, is_shared=True)})
    report = SourcesReport(engine.checkpoints, engine.quarantine, clock)

    assert await report.of("acme") == []
    assert [each.name for each in await report.all()] == ["mail"]


async def test_a_source_that_says_nothing_any_more_does_not_run() -> None:
    clock = FakeClock()
    engine = MemoryEngine(clock)
    await move(engine, clock)
    report = SourcesReport(engine.checkpoints, engine.quarantine, clock)

    clock.advance(MAX_SILENCE.total_seconds())
    [before] = await report.all()
    clock.advance(timedelta(seconds=1).total_seconds())
    [after] = await report.all()

    assert (before.state, after.state) == (SourceState.UP_TO_DATE, SourceState.STOPPED)
