"""Reading a file that grows: what is read, in which pieces, and where it goes on."""

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from postbell.errors import ServiceError
from postbell.sources.tail import MAX_LINES, QUIET_POLLS, FileLine, FilePlace, Tail, begin


class Reader:
    """A tail whose owner confirms everything, and what it read."""

    def __init__(
        self, path: Path, place: FilePlace | None = None, most_bytes: int = 1 << 16
    ) -> None:
        self.said: list[str] = []
        self.tail = Tail(path, place or FilePlace(), most_bytes=most_bytes, say=self.said.append)
        self.place = place or FilePlace()
        self.lines: list[str] = []
        self.too_long: list[int] = []

    def read(self, polls: int = QUIET_POLLS + 3) -> list[str]:
        """Read until *polls* in a row found nothing, and return the new lines."""
        first, quiet = len(self.lines), 0
        while quiet < polls:
            chunk = self.tail.read()
            if chunk is None:
                quiet += 1
                continue
            quiet = 0
            self.lines += [line.raw.decode() for line in chunk.lines]
            self.too_long += [chunk.too_long] if chunk.too_long else []
            self.tail.confirm(chunk)
            self.place = chunk.after
        return self.lines[first:]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def append(path: Path, *lines: object) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_what_was_not_confirmed_is_read_again(log: Path) -> None:
    append(log, 1, 2)
    tail = Tail(log, FilePlace(), most_bytes=100, say=print)

    first, second = tail.read(), tail.read()

    assert first is not None
    assert first == second
    tail.close()


def test_looks_that_found_no_file_are_counted_until_one_is_there(log: Path) -> None:
    tail = Tail(log, FilePlace(), most_bytes=100, say=print)

    missed = [tail.missed_polls for _ in range(3) if tail.read() is None]
    log.touch()
    tail.read()

    assert missed == [1, 2, 3]
    assert tail.missed_polls == 0
    tail.close()


def test_a_chunk_has_so_many_lines_and_numbers_them(log: Path) -> None:
    append(log, *range(MAX_LINES + 5), "", "last")
    tail = Tail(log, FilePlace(), most_bytes=1 << 16, say=print)

    first = tail.read()
    assert first is not None
    tail.confirm(first)
    second = tail.read()

    assert second is not None
    assert [len(first.lines), len(second.lines)] == [MAX_LINES, 6]
    assert second.lines[-1] == FileLine(MAX_LINES + 7, b"last")
    assert second.after.line == MAX_LINES + 7
    tail.close()


@pytest.mark.parametrize("length", [9, 10, 11, 30, 31])
@pytest.mark.parametrize("comes_at_once", [True, False])
def test_a_line_that_is_too_long_is_passed_and_told(
    log: Path, length: int, comes_at_once: bool
) -> None:
    reader = Reader(log, most_bytes=10)
    append(log, "before")
    if comes_at_once:
        append(log, "x" * length, "after")
        found = reader.read()
    else:
        with log.open("a") as file:
            file.write("x" * (length - 1))
        found = reader.read()
        append(log, "x", "after")
        found += reader.read()

    is_whole = length == 9
    assert found == ["before", *(["x" * 9] if is_whole else []), "after"]
    assert reader.too_long == ([] if is_whole else [2])
    assert (reader.place.line, reader.place.is_inside) == (3, False)
    reader.tail.close()


def test_inside_a_line_that_is_too_long_it_goes_on_after_a_restart(log: Path) -> None:
    log.write_text("x" * 25)
    before = Reader(log, most_bytes=10)
    before.read()
    before.tail.close()
    append(log, "x" * 20, "after")

    after = Reader(log, before.place, most_bytes=10)

    assert before.place.is_inside
    assert after.read() == ["after"]
    assert after.too_long == [1]
    after.tail.close()


@pytest.mark.parametrize("length", [15, 20])
def test_a_line_that_is_too_long_ends_with_the_file_that_was_renamed(
    log: Path, length: int
) -> None:
    log.write_text("x" * length)
    reader = Reader(log, most_bytes=10)
    reader.read()
    log.rename(log.with_name(log.name + ".1"))
    append(log, "new")

    assert reader.read(20) == ["new"]
    assert reader.too_long == [1]
    reader.tail.close()


def test_a_last_line_without_its_end_counts_once_the_file_was_renamed(log: Path) -> None:
    log.write_text("one\ntwo")
    reader = Reader(log)

    first = reader.read()
    log.rename(log.with_name(log.name + ".1"))
    append(log, "three")

    assert (first, reader.read(20)) == (["one"], ["two", "three"])
    reader.tail.close()


def test_what_was_written_between_the_last_look_and_the_truncation_is_read_from_the_copy(
    log: Path,
) -> None:
    append(log, 1, 2)
    reader = Reader(log)
    reader.read()
    append(log, 3)
    shutil.copy(log, log.with_name(log.name + ".1"))
    log.write_text("")
    append(log, 4)

    assert reader.read(20) == ["3", "4"]
    assert reader.said == []
    reader.tail.close()


