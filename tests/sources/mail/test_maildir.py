"""A Maildir folder: each mail in it is read once, whatever happens between."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postbell import fences, sources
from postbell.errors import BadInput, StorageError
from postbell.ports import Source, SourceReading, SourceState
from postbell.sources.running import SourceParts, Sources
from tests.crash.test_mail import mail
from tests.delivery.rig import Rig, running
from tests.ingest.test_ingest import stored_ids
from tests.sources.mail.samples import TRACER, dsn, plain
from tests.sources.test_running import row_of, stands, until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "box" / name).mkdir(parents=True)
    return tmp_path / "box"


@pytest.fixture(autouse=True)
def uncounted() -> None:
    fences.failed.clear()


def open_source(path: Path, **members: Any) -> Source:
    given = {"kind": "maildir", "path": str(path), "account": "acme", "api_user": "main"}
    return sources.open(given | members, TRACER)


def deliver(folder: Path, name: str, raw: bytes) -> None:
    (folder / "tmp" / name).write_bytes(raw)
    (folder / "tmp" / name).rename(folder / "new" / name)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@contextlib.asynccontextmanager
async def reading(rig: Rig, source: Source) -> AsyncIterator[None]:
    parts = SourceParts(
        rig.ingest, rig.engine.checkpoints, rig.engine.quarantine, rig.directory, rig.clock
    )
    task = asyncio.create_task(Sources({"box": source}, parts).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_mails_are_read_and_put_away(folder: Path) -> None:
    deliver(folder, "1.a.host", dsn())
    deliver(folder, "2.b.host:2,", plain("Buy now", "x@y.example"))
    async with running() as rig, reading(rig, open_source(folder)):
        await until(stands(rig, "box", taken=1, refused=1, position="mail 2"))
        deliver(folder, "3.c.host", mail(3))
        await until(stands(rig, "box", taken=2, state=SourceState.UP_TO_DATE))

        assert names(folder / "new") == []
        assert names(folder / "cur") == ["1.a.host:2,S", "2.b.host:2,S", "3.c.host:2,S"]
        assert len(await stored_ids(rig)) == 2
        (kept,) = await rig.engine.quarantine.page("box", None, 10)
        assert kept.place.endswith("(2.b.host:2,)")


async def test_mails_are_removed_where_that_is_asked_for(folder: Path) -> None:
    deliver(folder, "1.a.host", dsn())
    async with running() as rig, reading(rig, open_source(folder, after="remove")):
        await until(stands(rig, "box", taken=1, state=SourceState.UP_TO_DATE))

        assert names(folder / "new") == names(folder / "cur") == []


async def test_many_mails_come_in_once(folder: Path) -> None:
    for number in range(250):
        deliver(folder, f"{number}.host", mail(number))
    async with running() as rig, reading(rig, open_source(folder)):
        await until(stands(rig, "box", taken=250, position="mail 250", duplicates=0))
        await until(stands(rig, "box", state=SourceState.UP_TO_DATE))

        assert len(names(folder / "cur")) == 250


class Ended:
    """An inlet whose process ends when something is durable, before anybody hears of it."""

    checkpoint = b""

    def __init__(self) -> None:
        self.taken: list[SourceReading] = []

    async def take(self, given: SourceReading) -> None:
        self.taken.append(given)
        self.checkpoint = given.checkpoint
        raise StorageError("the end")

    def report(self, *_: Any, **__: Any) -> None:
        pass


async def test_what_is_durable_is_put_away_and_not_read_again(folder: Path) -> None:
    deliver(folder, "1.host", mail(1))
    (folder / "new").joinpath(os.fsdecode(b"\xff\n")).write_bytes(mail(2))
    inlet: Any = Ended()
    with pytest.raises(StorageError):
        await open_source(folder).run(inlet)
    assert len(names(folder / "new")) == 2
    deliver(folder, "3.host", mail(3))

    with pytest.raises(StorageError):
        await open_source(folder).run(inlet)

    first, second = inlet.taken
    assert [len(first.drafts), len(second.drafts)] == [2, 1]
    assert names(folder / "new") == ["3.host"]


async def test_what_cannot_be_read_is_said_and_stays_and_others_come_in(folder: Path) -> None:
    os.mkfifo(folder / "new" / "0.fifo")
    (folder / "new" / "0.link").symlink_to(folder / "new" / "1.host")
    (folder / "new" / ".hidden").write_bytes(dsn())
    deliver(folder, "1.host", dsn())
    async with running() as rig, reading(rig, open_source(folder)):
        await until(stands(rig, "box", taken=1, state=SourceState.FAILING))

        assert "cannot read" in (await row_of(rig, "box")).standing.fault
        assert names(folder / "new") == [".hidden", "0.fifo", "0.link"]
        assert (await row_of(rig, "box")).refused == 0


async def test_a_mail_that_cannot_be_put_away_is_not_read_again(folder: Path) -> None:
    deliver(folder, "1.host", dsn())
    (folder / "cur").rmdir()
    async with running() as rig, reading(rig, open_source(folder)):
        await until(stands(rig, "box", taken=1, state=SourceState.FAILING))
        deliver(folder, "2.host", mail(2))
        (folder / "cur").mkdir()
        await until(stands(rig, "box", taken=2, duplicates=0, state=SourceState.UP_TO_DATE))


async def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async with running() as rig, reading(rig, open_source(tmp_path / "box")):
        await until(stands(rig, "box", state=SourceState.FAILING))
        for name in ("new", "cur", "tmp"):
            (tmp_path / "box" / name).mkdir(parents=True)
        deliver(tmp_path / "box", "1.host", dsn())
        await until(stands(rig, "box", taken=1))


def test_wrong_members_are_named(tmp_path: Path) -> None:
    for wrong in ({"after": "burn"}, {"pth": "x"}):
        with pytest.raises(BadInput):
            open_source(tmp_path, **wrong)
    with pytest.raises(BadInput, match="an absolute path expected"):
        open_source(Path("box"))
