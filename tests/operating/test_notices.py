"""Notices over a real SMTP server: once for each change, to whom they concern, never a storm."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from postbell import signals
from postbell.blocks import Position, Range
from postbell.records import BatchState, OpenBatch
from postbell.signals import log
from tests.operating.rig import OPERATOR, SENDER, Watched, watched

ADA, EVE = "ada@acme.example", "eve@beta.example"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as rig:
        accounts = rig.service.accounts
        await rig.service.desk.create_owner(accounts["acme"].id, ADA, None)
        await rig.service.desk.create_owner(accounts["beta"].id, EVE, None)
        await rig.service.webhook()
        await rig.tell()
        assert rig.mailbox.taken == []
        yield rig


async def fail(rig: Watched, failures: int = 2) -> None:
    await rig.lane(failing_since=rig.service.clock.now(), failures=failures)


async def mend(rig: Watched) -> None:
    await rig.lane(failing_since=None, failures=0, last_success_at=rig.service.clock.now())


async def test_a_failing_webhook_is_told_to_the_operator_and_its_own_users(rig: Watched) -> None:
    await fail(rig)

    await rig.tell()

    assert sorted(to for to, _ in rig.mailbox.taken) == [ADA, OPERATOR]
    mail = rig.mailbox.taken[0][1]
    assert mail["subject"].startswith("Postbell: Webhook 1 (https")
    assert mail["from"] == SENDER
    assert mail["auto-submitted"] == "auto-generated"
    assert "2 attempts in a row" in rig.mailbox.texts(ADA)[0]
    assert "https://bell.example.com" in rig.mailbox.texts(ADA)[0]


async def test_the_path_of_a_url_is_in_no_mail(rig: Watched) -> None:
    await rig.service.webhook(url="https://hooks.example.com/in?token=hidden")
    await rig.lane(2, failing_since=rig.service.clock.now(), failures=2)

    await rig.tell()

    assert "hooks.example.com" in rig.mailbox.texts(ADA)[0]
    assert "hidden" not in rig.mailbox.texts(ADA)[0]


async def test_one_failure_is_no_news(rig: Watched) -> None:
    await fail(rig, failures=1)

    await rig.tell()

    assert rig.mailbox.taken == []


async def test_a_change_is_told_once(rig: Watched) -> None:
    await fail(rig)
    for _ in range(5):
        await rig.tell(100)

    assert len(rig.mailbox.texts(ADA)) == 1


async def test_a_restart_tells_nothing_again(rig: Watched) -> None:
    await fail(rig)
    await rig.tell()
    rig.notices = rig.new_notices()
    await rig.tell(100)

    assert len(rig.mailbox.texts(ADA)) == 1


async def test_recovering_is_told_where_the_failure_was(rig: Watched) -> None:
    await fail(rig)
    await rig.tell()
    await mend(rig)
    await rig.tell(100)
    await rig.tell(100)

    assert "takes events again" in rig.mailbox.texts(ADA)[1]
    assert len(rig.mailbox.texts(ADA)) == 2


async def test_trying_everything_now_recovers_nothing_by_itself(rig: Watched) -> None:
    await fail(rig)
    await rig.tell()
    failing = await rig.service.reports.webhook(None, 1)
    rig.service.clock.advance(600)

    await rig.service.desk.resume(rig.service.acme, 1)
    await rig.tell(100)

    tried = await rig.service.reports.webhook(None, 1)
    assert tried.failing_since == failing.failing_since
    assert tried.failures == failing.failures == 2
    assert len(rig.mailbox.texts(ADA)) == 1


async def test_a_webhook_that_comes_and_goes_is_told_once_an_hour(rig: Watched) -> None:
    for _ in range(10):
        await fail(rig)
        await rig.tell(100)
        await mend(rig)
        await rig.tell(100)
    in_an_hour = len(rig.mailbox.texts(ADA))
    rig.service.clock.advance(3600)
    await fail(rig)
    await rig.tell(100)

    assert in_an_hour == 2
    assert len(rig.mailbox.texts(ADA)) == 3


async def test_a_pause_is_told_with_its_reason_and_what_is_taken_again_is_recovering(
    rig: Watched,
) -> None:
    await fail(rig)
    await rig.tell(100)
    await rig.lane(pause="the receiver answered 410")
    await rig.tell(100)
    await rig.service.desk.resume(rig.service.acme, 1)
    await rig.tell(100)
    after_resuming = len(rig.mailbox.texts(ADA))
    await mend(rig)
    await rig.tell(100)

    texts = rig.mailbox.texts(ADA)
    assert (after_resuming, len(texts)) == (2, 3)
    assert "is paused" in texts[1]
    assert "410" in texts[1]
    assert "takes events again" in texts[2]


async def test_a_pause_is_told_at_once_also_of_a_webhook_that_failed_a_while_ago(
    rig: Watched,
) -> None:
    await fail(rig)
    await rig.tell(100)
    await mend(rig)
    await rig.tell(100)
    await rig.lane(pause="gone")
    await rig.tell(100)

    assert "is paused: it answered 410" in rig.mailbox.texts(ADA)[2]


async def test_a_pause_is_logged_once(rig: Watched) -> None:
    logged: list[Any] = []
    with signals.heard("webhook_paused", logged.append):
        await rig.service.desk.pause(rig.service.acme, 1)
        await rig.tell()
        await rig.tell()

    assert [fields["webhook_id"] for fields in logged] == [1]


async def test_what_comes_together_is_one_mail_a_minute_for_each_recipient(rig: Watched) -> None:
    for number in range(2, 80):
        await rig.service.webhook()
        await rig.lane(number, failing_since=rig.service.clock.now(), failures=2)
    await rig.tell(5)
    await rig.lane(1, failing_since=rig.service.clock.now(), failures=2)
    await rig.tell(5)
    within_a_minute = len(rig.mailbox.texts(ADA))
    await rig.tell(60)

    (first, second) = rig.mailbox.texts(ADA)
    assert within_a_minute == 1
    assert first.count("fails since") == 50
    assert "And 28 more." in first
    assert second.count("fails since") == 1


async def test_lag_over_the_limit_and_its_end_are_told(rig: Watched) -> None:
    await rig.service.events("open")
    rig.service.clock.advance(901)
    await rig.tell(100)
    claim = await rig.service.engine.ledger.lane(1)
    assert claim is not None
    await rig.service.desk.pause(rig.service.acme, 1)
    await rig.service.desk.resume(rig.service.acme, 1, skip=True)
    await rig.tell(100)

    texts = "".join(rig.mailbox.texts(ADA))
    assert "is behind: 1 event has waited for 15\u00a0m 1\u00a0s." in texts
    assert "has caught up" in texts


async def test_a_webhook_that_was_paused_is_behind_from_its_resumption_on(rig: Watched) -> None:
    await rig.service.events("open")
    await rig.service.desk.pause(rig.service.acme, 1)
    rig.service.clock.advance(3 * 86_400)
    await rig.tell(100)
    while_paused = await rig.service.reports.webhook(None, 1)
    await rig.service.desk.resume(rig.service.acme, 1)
    await rig.tell(100)
    await rig.tell(100)

    resumed = await rig.service.reports.webhook(None, 1)
    texts = "".join(rig.mailbox.texts(ADA))
    assert (while_paused.lag_s, while_paused.waiting) == (0, 1)
    assert (resumed.lag_s, resumed.health) == (200, "behind")
    assert "is behind" not in texts and "caught up" not in texts


async def test_who_is_paused_while_behind_has_not_caught_up(rig: Watched) -> None:
    await rig.service.events("open")
    rig.service.clock.advance(901)
    await rig.tell(100)
    await rig.service.desk.pause(rig.service.acme, 1)
    await rig.tell(100)
    await rig.service.desk.resume(rig.service.acme, 1)
    await rig.tell(100)

    texts = "".join(rig.mailbox.texts(ADA))
    assert "is behind" in texts and "is paused" in texts
    assert "caught up" not in texts


async def park(rig: Watched, count: int) -> None:
    """Give batches up, until so many events are parked."""
    now = rig.service.clock.now()
    parked = OpenBatch(
        id=f"bat_{count}",
        webhook_id=1,
        revision=1,
        range=Range(Position(count, 0), Position(count, 1)),
        count=1,
        cut_at=now,
        state=BatchState.PARKED,
        parked_at=now,
    )
    await rig.lane(1, put=(parked,))


async def test_parked_events_are_told_at_once_and_then_once_an_hour(rig: Watched) -> None:
    for count in (1, 2, 3):
        await park(rig, count)
        await rig.tell(100)
    within_the_hour = list(rig.mailbox.texts(ADA))
    await rig.tell(3600)
    await rig.tell(100)
    await rig.tell(100)

    first, second = rig.mailbox.texts(ADA)
    assert within_the_hour == [first]
    assert "1 event for webhook 1" in first and "3 events for webhook 1" in second
    assert "https://bell.example.com/webhooks/1" in first.splitlines()


async def test_what_is_sent_again_and_parked_again_later_is_told_again(rig: Watched) -> None:
    await park(rig, 1)
    await rig.tell(100)
    await rig.lane(1, drop=("bat_1",))
    await rig.tell(3600)
    await park(rig, 2)
    await rig.tell(100)

    assert len(rig.mailbox.texts(ADA)) == 2


async def test_what_was_told_while_the_clock_was_ahead_silences_nothing(rig: Watched) -> None:
    rig.service.clock.jump(31 * 86_400)
    await fail(rig)
    await park(rig, 1)
    await rig.tell(100)
    rig.service.clock.jump(-31 * 86_400)
    await mend(rig)
    await rig.tell(100)
    await fail(rig)
    await park(rig, 2)
    await rig.tell(100)

    texts = "".join(rig.mailbox.texts(ADA))
    assert (texts.count("fails since"), texts.count("takes events again")) == (2, 1)
    assert "1 event for webhook 1" in texts and "2 events for webhook 1" in texts


async def test_silence_is_told_and_being_heard_again(rig: Watched) -> None:
    rig.notices = rig.new_notices(silence_h=2, lag_limit_s=0)
    await rig.service.events("open")
    await rig.tell(3600)
    before = len(rig.mailbox.texts(ADA))
    await rig.tell(3700)
    await rig.tell(100)
    await rig.service.events("open")
    await rig.tell(100)

    texts = rig.mailbox.texts(ADA)
    assert before == 0
    assert "No event of the account acme has come in for 2 hours." in texts[0]
    assert "come in again" in texts[1]
    assert rig.mailbox.texts(EVE) == []


async def test_what_retention_will_drop_is_told(rig: Watched) -> None:
    with signals.heard("events_expiring", rig.notices._heard.append):
        at = rig.service.clock.now() + timedelta(days=3)
        log("events_expiring", webhook_id=1, events=7, at=at)

    await rig.tell()

    (text,) = rig.mailbox.texts(ADA)
    assert "7 events for webhook 1" in text
    assert "from 2026-11-24 12:00:0" in text


async def test_a_jump_of_the_clock_is_told_to_the_operator_alone_and_once(rig: Watched) -> None:
    listening = asyncio.create_task(rig.notices.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    log("clock_jumped", by_s=31 * 86_400.0, sure_in_s=0)
    log("clock_followed", by_s=31 * 86_400.0, sure_in_s=3600)
    listening.cancel()
    await rig.tell()
    rig.notices._clocks += [{"by_s": 5.0, "sure_in_s": 0}]
    await rig.tell(100)
    rig.notices._clocks += [{}]
    await rig.tell(100)

    jumped, sure = rig.mailbox.texts(OPERATOR)
    assert f"The clock of the machine {os.uname().nodename} moved by +31\u00a0d" in jumped
    assert "account" not in jumped.splitlines()[0]
    assert "runs evenly again" in sure
    assert rig.mailbox.texts(ADA) == []


async def test_who_wants_no_notices_gets_none(rig: Watched) -> None:
    owner = await rig.service.desk.find_owner(ADA)
    await rig.service.engine.owners.prefer(owner.id, wants_notices=False)
    await fail(rig)

    await rig.tell()

    assert [to for to, _ in rig.mailbox.taken] == [OPERATOR]


async def test_a_mail_that_was_not_taken_is_sent_later(rig: Watched) -> None:
    rig.mailbox.refusal = "451 try again"
    await fail(rig)
    await rig.tell(5)
    rig.mailbox.refusal = ""
    await rig.tell(5)
    too_early = len(rig.mailbox.taken)
    await rig.tell(10)

    assert too_early == 0
    assert len(rig.mailbox.texts(ADA)) == 1
