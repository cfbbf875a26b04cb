"""What events put addresses on the list, by which rules, and what a rebuild makes of it."""

from datetime import datetime, timedelta

import pytest

from postbell.audit import audit
from postbell.blocks import build_block
from postbell.dialects import DIALECTS
from postbell.errors import StorageError
from postbell.ports import SuppressionQuery
from postbell.signals import heard
from postbell.storage import suppressing
from postbell.suppressing import follower, reading
from postbell.suppressions import FollowedUpTo
from tests.fakes import drop
from tests.suppressing.conftest import ADDRESS, Office

DAY_S = 86_400.0
HARD = (ADDRESS, "hard_bounce", "all")


async def test_nothing_is_suppressed_until_somebody_turns_the_rules_on(office: Office) -> None:
    await office.events("hard_bounce", "spam_report", "unsubscribe")
    await office.rules(is_on=True)
    before = await office.listed()
    await office.events("delivered", "open", "dropped", "failed", "deferred")
    after = await office.listed()

    await office.events("hard_bounce")

    assert (before, after, await office.listed()) == ([], [], [HARD])


@pytest.mark.parametrize(("kind", "reason", "user"), [
    ("hard_bounce", "hard_bounce", "all"),
    ("spam_report", "complaint", "all"),
    ("unsubscribe", "unsubscribe", "alice"),
])  # fmt: skip
async def test_one_event_suppresses_for_whom_it_concerns(
    office: Office, kind: str, reason: str, user: str
) -> None:
    await office.rules(is_on=True)

    await office.events(kind, recipient="Ada@EXAMPLE.net")

    assert await office.listed() == [("Ada@EXAMPLE.net", reason, user)]


async def test_another_accounts_rules_and_list_are_its_own(office: Office) -> None:
    await office.rules(is_on=True)

    await office.events("hard_bounce", user="bob")
    await office.events("hard_bounce")

    assert (await office.listed(), await office.listed("beta")) == ([HARD], [])


@pytest.mark.parametrize(("kind", "members"), [
    ("unsubscribe", {"actor": {"kind": "scanner"}}),
    ("spam_report", {"complaint": {"feedback_type": "not-spam"}}),
])  # fmt: skip
async def test_what_a_machine_did_and_what_is_no_complaint_suppress_nobody(
    office: Office, kind: str, members: dict[str, object]
) -> None:
    await office.rules(is_on=True)

    await office.events(kind, **members)
    kept = await office.listed()
    await office.events(kind)

    assert (kept, len(await office.listed())) == ([], 1)


async def test_a_bounce_that_came_back_by_mail_counts(office: Office) -> None:
    await office.rules(is_on=True)

    await office.events("hard_bounce", bounce={"origin": "oob"})

    assert await office.listed() == [HARD]


async def test_soft_bounces_of_several_days_suppress_for_a_while(office: Office) -> None:
    await office.rules(is_on=True, soft_bounce={"after": 3, "lasts_days": 2})
    seen = []
    for _ in range(3):
        await office.events("soft_bounce", "soft_bounce")
        seen.append(len(await office.listed()))
        office.service.clock.advance(DAY_S)
    office.service.clock.advance(DAY_S)
    at_end = await office.listed()
    await office.follower.sweep()

    assert (seen, at_end) == ([0, 0, 1], [])
    assert await office.service.engine.suppressions.find(1, [ADDRESS]) == []


async def test_a_delivery_in_between_begins_the_count_anew(office: Office) -> None:
    await office.rules(is_on=True, soft_bounce={"after": 2})
    await office.events("soft_bounce")
    office.service.clock.advance(DAY_S)

    await office.events("delivered", "soft_bounce")
    between = await office.listed()
    office.service.clock.advance(DAY_S)
    await office.events("soft_bounce")

    assert (between, len(await office.listed())) == ([], 1)


async def test_a_delivery_counts_though_the_list_is_read_in_one_go(office: Office) -> None:
    """None of what counts is stored yet when the delivery is read."""
    await office.rules(is_on=True, soft_bounce={"after": 2})
    for kind in ("soft_bounce", "delivered", "soft_bounce"):
        body = {"type": kind, "recipient": ADDRESS}
        await office.service.call("POST", "/api/v1/events", json=body)
        office.service.clock.advance(DAY_S)

    await office.follower.catch_up()

    assert await office.listed() == []


