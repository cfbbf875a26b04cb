"""An audit finds every way in which a database was damaged, and names the place."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.audit.building import audited
from tests.audit.damages import DAMAGES, Damage


async def test_the_undamaged_copy_passes(folder: Path) -> None:
    found = await audited(folder)

    assert found.problems == []
    assert found.holds


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_it_is_found_when(damage: Damage, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "postbell.db")) as db:
        expected = damage(db)
        db.commit()

    found = await audited(folder)

    first = found.problems[0]
    assert expected.what in first.what
    assert replace(expected, what="") == replace(first, what="")
