"""`postbell index`: how far it is, and making it anew while nobody serves."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postbell.blocks import Position, build_block
from postbell.cli import main
from postbell.clock import SystemClock
from postbell.pipeline.terms import recipient_term
from postbell.sealing import load_or_create
from postbell.storage import sqlite

RAW = b'{"event_id":"e1","type":"delivered","recipient":"ada@example.net"}'


async def fill(folder: Path) -> None:
    """Make a database with one event that no index knows."""
    engine = await sqlite.open(
        folder / "postbell.db", load_or_create(folder / "secret.key"), SystemClock()
    )
    block = build_block(1, 1, [RAW], b"\x04", bytes(8))
    await engine.log.append([block], [], head=0, now=datetime.now(UTC))
    await engine.close()


async def found(folder: Path) -> list[Position]:
    engine = await sqlite.open(
        folder / "postbell.db", load_or_create(folder / "secret.key"), SystemClock()
    )
    places = await engine.index.find(
        1, recipient_term("ada@example.net"), before=Position(9, 0), limit=9
    )
    await engine.close()
    return places


def test_status_says_how_far_behind_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(tmp_path))

    status = main(["index", "status", "--data-dir", str(tmp_path), "--json"])

    assert status == 0
    assert json.loads(capsys.readouterr().out) == {"block": 0, "head": 1, "behind": 1}


def test_rebuild_makes_it_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(fill(tmp_path))

    first = main(["index", "rebuild", "--data-dir", str(tmp_path)])
    again = main(["index", "rebuild", "--data-dir", str(tmp_path)])

    assert (first, again) == (0, 0)
    assert "the index is up to block 1" in capsys.readouterr().out
    assert asyncio.run(found(tmp_path)) == [Position(1, 0)]
