"""What was told is in storage: one process tells a change, and no crash or failure loses one."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postbell import signals
from postbell.errors import StorageError
from postbell.operating.notices.changes import OK, Changes
from postbell.operating.notices.moving import take_over
from postbell.operating.notices.watching import clock_of
from postbell.ports import LEASE_S, Notices, ToldOf, ToldState
from postbell.signals import log
from tests.fakes import FakeClock
from tests.operating.rig import OPERATOR, Watched, watched

ADA = "ada@acme.example"
SUBJECT = "webhook 1 delivery"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as rig:
        await rig.service.desk.create_owner(rig.service.accounts["acme"].id, ADA, None)
        await rig.service.webhook()
        await rig.tell()
        yield rig


async def fail(rig: Watched) -> None:
    await rig.lane(failing_since=rig.service.clock.now(), failures=2)
    await rig.service.directory.refresh()
    await rig.standings.look()


class Failing:
    """Notices of storage of which some methods raise StorageError, before or after they worked."""

    def __init__(self, notices: Notices, *names: str, is_done: bool = False) -> None:
        self._notices = notices
        self.names = set(names)
        self._is_done = is_done

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._notices, name)

        async def failing(*values: Any, **more: Any) -> Any:
            if self._is_done:
                await method(*values, **more)
            raise StorageError("the disk is full")

        return failing if name in self.names else method


def fail_storage(rig: Watched, *names: str, is_done: bool = False) -> Failing:
    engine: Any = rig.service.engine
    engine.notices = failing = Failing(engine.notices, *names, is_done=is_done)
    return failing


async def test_of_two_processes_one_tells_and_the_other_takes_over_when_it_is_gone(
    rig: Watched,
) -> None:
    first, second = rig.notices, rig.new_notices(owner="w2")
    await fail(rig)
    for each in (first, second):
        await each.look()
    rig.service.clock.advance(5)
    for each in (second, first):
        await each.mail()
    once = len(rig.mailbox.texts(ADA))

    rig.service.clock.advance(LEASE_S)
    await rig.lane(pause="gone")
    await rig.service.directory.refresh()
    await rig.standings.look()
    await second.look()
    rig.service.clock.advance(60)
    await second.mail()
    await first.look()
    await first.mail()

    assert once == 1
    assert len(rig.mailbox.texts(ADA)) == len(rig.mailbox.texts(OPERATOR)) == 2


async def test_a_process_that_dies_after_it_noted_a_change_and_before_it_mailed_loses_no_mail(
    rig: Watched,
) -> None:
    await fail(rig)
    await rig.notices.look()

    second = rig.new_notices(owner="w2")
    for _ in range(3):
        rig.service.clock.advance(LEASE_S / 2)
        await second.look()
        await second.mail()

    assert len(rig.mailbox.texts(ADA)) == len(rig.mailbox.texts(OPERATOR)) == 1


async def test_a_process_that_was_frozen_beyond_its_lease_mails_nothing_that_another_one_has(
    rig: Watched,
) -> None:
    await fail(rig)
    await rig.notices.look()
    rig.service.clock.advance(LEASE_S)
    second = rig.new_notices(owner="w2")
    await second.look()
    rig.service.clock.advance(5)

    await rig.notices.mail()
    by_the_first = len(rig.mailbox.taken)
    for _ in range(2):
        await second.mail()
        rig.service.clock.advance(5)

    assert by_the_first == 0
    assert len(rig.mailbox.texts(ADA)) == 1


async def test_what_was_mailed_is_not_mailed_again_where_storage_cannot_take_that_in(
    rig: Watched,
) -> None:
    await fail(rig)
    storage = fail_storage(rig, "handed")
    await rig.tell(5)
    for _ in range(3):
        with suppress(StorageError):
            await rig.tell(70)
    storage.names.clear()
    await rig.tell(70)

    assert len(rig.mailbox.texts(ADA)) == 1
    assert await rig.service.engine.notices.recipients() == []


async def test_what_storage_does_not_take_is_told_when_it_does(rig: Watched) -> None:
    storage = fail_storage(rig, "tell")
    running = asyncio.create_task(rig.notices.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    at = rig.service.clock.now() + timedelta(days=3)
    log("events_expiring", webhook_id=1, events=7, at=at)
    log("clock_jumped", by_s=31 * 86_400.0, sure_in_s=0)
    running.cancel()
    await fail(rig)
    with pytest.raises(StorageError):
        await rig.notices.look()
    storage.names.clear()
    await rig.tell(70)

    text = "".join(rig.mailbox.texts(OPERATOR))
    assert "7 events for webhook 1" in text
    assert "The clock of the machine" in text
    assert "2 attempts in a row" in text
    assert text.count("attempts in a row") == 1


async def test_storage_that_fails_ends_no_loop(rig: Watched) -> None:
    said: list[Any] = []
    fail_storage(rig, "told", "recipients")
    rig.notices._look_s = 0.001
    with signals.heard("notice_failed", said.append):
        running = asyncio.create_task(rig.notices.run())
        async with asyncio.timeout(10):
            while len(said) < 6:
                await asyncio.sleep(0.001)
        is_running = not running.done()
        running.cancel()

    assert is_running
    assert {(each["to"], each["error"]) for each in said} == {("the database", "the disk is full")}


async def test_what_is_told_though_nobody_heard_so_is_not_told_again(rig: Watched) -> None:
    storage = fail_storage(rig, "tell", is_done=True)
    await fail(rig)
    with pytest.raises(StorageError):
        await rig.notices.look()
    storage.names.clear()
    for _ in range(3):
        await rig.tell(70)

    assert len(rig.mailbox.texts(ADA)) == 1


async def test_who_does_not_hand_over_tells_what_it_hears_all_the_same(rig: Watched) -> None:
    second = rig.new_notices(owner="w2")
    await second.look()
    second._heard.append(
        {"webhook_id": 1, "events": 7, "at": rig.service.clock.now() + timedelta(days=3)}
    )
    second._clocks.append({"by_s": 5.0})
    await second.look()

    for _ in range(2):
        await rig.tell(5)

    text = "".join(rig.mailbox.texts(OPERATOR))
    assert "7 events for webhook 1" in text
    assert "The clock of the machine" in text


async def test_who_hands_over_no_more_lets_the_next_one_at_once(rig: Watched) -> None:
    running = asyncio.create_task(rig.notices.run())
    for _ in range(3):
        await asyncio.sleep(0)
    second = rig.new_notices(owner="w2")
    before = await second._holds()

    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert not before
    assert await second._holds()


async def test_who_is_no_user_any_more_gets_nothing_that_was_to_come(rig: Watched) -> None:
    await fail(rig)
    await rig.notices.look()
    owner = await rig.service.desk.find_owner(ADA)
    await rig.service.engine.owners.prefer(owner.id, wants_notices=False)
    rig.service.clock.advance(5)

    await rig.notices.mail()

    assert [to for to, _ in rig.mailbox.taken] == [OPERATOR]
    assert await rig.service.engine.notices.recipients() == []


async def test_what_was_told_of_a_webhook_goes_with_it(rig: Watched) -> None:
    await fail(rig)
    await rig.tell(100)
    before = await rig.service.engine.notices.told(0, 10)
    await rig.service.engine.registry.delete_webhook(1, rig.service.clock.now())
    await rig.tell(100)
    await rig.tell(100)

    assert [each.subject for each in before] == [SUBJECT]
    assert await rig.service.engine.notices.told(0, 10) == []


def old_file(folder: Path, told: dict[str, ToldState]) -> Path:
    path = folder / "notices.json"
    path.write_bytes(msgspec.json.encode(told))
    return path


async def test_what_a_release_before_told_is_taken_over_once_and_its_file_goes(
    rig: Watched, tmp_path: Path
) -> None:
    at = rig.service.clock.now()
    failing, doubted = ToldState("failing", at, "failing"), ToldState("doubted", at, "doubted")
    path = old_file(tmp_path, {SUBJECT: failing, "webhook 2 lag": failing, "clock": doubted})
    rig.notices = rig.new_notices(old_memory=path)
    rig.notices._clocks.append({"by_s": 5.0})
    await fail(rig)

    await rig.tell(100)

    told = {each.subject: each.told for each in await rig.service.engine.notices.told(0, 10)}
    assert rig.mailbox.taken == []
    assert not path.exists()
    assert told[SUBJECT] == failing
    assert told[clock_of(os.uname().nodename)] == doubted


async def test_a_file_that_was_taken_over_and_not_removed_changes_nothing_the_next_time(
    rig: Watched, tmp_path: Path
) -> None:
    notices = rig.service.engine.notices
    path = old_file(tmp_path, {SUBJECT: ToldState("failing", rig.service.clock.now(), "failing")})
    kept = path.read_bytes()
    await take_over(path, notices, "m")
    await rig.lane(pause="gone")
    await rig.tell(100)
    told = await notices.told(0, 10)

    path.write_bytes(kept)
    await take_over(path, notices, "m")

    assert [each.told.condition for each in told] == ["paused"]
    assert await notices.told(0, 10) == told
    assert not path.exists()


@pytest.mark.parametrize("content", [b"{broken", b"[]", b'{"a": 7}'])
async def test_a_file_that_cannot_be_read_was_told_never(
    rig: Watched, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "notices.json"
    path.write_bytes(content)

    await take_over(path, rig.service.engine.notices, "m")

    assert await rig.service.engine.notices.told(0, 10) == []
    assert not path.exists()


def test_what_is_well_for_long_is_forgotten_and_what_is_not_is_kept(clock: FakeClock) -> None:
    changes = Changes()
    at = clock.now()
    bad = ToldOf(1, "webhook 1 lag", ToldState("failing", at, "failing"))
    well = ToldOf(2, "webhook 2 lag", ToldState(OK, at, "failing"))
    gone = ToldOf(3, "webhook 3 lag", ToldState("failing", at, "failing"))
    changes.learn([bad, well, gone])

    def is_there(subject: str) -> bool:
        return subject != gone.subject

    within_the_hour = changes.forgettable(is_there, at + timedelta(minutes=59))
    later = changes.forgettable(is_there, at + timedelta(minutes=61))
    changes.forget(later)

    assert within_the_hour == [gone]
    assert later == [well, gone]
    assert changes.last(bad.subject) == "failing"
    assert changes.last(gone.subject) == changes.last(well.subject) == OK
