"""Reading what is appended to a file, in chunks of whole lines: through rotation by renaming and
by copying and truncating, and exactly where it left off.

Where it stands is a `FilePlace`, which its owner keeps.  Nothing is held open or remembered that a
place would not find again.  Every call may block.
"""

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import msgspec

from postbell.sources import rotation
from postbell.text.encodings import BOM

POLL_S = 0.2
"""So long its owner waits after a read that found nothing."""
QUIET_POLLS = 5
"""So often nothing is found in a file that was renamed, until it counts as read to its end, and so
often no file at all, until it counts as missing: rotation takes a moment."""
MARK_BYTES = 256
MAX_LINES = 1000


class FilePlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a file was read.

    *head* is a hash of its first *head_bytes*, *mark* one of the last bytes before *offset*, by
    which a file that was truncated and written anew is told apart; *line* counts the lines before
    *offset*; *modified_ns* is when the file was written last, by which newer ones are known where
    it is gone.  *is_inside* a line that is too long.  One without a head is where nothing was read
    yet; one without anything is nowhere, and begins with the file as it is.
    """

    inode: int = 0
    offset: int = 0
    line: int = 0
    head: str = ""
    head_bytes: int = 0
    mark: str = ""
    modified_ns: int = 0
    is_inside: bool = False


class FileLine(msgspec.Struct, frozen=True, gc=False):
    """A line that is not blank, without what is blank around it, by its number in the file."""

    number: int
    raw: bytes


class Chunk(NamedTuple):
    """What was read, from *before* up to *after*; *too_long* is the number of a line that ended
    here and is longer than any chunk, 0 for none.  *is_agreed* where it is what was agreed on."""

    before: FilePlace
    lines: list[FileLine]
    too_long: int
    after: FilePlace
    is_agreed: bool


class Tail:
    """Reads *path* from *place* on, for ever, in chunks of at most *most_bytes* and MAX_LINES.

    Where its owner began to do something with what lies before the offset *agreed*, and may not
    have noted that it did, the first chunk ends there, if the file is still the same.  *say* is
    told when lines may be lost.
    """

    def __init__(
        self,
        path: Path,
        place: FilePlace,
        *,
        most_bytes: int,
        say: Callable[[str], None],
        agreed: int = 0,
    ) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._say = say
        self._agreed = agreed
        self._at = self._here = place
        self._file: int | None = None
        self._done: int | None = None
        self._quiet_polls = 0
        self.missed_polls = 0
        self.lag_bytes: int | None = None

    def read(self) -> Chunk | None:
        """Return what comes next, the same again until it is confirmed; None where there is
        nothing now.  Raises ServiceError where a file cannot be read: where that is the next one,
        this one stays open, since rotation may have removed it meanwhile."""
        try:
            file = self._file if self._file is not None else self._open()
            chunk = None if file is None else self._next(file)
            is_missing = chunk is None and rotation.inode(self._path) is None
            self.missed_polls = self.missed_polls + 1 if is_missing else 0
            if file is not None and self._file is not None:
                self.lag_bytes = self._lag(file, chunk)
        except OSError as error:
            self._leave()
            raise rotation.unreadable(self._path, error) from None
        return chunk

    def confirm(self, chunk: Chunk) -> None:
        """Go on after *chunk*."""
        self._at = self._here = chunk.after
        self._agreed = 0
        self._let_go()

    def close(self) -> None:
        """Let go of the files; the next `read` finds them again."""
        self._leave()
        self._let_go()

    def _leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _let_go(self) -> None:
        if self._done is not None:
            os.close(self._done)
            self._done = None

    def _finish(self, file: int) -> None:
        """Leave the open file, which was read to its end.  It is held until something of the next
        one is confirmed: no other file can have its inode meanwhile, and be taken for it."""
        self._let_go()
        self._done, self._file = file, None

    def _open(self) -> int | None:
        """Open the file that the place is in, wherever rotation took it; else the next."""
        self._file = file = self._find()
        if file is None:
            self.lag_bytes = None
            return None
        if not self._is_in(file):
            self._here = FilePlace()
            self._agreed = 0
        self._here = msgspec.structs.replace(self._here, inode=os.fstat(file).st_ino)
        self._quiet_polls = 0
        return file

    def _find(self) -> int | None:
        """Open the file to go on with; None where there is none, and where rotation was under way
        while it was looked for: names then were now of one file, now of another."""
        self._here = self._at
        if not self._at.modified_ns and not self._at.head_bytes and self._done is None:
            return rotation.opened(self._path)
        family = rotation.family(self._path)
        self._file, is_lost = self._found(family)
        if self._file is not None and family != rotation.family(self._path):
            self._leave()
            return None
        if is_lost:
            self._say(
                f"the file that was read up to line {self._at.line} was removed or emptied: lines"
                " after that one, if there were any, are lost; going on with the next newer file"
            )
        return self._file

    def _found(self, family: list[tuple[Path, int | None]]) -> tuple[int | None, bool]:
        """Open the file of this inode, else a copy that begins like it, else the next newer one,
        and say of that whether lines before it may be lost."""
        at = self._at
        paths = [path for path, _ in family]
        inodes = [inode for _, inode in family]
        if self._done is not None and (done := os.fstat(self._done).st_ino) in inodes:
            self._here = FilePlace()  # another file, however alike it begins
            return rotation.first(paths[inodes.index(done) + 1 :]), False
        if (file := self._same(family)) is not None:
            return file, False
        file = rotation.first(
            path
            for path in paths
            if path == self._path or rotation.modified_ns(path) > at.modified_ns
        )
        return file, file is not None and self._done is None and at.head_bytes > 0

    def _same(self, family: list[tuple[Path, int | None]]) -> int | None:
        """Open the file of the place's inode, else a copy of it; None where there is none."""
        for path, _ in sorted(family, key=lambda each: each[1] != self._at.inode):
            file, is_same = rotation.opened(path), False
            if file is not None:
                try:
                    is_same = self._is_in(file)
                finally:
                    if not is_same:
                        os.close(file)
            if is_same:
                return file
        return None

    def _is_in(self, file: int) -> bool:
        """Say whether *file* begins as the place's did, reaches as far, and is alike before there.

        A copy passes (rotation may copy and truncate), a file written anew does not.
        """
        at = self._here
        return (
            at.head_bytes > 0
            and os.fstat(file).st_size >= max(at.offset, self._agreed)
            and _hash(os.pread(file, at.head_bytes, 0)) == at.head
            and (not at.mark or _mark(file, at.offset) == at.mark)
        )

    def _next(self, file: int) -> Chunk | None:
        """Return the next chunk of the open file; leave it where it was replaced or truncated and
        its end is reached."""
        at = self._here
        if chunk := self._chunk(file, is_last=False):
            self._quiet_polls = 0
            return chunk
        if self._agreed or (at.offset and not self._is_in(file)):
            self._leave()
            return None
        newer = self._newer(at)
        if self._done is not None and not newer:
            self._leave()  # it is empty yet: rotation may be quicker than the next look
            self.lag_bytes = 0
        self._quiet_polls += bool(newer)
        if newer > 1 or self._quiet_polls > QUIET_POLLS:
            if self._is_replaced(at):
                self._leave()
                return None
            if chunk := self._chunk(file, is_last=True):
                return chunk
            self._finish(file)
        return None

    def _is_replaced(self, at: FilePlace) -> bool:
        """Say whether the open file is gone, and a copy of it goes on, as rsync and editors leave
        it: what looks like a last line may be whole in there only."""
        family = rotation.family(self._path)
        if any(inode == at.inode for _, inode in family):
            return False
        copy = self._same(family)
        if copy is not None:
            os.close(copy)
        return copy is not None

    def _newer(self, at: FilePlace) -> int:
        """Return how many files came after the open one, a longer copy in its place too.  It may
        still be written to while there is only one: its writer has yet to hear of the rotation."""
        inode = rotation.inode(self._path)
        if inode == at.inode:
            return 0
        inodes = [each for _, each in rotation.family(self._path) if each is not None]
        if at.inode in inodes:
            return len(inodes) - inodes.index(at.inode) - 1
        return inode is not None or self._is_replaced(at)

    def _chunk(self, file: int, *, is_last: bool) -> Chunk | None:
        """Return whole lines from the place on, None where there are none, or where the file is
        another by now: it is looked at after it was read, since truncated and written anew it may
        be longer already than what was read of it before.

        *is_last* takes a last line without its newline as whole.
        """
        at = self._here
        want = self._agreed - at.offset if self._agreed else self._most_bytes
        read = os.pread(file, want, at.offset)
        size = want if self._agreed else self._cut(read, is_last=is_last)
        data = read[:size]
        is_end = is_last and size == len(read) < want
        is_long = at.is_inside or (size == self._most_bytes and b"\n" not in data)
        is_inside = is_long and not is_end and not data.endswith(b"\n")
        if len(data) < size or not (data or (is_end and at.is_inside)):
            return None
        after = self._after(file, data, is_inside=is_inside)
        if after is None or (at.offset and not self._is_in(file)):
            return None
        before = msgspec.structs.replace(at, head=after.head, head_bytes=after.head_bytes)
        lines = [] if is_long else _lines(data, at)
        too_long = at.line + 1 if is_long and not is_inside else 0
        return Chunk(before, lines, too_long, after, bool(self._agreed))

    def _cut(self, data: bytes, *, is_last: bool) -> int:
        """Return how much of *data* goes together, 0 for nothing yet."""
        if self._here.is_inside:
            return data.find(b"\n") + 1 or len(data)
        end = len(data) - len(data.split(b"\n", MAX_LINES)[-1])
        if not end and (is_last or len(data) == self._most_bytes):
            return len(data)
        return end

    def _after(self, file: int, data: bytes, *, is_inside: bool) -> FilePlace | None:
        """Return the place after *data*, None where the file does not hold it there any more."""
        at = self._here
        end = at.offset + len(data)
        head_bytes = min(end, MARK_BYTES)
        head = os.pread(file, head_bytes, 0)
        if head[at.offset :] != data[: max(head_bytes - at.offset, 0)]:
            return None
        return FilePlace(
            inode=at.inode,
            offset=end,
            line=at.line + data.count(b"\n"),
            head=_hash(head),
            head_bytes=head_bytes,
            mark=_mark(file, end),
            modified_ns=os.fstat(file).st_mtime_ns,
            is_inside=is_inside,
        )

    def _lag(self, file: int, chunk: Chunk | None) -> int:
        """Return how many bytes lie after *chunk*, in this file and those that came after it."""
        at = self._here if chunk is None else chunk.after
        behind = os.fstat(file).st_size - at.offset
        if rotation.inode(self._path) not in (None, at.inode):
            family = rotation.family(self._path)
            inodes = [inode for _, inode in family]
            first = inodes.index(at.inode) + 1 if at.inode in inodes else len(family) - 1
            behind += sum(rotation.size(path) for path, _ in family[first:])
        return max(behind, 0)


