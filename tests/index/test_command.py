"""`postbell index`: how far it is, and making it anew while nobody serves."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postbell.blocks import Position, build_block
from postbell.clock import SystemClock
from postbell.index.terms import recipient_term
from postbell.ports import Engine
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.cli.running import Postbell

RAW = b'{"event_id":"e1","type":"delivered","recipient":"ada@example.net"}'


@pytest.fixture
def postbell(tmp_path: Path) -> Postbell:
    """The command on a database with one event that no index knows."""
    asyncio.run(fill(tmp_path))
    return Postbell(tmp_path)


async def opened(folder: Path) -> Engine:
    sealer = load_or_create(folder / "secret.key")
    return await sqlite.open(folder / "postbell.db", sealer, SystemClock())


async def fill(folder: Path) -> None:
    engine = await opened(folder)
    block = build_block(1, 1, [RAW], b"\x04", bytes(8))
    await engine.log.append([block], [], head=0, now=datetime.now(UTC))
    await engine.close()


async def find(folder: Path) -> list[Position]:
    engine = await opened(folder)
    term = recipient_term("ada@example.net")
    places = await engine.index.find(1, term, before=Position(9, 0), limit=9)
    await engine.close()
    return places


def test_status_says_how_far_behind_it_is(postbell: Postbell) -> None:
    assert postbell.json("index", "status") == {"block": 0, "head": 1, "behind": 1}


def test_rebuild_makes_it_anew_as_often_as_one_likes(postbell: Postbell) -> None:
    first, again = postbell("index", "rebuild"), postbell("index", "rebuild")

    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert again.stdout == "the index is up to block 1\n"
    assert asyncio.run(find(postbell.folder)) == [Position(1, 0)]
