"""Facts of a sample that somebody has in a file: lines, or mails; and those read together."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from postbell.ports import Fact
from postbell.text.encodings import BOM

AT_ONCE = 1_000
AT_ONCE_BYTES = 1 << 20


def lines_of(file: BinaryIO, most_bytes: int) -> Iterator[Fact]:
    """Yield the lines that are not blank, as `tail` reads them; of one that is longer than
    *most_bytes* the beginning, a byte longer than that."""
    number = 0
    while line := file.readline(most_bytes + 1):
        number += 1
        raw = line.removeprefix(BOM if number == 1 else b"").strip()
        while not line.endswith(b"\n") and (line := file.readline(most_bytes + 1)):
            pass
        if raw:
            yield Fact(f"line {number}", raw, number=number)


def mails_of(file: BinaryIO, most_bytes: int) -> Iterator[Fact]:
    """Yield the one mail that is there, or those of an mbox, which begins with `From ` (RFC 4155);
    of one that is longer than *most_bytes* the beginning."""
    number, parts, size_bytes, is_after_blank = 0, list[bytes](), 0, True
    is_mbox = False
    while line := file.readline(most_bytes):
        is_next = is_after_blank and line.startswith(b"From ") and (is_mbox or not number)
        if is_next or not number:
            if parts:
                yield Fact(f"mail {number}", b"".join(parts), number=number)
            number, parts, size_bytes = number + 1, [], 0
            is_mbox = is_next
        if not is_next and size_bytes < most_bytes:
            parts.append(line)
            size_bytes += len(line)
        is_after_blank = not line.strip()
    if parts:
        yield Fact(f"mail {number}", b"".join(parts), number=number)


def grouped(facts: Iterable[Fact]) -> Iterator[list[Fact]]:
    """Yield lists of at most AT_ONCE facts and AT_ONCE_BYTES; one larger fact goes alone.

    Where *facts* raises an error, those before it are yielded first.
    """
    group: list[Fact] = []
    size_bytes = 0
    try:
        for fact in facts:
            if group and (len(group) >= AT_ONCE or size_bytes + len(fact.raw) > AT_ONCE_BYTES):
                yield group
                group, size_bytes = [], 0
            group.append(fact)
            size_bytes += len(fact.raw)
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group
