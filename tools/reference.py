"""Write the generated pages of docs (`./do docs`), or say which one is out of date.

python -m tools.reference [--check]
"""

import sys
from pathlib import Path

from tools.pages import PAGES

FOLDER = Path(__file__).parent.parent / "docs"


def outdated() -> list[str]:
    """Return the names of pages that differ from what the code says now."""
    return [
        f"docs/{name}.md"
        for name, write in PAGES.items()
        if not _path(name).exists() or _path(name).read_text(encoding="utf-8") != write()
    ]


def main() -> None:
    for name, write in PAGES.items():
        _path(name).write_text(write(), encoding="utf-8")


def _path(name: str) -> Path:
    return FOLDER / f"{name}.md"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{page} is out of date; run ./do docs" for page in outdated()) or 0)
    main()
