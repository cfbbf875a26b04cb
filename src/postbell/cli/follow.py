"""Tailing a JSON Lines file into a server: through rotation, and exactly where it left off.

The checkpoint says how far the server has confirmed.  What is about to be sent is written to it
first, with its Idempotency-Key: after a kill the same bytes go out under the same key.
"""

import contextlib
import errno
import fcntl
import glob
import os
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from postbell.cli.client import ApiClient
from postbell.cli.lines import MAX_CHUNK_BYTES, MAX_EVENTS, Item
from postbell.cli.send import SendCount, send
from postbell.errors import ServiceError, UsageError
from postbell.text import small_files
from postbell.text.encodings import BOM

POLL_S = 0.2
QUIET_POLLS = 5
HEAD_BYTES = 256
CHECKPOINT_BYTES = 65_536


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far the file was sent.

    *head* is a hash of the file's first *head_bytes*, by which a file that was truncated and
    written anew is told apart; *sending* is the end of what is being sent under *key*, 0 for
    nothing; *line* counts the lines before *offset*; *modified_ns* is when the file was written
    last, by which newer ones are known where it is gone.
    """

    inode: int = 0
    offset: int = 0
    line: int = 0
    head: str = ""
    head_bytes: int = 0
    sending: int = 0
    key: str = ""
    modified_ns: int = 0


class Follower:
    """Sends what is appended to *path*, for ever."""

    def __init__(self, path: Path, checkpoint: Path, client: ApiClient) -> None:
        self._path = path
        self._checkpoint = checkpoint
        self._client = client
        self.tally = SendCount()
        self._at = _load(checkpoint)
        self._done = 0

    def run(self) -> None:
        """Follow until interrupted; raise UsageError where another process follows already."""
        with _locked(self._checkpoint):
            while True:
                with self._opened() as file:
                    self._follow(file)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file that the checkpoint is in, wherever rotation took it; else the next."""
        while (file := self._find()) is None:
            time.sleep(POLL_S)
        try:
            is_same = not self._done and self._is_in(file)
            kept = self._at if is_same else Checkpoint()
            self._at = msgspec.structs.replace(kept, inode=os.fstat(file).st_ino)
            self._done = 0
            yield file
        finally:
            os.close(file)

    def _find(self) -> int | None:
        """Open the file of this inode, else a copy that begins like it, else the next newer one."""
        paths = [*reversed(_rotated(self._path)), self._path]
        if self._done:
            inodes = [_inode(path) for path in paths]
            first = inodes.index(self._done) + 1 if self._done in inodes else 0
            return _first(path for path in paths[first:] if first or self._is_newer(path))
        if not self._at.head_bytes:
            return _open(self._path)
        for path in sorted(paths, key=lambda path: _inode(path) != self._at.inode):
            file = _open(path)
            if file is not None:
                if self._is_in(file):
                    return file
                os.close(file)
        file = _first(path for path in paths if self._is_newer(path))
        if file is not None:
            print(
                f"the file that was sent up to line {self._at.line} was removed or emptied: lines"
                " after that one, if there were any, are lost; going on with the next newer file",
                file=sys.stderr,
                flush=True,
            )
        return file

    def _is_newer(self, path: Path) -> bool:
        """Say whether *path* was written after what was sent last."""
        return path == self._path or _modified_ns(path) > self._at.modified_ns

    def _is_in(self, file: int) -> bool:
        """Say whether *file* begins as the checkpoint's did and reaches as far.

        A copy passes (rotation may copy and truncate), a file written anew does not.
        """
        at = self._at
        return (
            at.head_bytes > 0
            and os.fstat(file).st_size >= max(at.offset, at.sending)
            and _head(file, at.head_bytes) == at.head
        )

    def _follow(self, file: int) -> None:
        """Send what comes, until the file was replaced or truncated and its end is reached."""
        if self._at.sending and not self._send(file, self._at.sending):
            return
        quiet_polls = 0
        while True:
            end = self._chunk_end(file, is_last=False)
            if end:
                if not self._send(file, end):
                    return
                quiet_polls = 0
                continue
            if self._at.offset and not self._is_in(file):
                return
            if _inode(self._path) not in (None, self._at.inode):
                quiet_polls += 1
            if quiet_polls > QUIET_POLLS:
                rest = self._chunk_end(file, is_last=True)
                if rest and not self._send(file, rest):
                    return
                self._done = self._at.inode
                return
            time.sleep(POLL_S)

    def _chunk_end(self, file: int, *, is_last: bool) -> int:
        """Return where the next chunk of whole lines ends, 0 when there is none yet.

        *is_last* takes a last line without its newline as whole.
        """
        offset = self._at.offset
        data = os.pread(file, MAX_CHUNK_BYTES, offset)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == MAX_CHUNK_BYTES:
            raise UsageError(
                f"line {self._at.line + 1} of {self._path} is longer than {MAX_CHUNK_BYTES} bytes;"
                " take it out and start again"
            )
        if not end:
            return offset + len(data) if is_last and data else 0
        place = -1
        for _ in range(MAX_EVENTS):
            place = data.find(b"\n", place + 1, end)
            if place < 0:
                return offset + end
        return offset + place + 1

    def _send(self, file: int, end: int) -> bool:
        """Send what lies up to *end*; False, and nothing sent, where the file is another by now.

        It is looked at after it was read: truncated and written anew it may be longer already
        than what was sent of it before.
        """
        at = self._at
        data = os.pread(file, end - at.offset, at.offset)
        if len(data) < end - at.offset or (at.offset and not self._is_in(file)):
            return False
        if not at.sending:
            self._save(
                msgspec.structs.replace(
                    at,
                    inode=os.fstat(file).st_ino,
                    head=_head(file, min(end, HEAD_BYTES)),
                    head_bytes=min(end, HEAD_BYTES),
                    sending=end,
                    key="follow-" + secrets.token_urlsafe(18),
                )
            )
        lines = data.removeprefix(b"" if at.offset else BOM).split(b"\n")
        chunk = [
            Item(f"line {number}", line.strip())
            for number, line in enumerate(lines, at.line + 1)
            if line.strip()
        ]
        send(self._client, chunk, self._at.key, self.tally)
        self._save(
            msgspec.structs.replace(
                self._at,
                offset=end,
                line=at.line + data.count(b"\n"),
                sending=0,
                key="",
                modified_ns=os.fstat(file).st_mtime_ns,
            )
        )
        return True

    def _save(self, checkpoint: Checkpoint) -> None:
        """Make the checkpoint durable: a new file, synced, renamed over the old one."""
        draft = self._checkpoint.with_name(self._checkpoint.name + ".new")
        try:
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(checkpoint) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._checkpoint)
            folder = os.open(self._checkpoint.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise ServiceError(
                f"cannot write {self._checkpoint}: {error.strerror}; choose another with"
                " --checkpoint"
            ) from None
        self._at = checkpoint


def _load(path: Path) -> Checkpoint:
    try:
        return msgspec.json.decode(small_files.read(path, CHECKPOINT_BYTES), type=Checkpoint)
    except FileNotFoundError:
        return Checkpoint()
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(
            f"{path} is not a checkpoint ({error}); remove it to begin at the start of the file"
        ) from None


@contextlib.contextmanager
def _locked(checkpoint: Path) -> Iterator[None]:
    """Hold the checkpoint's lock; the kernel drops it when the process ends, however it does."""
    path = checkpoint.with_name(checkpoint.name + ".lock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServiceError(
            f"cannot write {path}: {error.strerror}; choose another place with --checkpoint"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise UsageError(f"another process follows with {checkpoint}; stop it first") from None
    try:
        yield
    finally:
        os.close(file)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _head(file: int, size: int) -> str:
    return blake2b(os.pread(file, size, 0), digest_size=16).hexdigest() if size else ""


def _rotated(path: Path) -> list[Path]:
    """Return the files that rotation made of *path*, the newest first."""
    found = [
        sibling
        for sibling in path.parent.glob(glob.escape(path.name) + "[.-]*")
        if _ROTATION.fullmatch(sibling.name[len(path.name) :])
    ]
    return sorted(found, key=_modified_ns, reverse=True)


def _first(paths: Iterable[Path]) -> int | None:
    """Open the first of these files that is there."""
    return next((file for file in map(_open, paths) if file is not None), None)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServiceError(f"cannot read {path}: {error.strerror}") from None


_ROTATION = re.compile(r"[.-]\d[\d.T-]*")
"""What log rotation appends to a name: `.1`, `-20260101`, `.2026-01-01T00-00`."""
