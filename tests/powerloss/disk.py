"""A disk that keeps its promises and nothing more: what a loss of power may leave of each call.

What was synced is there.  Of what was not, any subset is: each sector of 512 bytes as it was at any
moment since its last sync, the size likewise, with zeros or rubbish where a file grew and its bytes
did not arrive.  A name that was made, moved or taken away is certain once its folder was synced;
before, any subset of such changes is there.  Where a sync failed, what it should have written
counts as clean to the kernel: no later sync makes it certain, only new bytes do.
"""

import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tests.powerloss.calls import Call

SECTOR = 512
SURVIVING = (0.0, 0.05, 0.5, 0.95, 1.0)
"""Of an image: the share of what was not synced that is there all the same."""


class Luck(NamedTuple):
    """What chance decided for one whole image."""

    chance: random.Random
    share: float
    has_rubbish: bool
    in_order: bool

    @classmethod
    def of(cls, chance: random.Random) -> "Luck":
        share = chance.choice(SURVIVING)
        return cls(chance, share, chance.random() < 0.5, chance.random() < 0.5)

    def moment(self, count: int) -> int:
        """Return how many of *count* changes, the first ones, are there."""
        if not count or self.chance.random() >= self.share:
            return 0
        return count if self.chance.random() < 0.8 else self.chance.randint(1, count)


class Piece(NamedTuple):
    """Bytes of change number *number*, inside one sector."""

    number: int
    at: int
    data: bytes


