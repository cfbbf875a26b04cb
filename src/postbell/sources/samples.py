"""Facts of a sample that somebody has in a file: lines, or mails."""

from collections.abc import Iterator
from typing import BinaryIO

from postbell.ports import Fact
from postbell.text.encodings import BOM


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
            yield Fact(f"line {number}", raw)


def mails_of(file: BinaryIO, most_bytes: int) -> Iterator[Fact]:
    """Yield the one mail that is there, or those of an mbox, which begins with `From ` (RFC 4155);
    of one that is longer than *most_bytes* the beginning."""
    number, parts, size_bytes, is_after_blank = 0, list[bytes](), 0, True
    is_mbox = False
    while line := file.readline(most_bytes):
        is_next = is_after_blank and line.startswith(b"From ") and (is_mbox or not number)
        if is_next or not number:
            if parts:
                yield Fact(f"mail {number}", b"".join(parts))
            number, parts, size_bytes = number + 1, [], 0
            is_mbox = is_next
        if not is_next and size_bytes < most_bytes:
            parts.append(line)
            size_bytes += len(line)
        is_after_blank = not line.strip()
    if parts:
        yield Fact(f"mail {number}", b"".join(parts))
