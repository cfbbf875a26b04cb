"""No hot statement reads a whole table: the planner is asked for each of them."""

import re
from collections.abc import Iterator

import apsw
import pytest

from postbell.storage import sqlite
from postbell.storage.sqlite.transaction import SQL

LISTS = {
    "accounts": "accounts",
    "api_users": "api_users",
    "api_keys": "api_users",
    "webhooks_of_account": "webhooks",
    "replays": "replays",
    "batches": "batches",
    "tail": "blocks",
    "block_ids": "blocks",
    "oldest_block": "blocks",
    "clear_segments": "index_segments",
    "clear_pages": "index_pages",
    "clear_counts": "index_counts",
    "clear_visits": "index_visits",
    "clear_messages": "index_messages",
    "messages": "json_each",
    "recall": "json_each",
    "drop_old_tries": "tries",
    "forget_tries": "tries",
    "sources": "sources",
    "needed": "lanes",
    "recipients": "letters",
    "drop_crowded": "subquery",
    "want": "json_each",
    "drop_quarantined": "json_each",
    "entries": "subquery",
    "entries_of_account": "subquery",
    "suppression_page": "subquery",
    "suppression_rules": "suppression_rules",
    "rules_of_all_time": "suppression_rules",
    "forget_all_days": "suppression_days",
    "counted_suppressions": "json_each",
    "hold_lanes": "CONSTANT ROW",
    "owners": "owners",
    "owners_with_factor": "second_factors",
    "count_operators": "owners",
    "drop_old_half_sign_ins": "half_sign_ins",
    "drop_old_resets": "resets",
    "drop_old_sessions": "sessions",
    "drop_members": "processes",
    "members": "processes",
    "duties": "leases",
    "free_duties": "leases",
    "leave_duties": "leases",
    "holdings": "lanes",
}
"""Statements that go through a table by key from a given place, or list a small one whole."""

BIG = (
    "answers",
    "blocks",
    "batches",
    "journal",
    "journal_webhooks",
    "keys",
    "lanes",
    "secrets",
    "revisions",
    "index_segments",
    "index_pages",
    "index_counts",
    "index_visits",
    "index_messages",
    "trail",
    "remembered",
    "quarantine",
    "suppressions",
    "suppression_days",
    "suppression_changes",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path = tmp_path_factory.mktemp("plans") / "a.db"
    sqlite.migrate(path)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    yield connection
    connection.close()


def plan(database: apsw.Connection, statement: str) -> list[str]:
    holes = {int(number) for number in re.findall(r"\?(\d+)", statement)}
    values = (1,) * max(holes, default=0)
    return [row[3] for row in database.execute("EXPLAIN QUERY PLAN " + statement, values)]


@pytest.mark.parametrize("name", sorted(SQL))
def test_a_statement_searches_and_does_not_scan(database: apsw.Connection, name: str) -> None:
    steps = plan(database, SQL[name])

    scans = [
        step for step in steps if step.startswith("SCAN") and not step.startswith("SCAN found")
    ]
    whole = [step for step in scans if name not in LISTS or LISTS[name] not in step]
    assert whole == []


@pytest.mark.parametrize("name", sorted(SQL))
def test_nothing_big_is_sorted(database: apsw.Connection, name: str) -> None:
    steps = " / ".join(plan(database, SQL[name]))

    sorts = "TEMP B-TREE" in steps and any(f" {table}" in steps for table in BIG)
    assert not sorts, steps


def test_headers_are_found_by_account_and_id(database: apsw.Connection) -> None:
    steps = [plan(database, SQL[name]) for name in ("headers", "newest_of_account")]

    by_account = "SEARCH blocks USING INDEX blocks_of_account (account_id=?"
    assert steps == [[f"{by_account} AND id>?)"], [f"{by_account})"]]


def test_entries_of_the_trail_are_found_by_account_and_time(database: apsw.Connection) -> None:
    of_account = [plan(database, SQL[n]) for n in ("entries_of_account", "edge_of_account")]
    of_all = [plan(database, SQL[name]) for name in ("entries", "edge")]

    by_account = "INDEX trail_of_account (account_id=? AND at>? AND at<?)"
    by_time = "INDEX trail_by_time (at>? AND at<?)"
    assert all(any(step.endswith(by_account) for step in steps) for steps in of_account)
    assert all(any(step.endswith(by_time) for step in steps) for steps in of_all)