class File:
    """The bytes of one file: those that are certain, and what happened to each sector since."""

    def __init__(self) -> None:
        self.size = 0
        self._certain = bytearray()
        self._sizes: list[tuple[int, int]] = []
        self._pieces: dict[int, list[Piece]] = {}
        self._count = 0
        self._doubtful = 0

    def write(self, at: int, data: bytes) -> None:
        self._change(at, data)
        self._resize(max(self.size, at + len(data)))

    def resize(self, size: int) -> None:
        """Cut it, or grow it by zeros."""
        if size < self.size:
            self._change(size, bytes(self.size - size))
        self._count += 1
        self._resize(size)

    def mark(self) -> int:
        """Return where a sync begins: what came before is what it covers."""
        return self._count

    def sync(self, mark: int) -> None:
        """Make certain what came before *mark*, but for what an earlier sync failed to write."""
        for sector, pieces in list(self._pieces.items()):
            covered = [piece for piece in pieces if piece.number <= mark]
            if covered and covered[-1].number > self._doubtful:
                _apply(self._certain, covered)
                self._pieces[sector] = pieces[len(covered) :]
                if not self._pieces[sector]:
                    del self._pieces[sector]
        sizes = [size for number, size in self._sizes if self._doubtful < number <= mark]
        if sizes:
            _fit(self._certain, sizes[-1], bytes)
            self._sizes = [each for each in self._sizes if each[0] > mark]

    def fail(self, mark: int) -> None:
        """Hold what came before *mark* for clean, as the kernel does after a sync that failed."""
        self._doubtful = mark

    def image(self, luck: Luck) -> bytes:
        """Return what one loss of power leaves."""
        content = bytearray(self._certain)
        sizes = [len(content), *(size for _, size in self._sizes)]
        size = sizes[luck.moment(len(sizes) - 1)]
        _fit(content, size, luck.chance.randbytes if luck.has_rubbish else bytes)
        for pieces in self._pieces.values():
            _apply(content, pieces[: luck.moment(len(pieces))])
        del content[size:]
        return bytes(content)

    def seen(self) -> bytes:
        """Return what a process reads now."""
        content = bytearray(self._certain)
        for pieces in self._pieces.values():
            _apply(content, pieces)
        _fit(content, self.size, bytes)
        return bytes(content)

    def _change(self, at: int, data: bytes) -> None:
        self._count += 1
        end = at + len(data)
        for sector in range(at // SECTOR, -(-end // SECTOR)):
            first, last = max(at, sector * SECTOR), min(end, (sector + 1) * SECTOR)
            piece = Piece(self._count, first, data[first - at : last - at])
            self._pieces.setdefault(sector, []).append(piece)

    def _resize(self, size: int) -> None:
        if size != self.size:
            self.size = size
            self._sizes.append((self._count, size))


class Renaming(NamedTuple):
    """Change of names number *number*: *file* got the name *new*, the name *old* went."""

    number: int
    file: int
    new: str = ""
    old: str = ""

    @property
    def folder(self) -> str:
        return os.path.dirname(self.new or self.old)

    def apply(self, names: dict[str, int]) -> None:
        if self.old:
            names.pop(self.old, None)
        if self.new:
            names[self.new] = self.file


class Disk:
    """The files below *root*, which takes in the calls that were done and gives images.

    A file has a number of its own here: the kernel gives an inode again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: list[File] = []
        self._folders: set[int] = set()
        self._inodes: dict[int, int] = {}
        self._names: dict[str, int] = {}
        self._certain: dict[str, int] = {}
        self._changes: list[Renaming] = []
        self._renamings = 0
        self._begun: dict[int, int] = {}

    def take(self, call: Call) -> None:
        """Take in one call."""
        match call.kind:
            case "c":
                is_link = self._inodes.get(call.file) in self._names.values()
                self._rename(self._file(call.file) if is_link else self._new(call), call.path)
            case "u":
                self._rename(0, "", call.path)
            case "r":
                self._rename(self._file(call.file), call.other, call.path)
            case "w":
                self._bytes(call).write(call.at, call.data)
            case "t":
                self._bytes(call).resize(call.at)
            case "s":
                mark = self._renamings if call.is_folder else self._bytes(call).mark()
                self._begun[call.thread] = mark
            case "e" if call.is_folder:
                self._sync_names(call.path, self._begun.pop(call.thread))
            case "e":
                self._bytes(call).sync(self._begun.pop(call.thread))
            case "f" if not call.is_folder:
                self._bytes(call).fail(self._begun.pop(call.thread))

    def write_to(self, target: Path, chance: random.Random) -> None:
        """Write one image of what a loss of power at this moment leaves to the folder *target*."""
        luck = Luck.of(chance)
        names = dict(self._certain)
        count = len(self._changes)
        for change in self._changes[: chance.randint(0, count) if luck.in_order else count]:
            if luck.in_order or chance.random() < luck.share:
                change.apply(names)
        target.mkdir()
        for name, file in sorted(names.items()):
            path = target / os.path.relpath(name, self._root)
            if file in self._folders:
                path.mkdir(mode=0o700)
            elif path.parent.is_dir():
                path.write_bytes(self._files[file].image(luck))
                path.chmod(0o600)

    def seen(self) -> dict[str, bytes]:
        """Return every file as the service sees it now."""
        found = {}
        for name, file in self._names.items():
            if file not in self._folders:
                found[os.path.relpath(name, self._root)] = self._files[file].seen()
        return found

    def _new(self, call: Call) -> int:
        file = self._inodes[call.file] = len(self._files)
        self._files.append(File())
        if call.is_folder:
            self._folders.add(file)
        return file

    def _file(self, inode: int) -> int:
        return self._inodes[inode]

    def _bytes(self, call: Call) -> File:
        """Return the file of a call; one that never had a name is made by its first."""
        if call.file not in self._inodes:
            self._new(call)
        return self._files[self._inodes[call.file]]

    def _rename(self, file: int, new: str, old: str = "") -> None:
        self._renamings += 1
        change = Renaming(self._renamings, file, new, old)
        change.apply(self._names)
        self._changes.append(change)

    def _sync_names(self, folder: str, mark: int) -> None:
        """Make certain the names in *folder* that had changed before the sync began."""
        kept = []
        for change in self._changes:
            if change.number <= mark and change.folder == folder:
                change.apply(self._certain)
            else:
                kept.append(change)
        self._changes = kept


def _apply(content: bytearray, pieces: Iterable[Piece]) -> None:
    for _, at, data in pieces:
        if len(content) < at:
            content.extend(bytes(at - len(content)))
        content[at : at + len(data)] = data


def _fit(content: bytearray, size: int, filler: Callable[[int], bytes]) -> None:
    if len(content) > size:
        del content[size:]
    else:
        content.extend(filler(size - len(content)))
