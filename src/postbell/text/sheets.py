"""Tables as text with commas (RFC 4180): read from others' files, written for theirs."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from postbell.errors import BadInput
from postbell.text.encodings import unmarked

MAX_CELL_CHARS = 4096
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a cell begins that a spreadsheet takes for something to compute, whoever wrote it: a ' before
it keeps it a text, and is left out again where the table is read."""


def rows_of(body: bytes, known: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row's line number and its cells in the *known* columns that are not empty.

    The first row names the columns, and one of them is the first that is known; others are left
    out.  A first row whose first cell holds an @ is a row already, of that column alone; a further
    @ in a row would be lost.  Raises BadInput for what is no such table.
    """
    try:
        text = unmarked(body).decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} of the table is not UTF-8", code="malformed") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    is_headless = False
    try:
        for row in reader:
            if names is None:
                names = [name.strip().lower() for name in row]
                is_headless = bool(row) and "@" in row[0]
                if is_headless:
                    names = [known[0]]
                elif known[0] not in names:
                    raise BadInput(
                        f"the table's first line names no column {known[0]!r}", code="malformed"
                    )
                else:
                    continue
            if is_headless and any("@" in cell for cell in row[1:]):
                raise BadInput(
                    f"line {reader.line_num} of the table has several addresses; write one on a"
                    " line, or name the columns",
                    code="malformed",
                )
            cells = zip(names, map(_read, row), strict=False)
            found = {name: cell for name, cell in cells if cell and name in known}
            if found:
                yield reader.line_num, found
    except csv.Error as error:
        raise BadInput(
            f"line {reader.line_num} of the table cannot be read: {error}", code="malformed"
        ) from None


def sheet_of(columns: Sequence[str], rows: Iterable[Mapping[str, str]], *, headed: bool) -> bytes:
    """Return rows as text, below the names of the columns where it is *headed*."""
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, columns)
    if headed:
        writer.writeheader()
    writer.writerows({name: _written(cell) for name, cell in row.items()} for row in rows)
    return written.getvalue().encode()


def _read(cell: str) -> str:
    text = cell.strip()[:MAX_CELL_CHARS]
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def _written(cell: str) -> str:
    return "'" + cell if _FORMULA.match(cell) else cell