def test_a_file_written_anew_that_begins_like_the_old_one_is_read_from_its_start(
    log: Path,
) -> None:
    """As where each file begins with the same line of a header."""
    header = "h" * 300
    append(log, header, 1, 2)
    before = Reader(log)
    before.read()
    before.tail.close()
    log.write_text("")
    append(log, header, *range(10, 20))

    after = Reader(log, before.place)

    assert after.read() == [header, *map(str, range(10, 20))]
    after.tail.close()


def test_a_file_that_is_replaced_before_anything_of_it_was_read_is_no_end(log: Path) -> None:
    append(log, 1)
    reader = Reader(log)
    reader.read()
    log.rename(log.with_name(log.name + ".1"))
    log.write_text("")
    reader.read(20)
    log.unlink()
    append(log, 2)

    assert reader.read(20) == ["2"]
    reader.tail.close()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device"),
        (lambda path: path.symlink_to(path), "cannot read"),
    ],
)
def test_what_is_no_file_is_told_and_not_waited_for(log: Path, make, what: str) -> None:
    make(log)
    reader = Reader(log)

    with pytest.raises(ServiceError, match=what):
        reader.read()

    if log.is_symlink() or not log.is_dir():
        log.unlink()
    else:
        log.rmdir()
    append(log, 1)
    assert reader.read() == ["1"]
    reader.tail.close()


def test_files_that_came_after_an_empty_one_are_all_read(log: Path) -> None:
    log.touch()
    reader = Reader(log)
    reader.read()
    log.rename(log.with_name(log.name + ".2"))
    append(log, 1)
    log.rename(log.with_name(log.name + ".1"))
    append(log, 2)

    assert reader.read(20) == ["1", "2"]
    reader.tail.close()


@pytest.mark.parametrize("is_there", [True, False])
def test_files_that_came_before_the_first_line_was_read_are_all_read(
    log: Path, *, is_there: bool
) -> None:
    append(log.with_name(log.name + ".7"), "before")
    if is_there:
        log.touch()
    place = begin(log)
    for number in (3, 2):
        append(log, number)
        log.rename(log.with_name(f"{log.name}.{number}"))
    append(log, 1)

    reader = Reader(log, place)

    assert reader.read(20) == ["3", "2", "1"]
    assert reader.said == []
    reader.tail.close()


