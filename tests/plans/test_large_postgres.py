"""On large tables no statement reads one whole: PostgreSQL's planner is asked for each of them.

POSTBELL_PLANS_ROWS says how large: as many as it takes for each index to be worth it, or a million,
for which it takes minutes.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from postbell.storage.postgres.transaction import SQL
from tests.empty import made_postgres
from tests.plans.test_plans import BIG, LISTS
from tests.postgres import server

ROWS = int(os.environ.get("POSTBELL_PLANS_ROWS", "30000"))
ACCOUNTS, WEBHOOKS = 500, max(ROWS // 20, 10_000)
VALUES = {
    "account_id": f"1 + g % {ACCOUNTS}",
    "api_user_id": f"1 + g % {ACCOUNTS}",
    "owner_id": f"1 + g % {ACCOUNTS}",
    "webhook_id": f"1 + g % {WEBHOOKS}",
    "number": f"1 + g / {WEBHOOKS}",
    "state": "CASE WHEN g % 3 = 0 THEN 'parked' ELSE 'waiting' END",
    "owner": "CASE WHEN g % 10 = 0 THEN 'worker' ELSE '' END",
    "replay_id": "NULL",
    "by_hour": "g % 2",
    "series": "(ARRAY['delivered', 'attempts', 'lag'])[1 + g % 3]",
    "slot": "g % 20",
    "source": "'source ' || g % 20",
    "is_wanted": "CASE WHEN g % 100 = 0 THEN 1 ELSE 0 END",
    "stop_until": "CASE WHEN g % 1000 = 0 THEN g END",
    "removed_at": "CASE WHEN g % 10 = 0 THEN g END",
    "done": "CASE WHEN g % 10 = 0 THEN '\\x00'::bytea END",
}
"""What a column holds in row g, where that is not g itself."""
PARTS_OF = {"index_messages": ("key", "g"), "secrets": ("account_id", "NULL")}
UNPLANNED = {
    "hold_lanes": "a lock",
    "make_room": "a function",
    "drop_part": "a function",
    "drop_blocks": "here parts are dropped",
    "delete_journal_webhooks": "of a part that hardly anything came into",
    "drop_suppression_changes": "goes with what was told, mostly all of a small table",
}
CHOOSES = 5
"""So often the server plans a statement for the values that it is given; then it chooses."""


async def filled(connection: asyncpg.Connection) -> None:
    """Give every big table its rows."""
    await connection.execute("SET session_replication_role = replica")  # no foreign key, no trigger
    for of in ("blocks", "journal"):
        await connection.execute(f"SELECT make_room('{of}', 1, {ROWS}, 1)")
    await connection.execute(f"UPDATE heads SET next_sequence = {ROWS + 1} WHERE account_id = 0")
    for table in (*BIG, "webhooks", "api_users", "api_keys"):
        columns = await connection.fetch(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_name = $1 AND table_schema = 'public'",
            table,
        )
        values = [_value(table, name, kind) for name, kind in columns]
        names = ", ".join(f'"{name}"' for name, _ in columns)
        lanes = table in ("lanes", "webhooks")
        await connection.execute(
            f"INSERT INTO {table} ({names}) SELECT {', '.join(values)}"
            f" FROM generate_series(1, {WEBHOOKS if lanes else ROWS}) AS g ON CONFLICT DO NOTHING"
        )
    await connection.execute("ANALYZE")


def _value(table: str, name: str, kind: str) -> str:
    if table in ("lanes", "webhooks") and name in ("webhook_id", "id"):
        return "g"
    if PARTS_OF.get(table, ("", ""))[0] == name:
        return PARTS_OF[table][1]
    value = VALUES.get(name, {"text": "'t' || g", "bytea": "int8send(g)"}.get(kind, "g"))
    return f"CAST({value} AS {kind})"


def _given(statement: str, number: int, kind: asyncpg.Type) -> str:
    """Return what a statement is asked with: it has the limits of real ones, and finds rows."""
    if f"state = ${number}" in statement:
        return "'waiting'"
    if "json" in kind.name or f"${number} AS json" in statement:
        return "'[1, 2, 3]'"
    return {"int8": "100", "text": "'t100'", "bytea": "int8send(100)"}.get(kind.name, "NULL")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    name = server().database(made_postgres())
    yield name
    server().drop(name)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def wrongs(name: str, plan: dict[str, Any]) -> list[str]:
    """Return what in a plan reads, or sorts, a big table whole."""
    found = []
    for node in nodes(plan):
        table = node.get("Relation Name", "").rstrip("0123456789").rstrip("_")
        if node["Node Type"] in ("Seq Scan", "Bitmap Heap Scan", "Index Scan", "Index Only Scan"):
            is_whole = not any("Cond" in key for key in node)
            is_limited = node["Node Type"].startswith("Index")
            if table in BIG and is_whole and not is_limited and LISTS.get(name) != table:
                found.append(f"{node['Node Type']} on {table}")
        if node["Node Type"] == "Sort" and node["Plan Rows"] > ROWS / 10:
            found.append(f"Sort of {node['Plan Rows']} rows")
    return found


async def test_no_statement_reads_a_large_table_whole(database: str) -> None:
    connection = await asyncpg.connect(server().url(database))
    wrong: dict[str, list[str]] = {}
    try:
        await filled(connection)
        for name, statement in SQL.items():
            if name in UNPLANNED:
                continue
            prepared = await connection.prepare(statement)
            given = [_given(statement, *each) for each in enumerate(prepared.get_parameters(), 1)]
            await connection.execute(f"PREPARE asked AS {statement}")
            values = f"({', '.join(given)})" if given else ""
            for _ in range(CHOOSES + 1):
                rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE asked{values}")
            await connection.execute("DEALLOCATE asked")
            if found := wrongs(name, json.loads(rows[0][0])[0]["Plan"]):
                wrong[name] = found
    finally:
        await connection.close()

    assert wrong == {}, wrong
