"""`postbell audit` beside a database: its exit status and what it says."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from postbell.clock import rfc3339
from tests.audit.damages import a_journal_row_is_gone, an_open_batch_is_gone
from tests.cli.running import Postbell
from tests.fakes import FakeClock

BEGIN = FakeClock().now()


@pytest.fixture
def postbell(folder: Path) -> Postbell:
    return Postbell(folder)


def damaged(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "postbell.db")) as db:
        a_journal_row_is_gone(db)
        an_open_batch_is_gone(db)
        db.commit()


def test_it_says_what_it_looked_at_and_succeeds(postbell: Postbell) -> None:
    done = postbell("audit")

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == (
        "108 events in 18 blocks, 7 webhooks: every event is accounted for"
    )
    assert len(done.stdout.splitlines()) == 1 + 9 + 1
    assert done.stderr == ""


def test_it_fails_naming_the_first_place(postbell: Postbell, folder: Path) -> None:
    damaged(folder)

    done = postbell("audit")

    first, *further = done.stderr.splitlines()
    assert done.returncode == 1
    assert first.startswith(
        "first:   account 1, webhook 1, revision 1, block 3, offset 0, event number 13, event e12: "
    )
    assert any("webhook 6" in line for line in further)
    assert done.stdout.splitlines()[-1].endswith("the promise does not hold")


def test_a_time_range_is_said_and_leaves_the_rest_out(postbell: Postbell, folder: Path) -> None:
    damaged(folder)
    since = rfc3339(BEGIN + timedelta(seconds=120))

    done = postbell("audit", "--since", since)

    assert done.returncode == 0
    assert f"recorded from {BEGIN + timedelta(seconds=120):%Y-%m-%d %H:%M:%S}Z" in done.stdout


def test_json_has_the_sums_and_the_problems(postbell: Postbell, folder: Path) -> None:
    damaged(folder)

    done = postbell("audit", "--json", "--until", rfc3339(BEGIN + timedelta(days=1)))

    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["holds"], told["since"]) == (False, None)
    assert told["until"] == rfc3339(BEGIN + timedelta(days=1))
    assert told["rows"][0]["webhook_id"] == 1
    assert told["problems"][0]["event_id"] == "e12"
    assert told["problems"][0]["sequence"] == 13


def test_a_time_that_is_none_is_refused(postbell: Postbell) -> None:
    done = postbell("audit", "--since", "yesterday")

    assert done.returncode == 2
    assert "since" in done.stderr
