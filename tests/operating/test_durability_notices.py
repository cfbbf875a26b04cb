"""Notices of a database server that makes less durable than is promised; to the operator alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postbell.ports import WeakSetting
from tests.operating.rig import OPERATOR, Watched, watched
from tests.operating.test_operator_webhook import Operator

ADA = "ada@acme.example"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as rig:
        await rig.service.desk.create_owner(rig.service.accounts["acme"].id, ADA, None)
        yield rig


async def look(rig: Watched, *weak: str) -> list[str]:
    """Let these settings be off, look, and return the first lines of what is told."""
    engine: Any = rig.service.engine
    engine.weak = [WeakSetting(name, "power can lose it") for name in weak]
    before = len(rig.mailbox.texts(OPERATOR))
    await rig.tell(61.0)
    assert rig.mailbox.texts(ADA) == []
    return [text.splitlines()[1] for text in rig.mailbox.texts(OPERATOR)[before:]]


async def test_settings_that_are_off_are_told_once_and_when_they_are_on_again(
    rig: Watched,
) -> None:
    told = [
        await look(rig, *weak)
        for weak in ((), ("fsync",), ("fsync",), ("fsync", "full_page_writes"), ())
    ]

    assert [len(each) for each in told] == [0, 1, 0, 1, 1]
    assert told[1][0].startswith("On the database server these settings are off: fsync. ")
    assert "fsync, full_page_writes" in told[3][0]
    assert "make durable again" in told[4][0]


async def test_the_operators_webhook_gets_their_names(rig: Watched) -> None:
    operator = Operator()
    async with operator.listening() as port:
        rig.notices = rig.new_notices(operator_webhook=f"http://127.0.0.1:{port}/")
        await look(rig, "fsync")

    [told] = operator.bodies[0]["notices"]
    assert (told["kind"], told["settings"]) == ("durability_weak", "fsync")
