"""Hostile values in every member of an event: they are accepted or refused, and hurt nobody."""

import asyncio
from pathlib import Path

import pytest

from postbell.events import Draft
from postbell.ingest.accepting import MAX_ID_CHARS
from tests.hostile.events import VALUES, add_hostile_events, hostile, members
from tests.hostile.test_every_column import LIMIT_S, house

PATHS = list(members())


def test_every_member_of_an_event_is_tried() -> None:
    assert len(PATHS) > 60
    assert ("recipient",) in PATHS
    assert ("client", "geo", "city") in PATHS
    assert {path[0] for path in PATHS} == set(Draft.__struct_encode_fields__)
    assert MAX_ID_CHARS


async def test_ingest_accepts_or_refuses_each_and_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path / "data", has_evil=False) as all_of_it:
        user = all_of_it.directory.known.api_user("good-mail")
        assert user is not None
        account = all_of_it.directory.known.accounts[user.account_id]
        for path in PATHS:
            answer = await all_of_it.ingest.submit(account, user, hostile(path))

            told = answer.accepted + answer.duplicates + len(answer.rejected)
            assert told == len(VALUES), path
        await all_of_it.delivered()


async def test_every_loop_goes_over_events_that_no_face_would_have_taken(tmp_path: Path) -> None:
    async with house(tmp_path / "data", has_evil=False) as all_of_it:
        count = await add_hostile_events(all_of_it.engine, "http://evil.example/hook")
        await all_of_it.delivered()
        async with asyncio.timeout(LIMIT_S):
            while (await all_of_it.engine.index.marks()).block < await all_of_it.engine.log.head():
                await asyncio.sleep(0.05)
        counted = await all_of_it.scraped()
        await all_of_it.delivered()

    assert count == len(PATHS) * len(VALUES)
    assert counted


@pytest.mark.parametrize("path", [("recipient",), ("metadata",), ("smtp", "code")])
def test_hostile_events_differ_in_one_member(path: tuple[str, ...]) -> None:
    assert len(set(hostile(path))) == len(VALUES)