async def test_a_change_of_the_rules_leaves_nothing_out_that_was_not_read_yet(
    office: Office,
) -> None:
    await office.rules(is_on=True)
    body = {"type": "unsubscribe", "recipient": ADDRESS}
    await office.service.call("POST", "/api/v1/events", json=body)

    await office.rules(soft_bounce={"after": 2})
    await office.follower.catch_up()

    assert await office.listed() == [(ADDRESS, "unsubscribe", "alice")]


async def test_what_was_counted_before_a_removal_counts_no_more(office: Office) -> None:
    await office.rules(is_on=True, soft_bounce={"after": 3})
    await office.service.desk.add_suppression(1, {"address": ADDRESS})
    for number in range(4):
        if number == 2:
            await office.remove()
        await office.events("soft_bounce")
        office.service.clock.advance(DAY_S)

    assert await office.listed() == []


async def test_a_rule_can_be_switched_off_by_itself(office: Office) -> None:
    await office.rules(is_on=True, complaint={"after": 0})

    await office.events("spam_report", "hard_bounce")

    assert await office.listed() == [HARD]


async def test_who_subscribes_again_is_on_the_list_no_more(office: Office) -> None:
    await office.rules(is_on=True)
    await office.events("unsubscribe", "spam_report")

    await office.events("resubscribe")

    assert await office.listed() == [(ADDRESS, "complaint", "all")]


async def test_what_was_removed_before_the_list_read_it_stays_off(office: Office) -> None:
    """The event is in the log, the list is behind, and a person removes the address."""
    await office.rules(is_on=True)
    await office.events("hard_bounce")
    body = {"type": "spam_report", "recipient": ADDRESS}
    await office.service.call("POST", "/api/v1/events", json=body)

    status = await office.remove()
    await office.follower.catch_up()

    assert (status, await office.listed()) == (204, [])


@pytest.mark.parametrize(
    ("kinds", "is_on"),
    [
        (("unsubscribe", "resubscribe"), False),
        (("resubscribe", "unsubscribe"), True),
        (("unsubscribe", "resubscribe", "unsubscribe"), True),
        (("unsubscribe", "resubscribe", "unsubscribe", "resubscribe"), False),
    ],
)
@pytest.mark.parametrize("was_on", [False, True])
async def test_what_somebody_wanted_last_holds_though_he_said_all_at_once(
    office: Office, kinds: tuple[str, ...], is_on: bool, was_on: bool
) -> None:
    """As in a file that is read long after: then all of it is one block."""
    await office.rules(is_on=True)
    await office.events("open", *["unsubscribe"] * was_on)

    await office.events(*kinds)
    listed = await office.listed()
    await office.service.desk.rebuild_suppressions()
    await office.follower.catch_up()

    assert listed == await office.listed() == ([(ADDRESS, "unsubscribe", "alice")] * is_on)
    changes = await office.service.engine.suppressions.changes(0, 9)
    assert len(changes) == was_on + (is_on != was_on)
    found = await audit(office.service.engine, DIALECTS)
    assert [str(each) for each in found.problems] == []


async def test_a_rebuild_takes_the_rules_to_have_been_in_force_always(office: Office) -> None:
    await office.events("hard_bounce", recipient="old@example.net")
    await office.events("hard_bounce", recipient="gone@example.net")
    await office.rules(is_on=True)
    await office.events("spam_report")
    await office.events("hard_bounce", recipient="gone@example.net")
    await office.remove("gone@example.net")
    await office.rules(complaint={"after": 0})
    await office.service.desk.add_suppression(1, {"address": "man@example.net"})

    await office.service.desk.rebuild_suppressions()
    await office.follower.catch_up()

    reasons = {address.partition("@")[0]: reason for address, reason, _ in await office.listed()}
    assert reasons == {"old": "hard_bounce", "man": "manual"}


