"""What every engine refuses of a source's progress, in the same words, and what it cuts."""

from collections.abc import Iterable

from postbell.errors import BadInput, HeadMoved
from postbell.ports import (
    MAX_CHECKPOINT_BYTES,
    MAX_KEY_CHARS,
    MAX_VALUE_BYTES,
    MAX_WORDS_CHARS,
    Progress,
)
from postbell.trail import cut


def head_moved(head: int, newest: int) -> HeadMoved:
    """Return the error for an append by one who does not know enough of what others appended."""
    return HeadMoved(f"the log's head is block {newest}, not {head}; read on and retry")


def check_progress(progress: Iterable[Progress]) -> None:
    """Raise BadInput where one holds more than it may."""
    for each in progress:
        _check(each, "its checkpoint", len(each.checkpoint), MAX_CHECKPOINT_BYTES, "bytes")
        for one in each.remember:
            _check(each, "a key", len(one.key), MAX_KEY_CHARS, "characters")
            _check(each, f"the value of {one.key!r}", len(one.value), MAX_VALUE_BYTES, "bytes")


def moved(source: str) -> HeadMoved:
    """Return the error for a source that does not stand where its progress is from."""
    return HeadMoved(f"the source {source!r} was moved meanwhile")


def words(text: str) -> str:
    """Return a text about a fact in quarantine as it is kept."""
    return cut(text, MAX_WORDS_CHARS)


def _check(progress: Progress, what: str, size: int, most: int, unit: str) -> None:
    if size > most:
        raise BadInput(
            f"source {progress.source!r}: {what} has {size} {unit}; the limit is {most}",
            member="checkpoint",
        )