def test_a_link_is_followed_to_another_file(log: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    append(first, 1)
    append(second, 2)
    log.symlink_to(first)
    reader = Reader(log)
    reader.read()

    log.unlink()
    log.symlink_to(second)

    assert reader.read(20) == ["2"]
    reader.tail.close()


def test_what_lies_unread_is_told_over_all_files(log: Path) -> None:
    append(log, *range(MAX_LINES + 100))
    tail = Tail(log, FilePlace(), most_bytes=1 << 16, say=print)

    chunk = tail.read()
    first = tail.lag_bytes
    log.rename(log.with_name(log.name + ".1"))
    append(log, "new")
    again = tail.read()

    assert (chunk, first) == (again, 500)
    assert tail.lag_bytes == 504
    tail.close()


def test_a_folder_that_cannot_be_looked_into_is_told_while_its_file_is_open(tmp_path: Path) -> None:
    """Else nobody would learn that there is a next file."""
    folder, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    folder.mkdir()
    log = folder / "events.jsonl"
    append(log, 1)
    reader = Reader(log)
    reader.read()
    folder.rename(elsewhere)
    folder.symlink_to(folder)

    with pytest.raises(ServiceError, match="cannot read"):
        reader.read()

    folder.unlink()
    elsewhere.rename(folder)
    append(log, 2)
    assert reader.read() == ["2"]
    reader.tail.close()


@pytest.mark.parametrize(
    ("make", "remove"),
    [(Path.mkdir, Path.rmdir), (lambda path: path.symlink_to(path), Path.unlink)],
    ids=["no-file", "nobody-can-say"],
)
def test_a_next_file_that_cannot_be_read_costs_nothing_of_the_one_before(
    log: Path, make: Callable[[Path], None], remove: Callable[[Path], None]
) -> None:
    """So Postfix rotates its own log: compressed after a second, and the next one for root."""
    append(log, 1)
    reader = Reader(log)
    reader.read()
    rotated = log.with_name(log.name + ".1")
    log.rename(rotated)
    with rotated.open("a") as writer:
        rotated.unlink()
        make(log)
        with pytest.raises(ServiceError):
            reader.read()
        print(2, file=writer, flush=True)
        print(3, end="", file=writer, flush=True)
    remove(log)
    append(log, 4)

    assert reader.read(20) == ["2", "3", "4"]
    assert reader.said == []
    reader.tail.close()


@pytest.mark.parametrize("name", ["pread", "fstat"])
def test_a_disk_that_fails_costs_no_open_file(
    log: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is tried again each second: a file left open each time would end the whole service."""
    append(log, 1)
    reader = Reader(log)
    reader.read()
    reader.tail.close()
    append(log, 2)
    calls = {"left": 0}
    real = getattr(os, name)

    def failing(*args: int) -> object:
        calls["left"] -= 1
        if calls["left"] < 0:
            raise OSError(errno.EIO, "Input/output error")
        return real(*args)

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        for left in range(3):
            calls["left"] = left
            with pytest.raises(ServiceError, match="Input/output error"):
                reader.read()

    assert os.listdir("/proc/self/fd") == before
    assert reader.read() == ["2"]
    reader.tail.close()


def test_a_folder_named_like_a_rotated_file_is_none(log: Path) -> None:
    append(log, 1)
    log.with_name(log.name + ".1").mkdir()
    before = Reader(log)
    before.read()
    before.tail.close()
    append(log, 2)

    after = Reader(log, before.place)

    assert after.read() == ["2"]
    after.tail.close()


def replace(path: Path, text: str) -> None:
    """Put another file in the place of this one."""
    other = path.with_name("other")
    other.write_text(text)
    other.rename(path)


def test_a_longer_copy_in_its_place_is_read_on_where_it_was_left(log: Path) -> None:
    """As rsync and editors leave it, while it is followed."""
    append(log, 1, 2)
    reader = Reader(log)
    reader.read()
    with log.open("a") as file:
        file.write("cut ")
    reader.read()

    replace(log, log.read_text() + "off\n3\n")

    assert reader.read(20) == ["cut off", "3"]
    assert reader.said == []
    reader.tail.close()


def test_a_longer_copy_that_was_rotated_is_read_though_no_next_file_is_there(log: Path) -> None:
    append(log, 1)
    reader = Reader(log)
    reader.read()

    replace(log, log.read_text() + "2\n")
    log.rename(log.with_name(log.name + ".1"))

    assert reader.read(20) == ["2"]
    reader.tail.close()


def test_a_file_that_is_alike_and_not_in_its_place_is_another(log: Path) -> None:
    append(log, 1, 2)
    reader = Reader(log)
    reader.read()

    log.rename(log.with_name(log.name + ".1"))
    append(log, 1, 2)

    assert reader.read(20) == ["1", "2"]
    reader.tail.close()


def test_a_new_file_with_the_inode_of_one_that_was_read_to_its_end_is_read(log: Path) -> None:
    """A disk gives the inode of a removed file to the next one."""
    append(log, "read")
    reader = Reader(log)
    reader.read()
    rotated = log.with_name(log.name + ".1")
    log.rename(rotated)
    log.touch()
    reader.read(20)

    rotated.unlink()
    log.rename(rotated)
    append(log, "new")

    assert reader.read(20) == ["new"]
    reader.tail.close()


def test_a_file_that_was_removed_counts_as_missing_though_it_is_still_read(log: Path) -> None:
    append(log, 1)
    reader = Reader(log)
    reader.read()
    writer = log.open("a")

    log.unlink()
    reader.read(3)
    missed = reader.tail.missed_polls
    print(2, file=writer, flush=True)

    assert missed == 3
    assert reader.read(2) == ["2"]
    append(log, 3)
    assert reader.read(20) == ["3"]
    assert reader.tail.missed_polls == 0
    writer.close()
    reader.tail.close()


class Story:
    """A file that is written and rotated, and a reader that is killed: in the order of a seed."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self._chance = random.Random(seed)
        self.count = 0
        self.reader = Reader(path, begin(path))

    def tell(self, steps: int) -> None:
        for _ in range(steps):
            [step] = self._chance.choices(
                (self.write, self.rotate, self.sync, self.read, self.kill, self.kill_late),
                (50, 10, 5, 30, 7, 3),
            )
            step()
        self.write()
        self.reader.read(20 * QUIET_POLLS)
        self.reader.tail.close()

    def write(self) -> None:
        append(self.path, f"{self.count:0{self._chance.choice([4, 30])}}")
        self.count += 1

    def rotate(self) -> None:
        """Rotate as logrotate does, by renaming or by copying and truncating."""
        numbers = sorted(int(each.suffix[1:]) for each in self.path.parent.glob("*.jsonl.*"))
        for number in reversed(numbers):
            self._at(number).rename(self._at(number + 1))
        if self.path.exists() and self._chance.random() < 0.5:
            self.path.rename(self._at(1))
        elif self.path.exists():
            shutil.copy(self.path, self._at(1))
            self.path.write_text("")

    def sync(self) -> None:
        """Put a longer copy in its place, as rsync does."""
        if self.path.exists():
            replace(self.path, self.path.read_text())
            self.write()

    def read(self) -> None:
        self.reader.read(1)

    def kill(self) -> None:
        lines = self.reader.lines
        self.reader.tail.close()
        self.reader = Reader(self.path, self.reader.place)
        self.reader.lines = lines

    def kill_late(self) -> None:
        """Kill it between what it read and what it noted."""
        self.reader.tail.read()
        self.kill()

    def _at(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


@pytest.mark.parametrize("seed", range(200))
def test_whatever_befalls_it_each_line_is_read_once_and_in_order(log: Path, seed: int) -> None:
    story = Story(log, seed)

    story.tell(60)

    assert [int(line) for line in story.reader.lines] == list(range(story.count))