async def test_a_rebuild_that_finds_all_again_changes_nothing(office: Office) -> None:
    suppressions = office.service.engine.suppressions
    await office.rules(is_on=True)
    await office.events("hard_bounce", "unsubscribe", "resubscribe", "unsubscribe")
    before = (await office.listed(), await suppressions.changes(0, 99))

    await office.service.desk.rebuild_suppressions()
    await office.follower.catch_up()

    assert (await office.listed(), await suppressions.changes(0, 99)) == before
    assert (await suppressions.followed()).rebuild_to == 0


async def test_a_rebuild_lets_entries_last_as_the_rules_say_now(office: Office) -> None:
    """Those that would be over by them end; what happens again lasts from then."""
    service = office.service
    await office.rules(is_on=True)
    await office.events("hard_bounce", recipient="old@example.net")
    await office.events("hard_bounce")
    service.clock.advance(5 * DAY_S)
    await office.events("hard_bounce")
    service.clock.advance(6 * DAY_S)
    await office.rules(hard_bounce={"lasts_days": 10})
    await service.desk.rebuild_suppressions()
    await office.follower.catch_up()
    shorter = await entries(office)
    changes = [each.ending for each in await service.engine.suppressions.changes(2, 9)]

    await office.rules(hard_bounce={"lasts_days": 0})
    await service.desk.rebuild_suppressions()
    await office.follower.catch_up()

    again_at = service.clock.now() - timedelta(days=6)
    assert shorter == [(ADDRESS, again_at + timedelta(days=10))]
    assert changes == ["rebuilt", "rebuilt", None]
    assert await entries(office) == [(ADDRESS, None), ("old@example.net", None)]


async def entries(office: Office) -> list[tuple[str, datetime | None]]:
    """Return address and end of each entry."""
    page = await office.service.reports.suppressions.page(SuppressionQuery(1))
    return [(row.address, row.until) for row in page.rows]


async def test_entries_whose_events_are_gone_from_the_log_outlive_a_rebuild(
    office: Office,
) -> None:
    await office.rules(is_on=True)
    await office.events("hard_bounce", recipient="old@example.net")
    await office.events("hard_bounce")
    await drop(office.service.engine, 2)

    await office.service.desk.rebuild_suppressions()
    await office.follower.catch_up()

    assert [address for address, *_ in await office.listed()] == [ADDRESS, "old@example.net"]


async def test_a_rebuild_leaves_the_list_of_an_account_whose_rules_are_off(office: Office) -> None:
    """Or one account's rebuild lets another mail those who complained."""
    await office.rules(is_on=True)
    await office.events("hard_bounce")
    await office.rules(is_on=False)

    await office.service.desk.rebuild_suppressions()
    await office.follower.catch_up()

    assert await office.listed() == [HARD]


async def test_a_step_says_whether_more_waits_and_all_is_taken_in(office: Office) -> None:
    """Else a long log would be read in a part each half a second."""
    await office.rules(is_on=True)
    for first in range(0, 1800, 600):
        body = [
            {"type": "hard_bounce", "recipient": f"u{n}@example.net"}
            for n in range(first, first + 600)
        ]
        await office.service.call("POST", "/api/v1/events", json=body)

    waits = [await office.follower.step() for _ in range(3)]

    assert waits == [True, False, False]
    followed = await office.service.engine.suppressions.followed()
    assert followed.block == await office.service.engine.log.head()


async def test_a_rebuild_ends_though_events_keep_coming(office: Office) -> None:
    service = office.service
    await office.rules(is_on=True)
    await office.events("hard_bounce")
    await service.desk.rebuild_suppressions()

    for n in range(5):
        body = [{"type": "delivered", "recipient": f"u{n}@example.net"}]
        await service.call("POST", "/api/v1/events", json=body)
        await office.follower.step()

    assert (await service.engine.suppressions.followed()).rebuild_to == 0


async def test_a_rebuild_of_a_log_that_retention_emptied_ends(office: Office) -> None:
    """The command never came back, and the worker took a whole core."""
    await office.rules(is_on=True)
    await office.events("hard_bounce")
    engine = office.service.engine
    await drop(engine, await engine.log.head() + 1)
    await office.service.desk.rebuild_suppressions()

    steps = [await office.follower.step() for _ in range(5)]

    assert steps[-1] is False
    assert (await engine.suppressions.followed()).rebuild_to == 0
    assert await office.listed() == [HARD]


