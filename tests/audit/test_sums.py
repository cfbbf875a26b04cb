"""The sums of an audit, of the whole log and of a part of it."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from postbell.audit import PLACES, Audit, AuditProgress
from tests.audit.building import (
    DELETED,
    ENGAGELAB,
    FAILING,
    NATIVE,
    PICKY,
    SENDPULSE,
    SKIPPED,
    SLOW,
    audited,
)
from tests.fakes import FakeClock

BEGIN = FakeClock().now()


def sums(found: Audit) -> Counter[tuple[int, int, str]]:
    return Counter(
        {
            (row.webhook_id, row.revision, name): getattr(row, name)
            for row in found.rows
            for name in ("matching", "not_applicable", *PLACES)
        }
    )


async def test_every_place_is_summed_for_each_webhook_and_revision(folder: Path) -> None:
    found = await audited(folder)

    assert {
        (row.webhook_id, row.revision): (row.matching, *row.places()) for row in found.rows
    } == {
        (NATIVE, 1): (48, 48, 0, 0, 0, 0),
        (NATIVE, 2): (9, 9, 0, 0, 0, 0),
        (NATIVE, 3): (24, 18, 6, 0, 0, 0),
        (SENDPULSE, 1): (81, 68, 9, 0, 0, 4),
        (ENGAGELAB, 1): (108, 94, 12, 2, 0, 0),
        (PICKY, 1): (108, 95, 12, 1, 0, 0),
        (SKIPPED, 1): (108, 12, 12, 0, 84, 0),
        (FAILING, 1): (108, 0, 108, 0, 0, 0),
        (SLOW, 1): (108, 4, 104, 0, 0, 0),
    }
    assert (found.blocks, found.events, found.webhooks) == (18, 108, 7)


async def test_what_is_not_in_the_equation_stands_beside_it(folder: Path) -> None:
    found = await audited(folder)

    beside = {
        (row.webhook_id, name): getattr(row, name)
        for row in found.rows
        for name in ("not_applicable", "replayed", "tests", "split", "recut")
        if getattr(row, name)
    }
    assert beside == {
        (NATIVE, "replayed"): 8,
        (NATIVE, "tests"): 1,
        (SENDPULSE, "not_applicable"): 27,
        (SENDPULSE, "replayed"): 8,
        (PICKY, "split"): 3,
        (FAILING, "recut"): 1,
    }


async def test_a_deleted_webhook_has_no_row(folder: Path) -> None:
    found = await audited(folder)

    assert DELETED not in {row.webhook_id for row in found.rows}


@pytest.mark.parametrize("seconds", [0, 1, 60, 61, 120, 180, 240, 241, 86_400, 10**6])
async def test_two_parts_of_the_time_sum_up_to_the_whole(folder: Path, seconds: int) -> None:
    moment = BEGIN + timedelta(seconds=seconds)

    before = await audited(folder, until=moment)
    after = await audited(folder, since=moment)

    whole = await audited(folder)
    assert before.problems == after.problems == []
    assert before.blocks + after.blocks == whole.blocks
    assert sums(before) + sums(after) == +sums(whole)


async def test_a_part_is_counted_as_if_there_were_nothing_else(folder: Path) -> None:
    since, until = BEGIN + timedelta(seconds=60), BEGIN + timedelta(seconds=180)

    found = await audited(folder, since=since, until=until)

    assert (found.since, found.until) == (since, until)
    assert (found.blocks, found.events) == (4, 24)
    rows = {(row.webhook_id, row.revision): row for row in found.rows}
    assert rows[NATIVE, 1].delivered == rows[NATIVE, 1].matching == 24
    assert rows[NATIVE, 2].matching == 0
    assert rows[SENDPULSE, 1].replayed == 0


async def test_progress_rises_to_the_number_of_webhooks(folder: Path) -> None:
    told: list[AuditProgress] = []

    await audited(folder, progress=told.append)

    assert told == sorted(told, key=lambda each: each.done)
    assert told[-1] == AuditProgress(7, 7)
