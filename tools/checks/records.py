"""Decision records: each is listed in the index."""

import re
from collections.abc import Iterator
from pathlib import Path


def unlisted(root: Path) -> Iterator[str]:
    """Yield a complaint for each record that the index lacks, or that shares its number."""
    folder = root / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    numbers: dict[str, str] = {}
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        if not re.match(r"\d{4}-[a-z0-9-]+\.md$", path.name):
            yield f"docs/decisions/{path.name}: a name NNNN-words.md expected"
        if f"({path.name})" not in index:
            yield f"docs/decisions/README.md does not list {path.name}"
        other = numbers.setdefault(path.name[:4], path.name)
        if other != path.name:
            yield f"docs/decisions/{path.name} has the number of {other}"
