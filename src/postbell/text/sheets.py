"""Tables as text with commas (RFC 4180): read from others' files, written for theirs."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from postbell.errors import BadInput
from postbell.text.encodings import unmarked

MAX_CELL_CHARS = 4096


def rows_of(body: bytes, known: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row's line number and its cells in the *known* columns that are not empty.

    The first row names the columns, and one of them is the first that is known; others are left
    out.  A first row whose first cell holds an @ is a row already, of that column alone.  Raises
    BadInput for what is no such table.
    """
    try:
        text = unmarked(body).decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} of the table is not UTF-8", code="malformed") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    try:
        for row in reader:
            if names is None:
                names = [name.strip().lower() for name in row]
                if row and "@" in row[0]:
                    names = [known[0]]
                elif known[0] not in names:
                    raise BadInput(
                        f"the table's first line names no column {known[0]!r}", code="malformed"
                    )
                else:
                    continue
            cells = zip(names, (cell.strip()[:MAX_CELL_CHARS] for cell in row), strict=False)
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
    writer.writerows(rows)
    return written.getvalue().encode()
