"""Every statement is one that PostgreSQL takes."""

import asyncpg

from postbell.storage.postgres.transaction import PARTS, SQL
from postbell.storage.sqlite.transaction import SQL as SQLITE_SQL
from tests.empty import made_postgres
from tests.postgres import server


def test_both_engines_have_the_same_statements() -> None:
    assert SQL.keys() - PARTS.keys() == SQLITE_SQL.keys()


async def test_every_statement_can_be_prepared() -> None:
    connection = await asyncpg.connect(server().url(made_postgres()))
    wrong = {}
    try:
        for name, statement in SQL.items():
            try:
                await connection.prepare(statement)
            except asyncpg.PostgresError as error:
                wrong[name] = str(error)
    finally:
        await connection.close()

    assert wrong == {}
