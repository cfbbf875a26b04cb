"""The disk of the tests loses what a disk may lose, and nothing else."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.powerloss.calls import Call
from tests.powerloss.disk import SECTOR, Disk

ROOT = Path("/root")
FOLDER = 1
FILE = 2
OLD, NEW = b"o" * SECTOR * 2, b"n" * SECTOR * 2


def call(kind: str, name: str = "a", **members: object) -> Call:
    path = str(ROOT / name) if name else str(ROOT)
    values = {"thread": 1, "file": FILE, "at": 0, "other": "", "data": b"", "is_folder": False}
    return Call(kind, path=path, **(values | members))  # type: ignore[arg-type]  # a test's members


def synced(name: str = "a", file: int = FILE) -> list[Call]:
    return [call("s", name, file=file), call("e", name, file=file)]


FOLDER_SYNCED = [call(kind, "", file=FOLDER, is_folder=True) for kind in "se"]
THERE = [call("c"), call("w", data=OLD), *synced(), *FOLDER_SYNCED]


@pytest.fixture
def outcomes(tmp_path: Path) -> Callable[[list[Call]], set[tuple[tuple[str, bytes], ...]]]:
    def of(calls: list[Call]) -> set[tuple[tuple[str, bytes], ...]]:
        disk = Disk(ROOT)
        for each in calls:
            disk.take(each)
        found = set()
        for seed in range(300):
            target = tmp_path / str(seed)
            disk.write_to(target, random.Random(seed))
            found.add(tuple((f.name, f.read_bytes()) for f in sorted(target.iterdir())))
        return found

    return of


def test_what_was_synced_with_its_folder_is_there(outcomes):
    assert outcomes(THERE) == {(("a", OLD),)}


def test_a_name_is_certain_only_after_its_folder_was_synced(outcomes):
    calls = [call("c"), call("w", data=OLD), *synced()]

    assert outcomes(calls) == {(), (("a", OLD),)}


def test_of_what_was_not_synced_any_sectors_are_there(outcomes):
    half, other = OLD[:SECTOR] + NEW[:SECTOR], NEW[:SECTOR] + OLD[:SECTOR]

    found = outcomes([*THERE, call("w", data=NEW)])

    assert found == {(("a", content),) for content in (OLD, NEW, half, other)}


def test_a_sync_covers_what_was_written_before_it_began(outcomes):
    late = call("w", data=b"l" * SECTOR)

    found = outcomes([*THERE, call("w", data=NEW), call("s"), late, call("e")])

    assert found == {(("a", NEW),), (("a", late.data + NEW[:SECTOR]),)}


def test_what_a_failed_sync_left_no_later_sync_makes_certain(outcomes):
    failed = [call("w", data=NEW[:SECTOR]), call("s"), call("f")]

    found = outcomes([*THERE, *failed, *synced()])

    assert found == {(("a", OLD),), (("a", NEW[:SECTOR] + OLD[:SECTOR]),)}


def test_what_a_failed_sync_left_is_certain_once_it_was_written_again(outcomes):
    write = call("w", data=NEW)

    found = outcomes([*THERE, write, call("s"), call("f"), write, *synced()])

    assert found == {(("a", NEW),)}


def test_a_rename_happens_whole_or_not_at_all(outcomes):
    fresh = [call("c", "b", file=3), call("w", "b", file=3, data=NEW), *synced("b", 3)]
    rename = call("r", "b", file=3, other=str(ROOT / "a"))

    found = outcomes([*THERE, *fresh, *FOLDER_SYNCED, rename])

    assert found == {(("a", OLD), ("b", NEW)), (("a", NEW),)}


def test_a_new_file_with_the_number_of_one_that_is_gone_is_another_file(outcomes):
    gone = [call("u"), call("c", "b"), call("w", "b", data=NEW), *synced("b")]

    found = outcomes([*THERE, *gone])

    assert (("a", OLD), ("b", NEW)) in found
    assert (("b", NEW),) in found
    assert all(dict(files).get("a", OLD) == OLD for files in found)


def test_a_file_that_was_cut_has_its_old_size_or_its_new(outcomes):
    found = outcomes([*THERE, call("t", at=SECTOR)])

    assert {len(dict(files)["a"]) for files in found} == {SECTOR, 2 * SECTOR}


def test_a_file_that_was_cut_and_synced_has_its_new_size(outcomes):
    found = outcomes([*THERE, call("t", at=SECTOR), *synced()])

    assert found == {(("a", OLD[:SECTOR]),)}


def test_what_grew_without_its_bytes_holds_zeros_or_rubbish(outcomes):
    found = outcomes([*THERE, call("w", at=2 * SECTOR, data=NEW[:SECTOR])])

    ends = {dict(files)["a"][2 * SECTOR :] for files in found}
    assert {b"", NEW[:SECTOR], bytes(SECTOR)} < ends
