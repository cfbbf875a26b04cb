"""The machine loses its power at any moment: what was acknowledged is there, and goes on."""

from pathlib import Path

import pytest

from tests.powerloss.campaign import campaign
from tests.powerloss.disk import Disk
from tests.powerloss.recorded import Recorded

SEED = 20
IMAGES = 200


@pytest.mark.long
async def test_what_was_acknowledged_outlives_every_loss_of_power(tmp_path: Path) -> None:
    found = await Recorded(tmp_path / "run", SEED).go()
    disk = Disk(found.root)
    for call in found.calls:
        disk.take(call)

    problems = campaign(found, tmp_path / "images", IMAGES, SEED, start_every=40)

    assert found.problems == []
    assert problems == [], f"again: ./do chaos --power-loss --seed {SEED}"
    for name, content in disk.seen().items():  # nothing was done that was not noted
        if not name.endswith("-shm"):
            assert (found.root / name).read_bytes() == content, name


async def test_a_disk_whose_syncs_do_nothing_is_found_out(tmp_path: Path) -> None:
    found = await Recorded(tmp_path / "run", SEED, rounds=1, lies=True).go()

    problems = campaign(found, tmp_path / "images", 20, SEED)

    assert any("acknowledged events are not in the log" in problem for problem in problems)


async def test_what_was_acknowledged_after_a_failed_sync_and_a_restart_is_there(
    tmp_path: Path,
) -> None:
    found = await Recorded(tmp_path / "run", SEED, failing_sync=10).go()

    problems = campaign(found, tmp_path / "images", 25, SEED, since=found.failed_at)

    assert found.problems == []
    assert problems == []