async def test_a_rebuild_keeps_what_a_block_caused_that_cannot_be_read_any_more(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged block took those off the list who had complained in it."""
    await office.rules(is_on=True)
    await office.events("hard_bounce")
    await office.events("hard_bounce", recipient="bob@example.net")
    glance = reading._glance

    def fail_once(raw: bytes) -> reading._Glance:
        monkeypatch.setattr(reading, "_glance", glance)
        raise LookupError("no such member")

    monkeypatch.setattr(reading, "_glance", fail_once)

    await office.service.desk.rebuild_suppressions()
    await office.follower.catch_up()

    assert [address for address, *_ in await office.listed()] == [ADDRESS, "bob@example.net"]
    assert (await office.service.engine.suppressions.followed()).rebuild_to == 0


async def test_a_block_that_cannot_be_read_is_left_out(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rules(is_on=True)
    engine = office.service.engine
    junk = build_block(1, 1, [b'{"event_id":"e1","recipient":7}'], b"\x06", bytes(8))
    await engine.log.append(
        [junk], [], head=await engine.log.head(), now=office.service.clock.now()
    )
    glance = reading._glance

    def fail_once(raw: bytes) -> reading._Glance:
        monkeypatch.setattr(reading, "_glance", glance)
        raise LookupError("no such member")

    await office.follower.catch_up()
    monkeypatch.setattr(reading, "_glance", fail_once)
    await office.service.ingest._learn()
    await office.events("hard_bounce", recipient="lost@example.net")
    await office.events("hard_bounce")

    assert await office.listed() == [HARD]
    assert await engine.suppressions.followed() == FollowedUpTo(3)


async def test_a_finding_that_cannot_be_written_keeps_no_other_out(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rules(is_on=True)
    suppressions = office.service.engine.suppressions
    take_in = suppressions.take_in

    async def refuse(before, block, findings, now):  # type: ignore[no-untyped-def]
        if any(each.entry.key.startswith("bad@") for each in findings):
            raise ValueError("it cannot be written")
        return await take_in(before, block, findings, now)

    monkeypatch.setattr(suppressions, "take_in", refuse)
    for name in ("a", "bad", "z"):
        body = {"type": "hard_bounce", "recipient": f"{name}@example.net"}
        await office.service.call("POST", "/api/v1/events", json=body)
    await office.follower.catch_up()

    assert [address[0] for address, *_ in await office.listed()] == ["a", "z"]


async def test_what_storage_cannot_do_now_is_done_later(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rules(is_on=True)
    suppressions = office.service.engine.suppressions

    async def fail(*_args: object) -> bool:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(suppressions, "take_in", fail)
        with pytest.raises(StorageError):
            await office.events("hard_bounce")
    await office.follower.catch_up()

    assert await office.listed() == [HARD]


async def test_nothing_ends_while_nobody_is_sure_of_the_time(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = "2026-11-21T12:00:01Z"
    await office.service.desk.add_suppression(1, {"address": ADDRESS, "until": until})
    office.service.clock.jump(DAY_S)
    monkeypatch.setattr(type(office.service.clock), "is_sure", False)

    await office.follower.sweep()

    assert len(await office.service.engine.suppressions.find(1, [ADDRESS])) == 1


async def test_a_full_list_is_told_when_something_is_left_out(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is left out is mailed again: nobody would know."""
    for part in (suppressing, follower):
        monkeypatch.setattr(part, "MOST_ENTRIES", 1)
    found: list[int] = []
    await office.rules(is_on=True)
    with heard("suppressions_full", lambda fields: found.append(fields["account"])):
        await office.events("hard_bounce")
        await office.events("open", recipient="bob@example.net")
        quiet = list(found)
        await office.events("hard_bounce", recipient="bob@example.net")

    assert (quiet, found) == ([], [1])
    assert await office.listed() == [HARD]
