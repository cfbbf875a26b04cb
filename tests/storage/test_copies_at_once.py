"""A copy into a database that is new, and two into one: the one begun later writes."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from postbell.errors import Conflict, StorageError
from postbell.ports import Database
from postbell.ports.tables import TablesUse
from postbell.sealing import load_or_create
from postbell.storage.copying import Copied, CopyProgress, copy
from postbell.storage.engines import named
from postbell.storage.postgres import migrating, silence
from postbell.storage.reach import Reach
from tests.between import Between
from tests.fakes import FakeClock
from tests.postgres import server


@pytest.fixture
def source(story: Path, tmp_path: Path) -> Database:
    return named("sqlite:///postbell.db", Path(shutil.copytree(story, tmp_path / "source")))


@pytest.fixture
def created() -> Iterator[str]:
    """Give the name of a database as `createdb` leaves it: without a table."""
    name = server().database()
    yield name
    server().drop(name)


async def copied(source: Database, target: Database, *, finish: bool) -> Copied:
    use = TablesUse.HOLD if finish else TablesUse.READ
    async with target.tables(TablesUse.FILL) as filled, source.tables(use) as read:
        return await copy(read, filled, finish=finish, told=lambda _: None)


async def test_a_database_without_a_table_gets_them_by_the_first_copy(
    source: Database, created: str
) -> None:
    done = await copied(source, named(server().url(created), Path()), finish=False)

    assert sum(table.rows for table in done.tables) > 100


async def test_a_database_of_the_release_before_is_left_as_it_is(
    source: Database, created: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = named(server().url(created), Path())
    every = migrating.known()
    with monkeypatch.context() as before:
        before.setattr(migrating, "known", lambda: every[:-1])
        target.migrate()

    with pytest.raises(StorageError, match=f"lacks {every[-1].name}; run: postbell migrate"):
        await copied(source, target, finish=False)

    assert target.pending() == [every[-1].name]


@pytest.mark.parametrize("finish", [False, True])
async def test_of_two_copies_into_one_database_the_one_begun_later_writes(
    source: Database, created: str, finish: bool
) -> None:
    target = named(server().url(created), Path())
    async with target.tables(TablesUse.FILL) as earlier:
        async with source.tables(TablesUse.READ) as read:
            await copy(read, earlier, finish=False, told=lambda _: None)
        await copied(source, target, finish=finish)
        shapes = await earlier.shapes()

        # What it had read before, and was about to write.
        with pytest.raises(Conflict, match="another copy into postgresql:"):
            await earlier.replace(shapes["accounts"], None, None, [])

        assert await earlier.count(shapes["accounts"]) == (1 if finish else 0)


async def test_a_copy_that_is_refused_leaves_the_one_that_is_under_way_alone(
    source: Database, created: str, tmp_path: Path
) -> None:
    target = named(server().url(created), Path())
    other = named("sqlite:///postbell.db", tmp_path)
    engine = await other.open(load_or_create(tmp_path / "key"), FakeClock())
    await engine.close()
    async with (
        target.tables(TablesUse.FILL) as filled,
        source.tables(TablesUse.READ) as read,
    ):
        await copy(read, filled, finish=False, told=lambda _: None)

        with pytest.raises(Conflict, match="is not empty"):
            await copied(other, target, finish=False)

        await filled.set_notes({})


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_server_that_is_silent_is_not_waited_for(
    source: Database, created: str, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    monkeypatch.setattr(silence, "LOOK_S", 0.2)
    async with Between(server().port).listening() as between:
        url = f"postgresql://postbell@127.0.0.1:{between.port}/{created}"

        def told(_: CopyProgress) -> None:
            between.silence()
            if not is_whole:  # what is opened anew finds the server; this connection is lost
                asyncio.get_running_loop().call_later(0.1, between.heal)

        target = named(url, Path(), Reach(connect_s=0.5))
        async with asyncio.timeout(15):
            with pytest.raises(StorageError, match=r"cannot be reached|does not answer"):
                async with (
                    target.tables(TablesUse.FILL) as filled,
                    source.tables(TablesUse.READ) as read,
                ):
                    await copy(read, filled, finish=False, told=told)


async def test_a_statement_that_takes_long_is_waited_for(
    created: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LOOK_S", 0.05)
    async with named(server().url(created), Path()).tables(TablesUse.FILL) as filled:
        [(slept,)] = await filled.fetch("SELECT 1 FROM pg_sleep(0.5)")

    assert slept == 1
