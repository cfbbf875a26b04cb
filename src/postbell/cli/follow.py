"""Tailing a JSON Lines file into a server: through rotation, and exactly where it left off.

The checkpoint says how far the server has confirmed.  What is about to be sent is written to it
first, with its Idempotency-Key: after a kill the same bytes go out under the same key.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from postbell.cli.client import ApiClient
from postbell.cli.lines import MAX_CHUNK_BYTES, Item
from postbell.cli.send import SendCount, send
from postbell.errors import ServiceError, UsageError
from postbell.sources.tail import POLL_S, Chunk, FilePlace, Tail, begin
from postbell.text import small_files

CHECKPOINT_BYTES = 65_536


class Checkpoint(FilePlace, frozen=True, kw_only=True):
    """How far the file was sent.

    *sending* is the end of what is being sent under *key*, 0 for nothing.
    """

    sending: int = 0
    key: str = ""


class Follower:
    """Sends what is appended to *path*, for ever."""

    def __init__(self, path: Path, checkpoint: Path, client: ApiClient) -> None:
        self._path = path
        self._checkpoint = checkpoint
        self._client = client
        self.tally = SendCount()
        self._at = _load(checkpoint) or _of(begin(path))
        self._tail = Tail(
            path,
            self._at,
            most_bytes=MAX_CHUNK_BYTES,
            say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
            agreed=self._at.sending,
        )

    def run(self) -> None:
        """Follow until interrupted; raise UsageError where another process follows already."""
        with _locked(self._checkpoint), contextlib.closing(self._tail):
            if not self._at.head_bytes:
                self._save(self._at)
            while True:
                chunk = self._tail.read()
                if chunk is None:
                    time.sleep(POLL_S)
                else:
                    self._send(chunk)

    def _send(self, chunk: Chunk) -> None:
        """Send a chunk and note that it was."""
        after = chunk.after
        if after.is_inside:
            raise UsageError(
                f"line {after.line + 1} of {self._path} is longer than {MAX_CHUNK_BYTES} bytes;"
                " take it out and start again"
            )
        if not chunk.is_agreed:
            self._save(_of(chunk.before, after.offset, "follow-" + secrets.token_urlsafe(18)))
        items = [Item(f"line {line.number}", line.raw) for line in chunk.lines]
        send(self._client, items, self._at.key, self.tally)
        self._save(_of(after))
        self._tail.confirm(chunk)

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


def _of(place: FilePlace, sending: int = 0, key: str = "") -> Checkpoint:
    return Checkpoint(**msgspec.structs.asdict(place) | {"sending": sending, "key": key})


def _load(path: Path) -> Checkpoint | None:
    """Return the checkpoint that was kept, None for none."""
    try:
        return msgspec.json.decode(small_files.read(path, CHECKPOINT_BYTES), type=Checkpoint)
    except FileNotFoundError:
        return None
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