def begin(path: Path) -> FilePlace:
    """Return the place from which all is read that *path* holds now, or is written later, whatever
    rotation makes of it until its first line is read; what it made before is older.  Blocks."""
    *rotated, _ = rotation.family(path)
    newest_ns = max((rotation.modified_ns(each) for each, _ in rotated), default=0)
    return FilePlace(modified_ns=newest_ns or 1)


def oldest(path: Path) -> FilePlace:
    """Return the beginning of the oldest file that rotation made of *path* and that is not empty;
    blocks.  Raises ServiceError where one cannot be read."""
    for each, inode in rotation.family(path):
        file = rotation.opened(each)
        if file is None:
            continue
        head = os.pread(file, MARK_BYTES, 0)
        os.close(file)
        if head and inode is not None:
            return FilePlace(inode=inode, head=_hash(head), head_bytes=len(head))
    return FilePlace()


def _lines(data: bytes, at: FilePlace) -> list[FileLine]:
    lines = data.removeprefix(b"" if at.offset else BOM).split(b"\n")
    return [
        FileLine(number, bare)
        for number, line in enumerate(lines, at.line + 1)
        if (bare := line.strip())
    ]


def _hash(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest() if data else ""


def _mark(file: int, offset: int) -> str:
    """Return a hash of the last bytes before *offset*."""
    first = max(offset - MARK_BYTES, 0)
    return _hash(os.pread(file, offset - first, first))
