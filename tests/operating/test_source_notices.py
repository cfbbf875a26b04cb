"""Notices of sources: that one stands still, falls behind, and is well again; to the operator."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from postbell.ports import SourceState
from tests.operating.rig import OPERATOR, Watched, watched
from tests.operating.test_operator_webhook import Operator
from tests.reports.test_sources import standing

ADA = "ada@acme.example"
LIMIT_S = 900.0
UP_TO_DATE, FAILING, STOPPED = SourceState.UP_TO_DATE, SourceState.FAILING, SourceState.STOPPED


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as rig:
        await rig.service.desk.create_owner(rig.service.accounts["acme"].id, ADA, None)
        yield rig


async def look(
    rig: Watched, state: SourceState, seconds: float = 61.0, **members: Any
) -> list[str]:
    """Let the source say how it does, look, and return the first lines of what is told of it."""
    before = len(rig.mailbox.texts(OPERATOR))
    told = {"mail": standing(rig.service.clock, state=state, **members)}
    await rig.service.engine.checkpoints.tell(told)
    await rig.tell(seconds)
    assert rig.mailbox.texts(ADA) == []
    return [text.splitlines()[1] for text in rig.mailbox.texts(OPERATOR)[before:]]


def now(rig: Watched) -> datetime:
    return rig.service.clock.now()


async def test_a_source_that_stands_still_for_long_is_told_once_and_when_it_reads_on(
    rig: Watched,
) -> None:
    since = now(rig)
    first = await look(rig, FAILING, LIMIT_S, ill_since=since)
    late = await look(rig, FAILING, 120, ill_since=since)
    told = await look(rig, FAILING, ill_since=since)
    again = [await look(rig, FAILING, ill_since=since) for _ in range(3)]
    well = await look(rig, UP_TO_DATE)

    assert (first, late) == ([], [])
    [still] = told
    assert still.startswith("The source mail stands still since 2026-11-21")
    assert still.endswith("(failing).")
    assert again == [[], [], []]
    assert well == ["The source mail reads on."]


async def test_a_source_that_is_ill_for_a_moment_is_no_news(rig: Watched) -> None:
    for _ in range(20):
        assert await look(rig, FAILING, ill_since=now(rig)) == []
        assert await look(rig, UP_TO_DATE) == []


async def test_one_that_fails_again_before_it_is_well_is_told_no_better(rig: Watched) -> None:
    since = now(rig)
    await look(rig, FAILING, LIMIT_S + 60, ill_since=since)
    await look(rig, FAILING, ill_since=since)

    assert await look(rig, SourceState.WAITING, ill_since=now(rig)) == []
    assert await look(rig, UP_TO_DATE) == ["The source mail reads on."]


async def test_one_that_does_not_run_any_more_is_told(rig: Watched) -> None:
    told = {"mail": standing(rig.service.clock)}
    await rig.service.engine.checkpoints.tell(told)
    await rig.tell(LIMIT_S + 60)
    await rig.tell(61)

    [text] = rig.mailbox.texts(OPERATOR)
    assert "(not running)." in text


async def test_one_that_falls_behind_is_told_and_when_it_has_caught_up(rig: Watched) -> None:
    since = now(rig)
    members = {"behind_since": since, "lag_bytes": 2_400_000}
    first = await look(rig, SourceState.READING, LIMIT_S + 60, **members)
    told = await look(rig, SourceState.READING, **members)
    again = await look(rig, SourceState.READING, **members)
    well = await look(rig, UP_TO_DATE, lag_bytes=0)

    assert first == []
    [behind] = told
    assert behind.startswith("The source mail is behind: it has had something unread for 16\u00a0m")
    assert "2.4\u00a0MB at the moment." in behind
    assert again == []
    assert well == ["The source mail has caught up."]


async def test_one_is_behind_though_nobody_can_say_how_much_it_has_unread(rig: Watched) -> None:
    since = now(rig)
    await look(rig, SourceState.READING, LIMIT_S + 60, behind_since=since, lag_bytes=None)

    [behind] = await look(rig, SourceState.READING, behind_since=since, lag_bytes=None)

    assert behind.endswith("for 16\u00a0m, – at the moment.")


async def test_the_operators_webhook_gets_what_there_is_to_know(rig: Watched) -> None:
    operator = Operator()
    async with operator.listening() as port:
        rig.notices = rig.new_notices(operator_webhook=f"http://127.0.0.1:{port}/bell")
        members = {"ill_since": now(rig), "behind_since": now(rig), "lag_bytes": 7}
        await look(rig, FAILING, LIMIT_S + 60, **members)
        await look(rig, FAILING, **members)

    still, behind = (notice for body in operator.bodies for notice in body["notices"])
    assert (still["kind"], still["source"], still["state"]) == ("source_still", "mail", "failing")
    assert still["fault"].startswith("cannot read /var/log")
    assert (behind["kind"], behind["lag_s"], behind["unread_bytes"]) == ("source_behind", 960, 7)


async def test_nothing_is_told_where_nobody_wants_that(rig: Watched) -> None:
    rig.notices = rig.new_notices(lag_limit_s=0.0)
    since = now(rig)

    await look(rig, FAILING, LIMIT_S * 9, ill_since=since, behind_since=since)

    assert await look(rig, FAILING, ill_since=since, behind_since=since) == []


async def test_of_a_source_that_was_forgotten_nothing_is_remembered(rig: Watched) -> None:
    since = now(rig)
    await look(rig, FAILING, LIMIT_S + 60, ill_since=since)
    await look(rig, FAILING, ill_since=since)
    told = await rig.service.engine.notices.told(0, 100)

    await rig.service.engine.checkpoints.forget("mail")
    await rig.tell(61)
    await rig.tell(61)

    assert [each.subject for each in told] == ["source mail source_still"]
    assert await rig.service.engine.notices.told(0, 100) == []
