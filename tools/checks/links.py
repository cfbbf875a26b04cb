"""Links in Markdown: a file that is linked exists, an anchor is a heading of it."""

import re
from collections.abc import Iterator
from pathlib import Path

from tools.checks.tracked import files

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def broken(root: Path) -> Iterator[str]:
    """Yield a complaint for each link inside the project that leads nowhere."""
    for page in files(root):
        if page.suffix != ".md":
            continue
        text = _CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
        for found in _LINK.finditer(text):
            target = found[1]
            if _OUTSIDE.match(target):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            where = page.relative_to(root)
            if not path.exists():
                yield f"{where} links to {target}, which does not exist"
            elif anchor and path.suffix == ".md" and anchor not in anchors(path):
                yield f"{where} links to {target}, which is no heading there"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = set()
    for line in text.splitlines():
        if line.startswith("#"):
            words = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found
