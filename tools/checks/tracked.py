"""Tracked files: no trace of one machine or of a package registry, none too long."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

MAX_LINES = 400
_TRACES = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work|root)/"),
    "a package registry's host": re.compile(
        r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org|proxy\.golang\.org"
    ),
}


def files(root: Path) -> list[Path]:
    """Return the files that git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    )
    return [root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def traces(root: Path) -> Iterator[str]:
    """Yield a complaint for each line that only makes sense on one machine."""
    for path in files(root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            for what, pattern in _TRACES.items():
                if pattern.search(line):
                    yield f"{path.relative_to(root)}:{number} names {what}"


def too_long(root: Path) -> Iterator[str]:
    """Yield a complaint for each source file (tests aside) of over MAX_LINES lines."""
    for path in files(root):
        name = path.relative_to(root)
        if path.suffix != ".py" or name.parts[0] == "tests":
            continue
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            yield f"{name} has {lines} lines; at most {MAX_LINES}, split it"
