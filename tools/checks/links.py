"""Links in Markdown: a file that is linked exists, an anchor is a heading of it; pages that modules
name are there."""

import re
from collections.abc import Iterator
from pathlib import Path

from tools.checks.tracked import files

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_PAGE = re.compile(r"[\w/.-]+\.md\b")
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


def unheld(root: Path) -> Iterator[str]:
    """Yield a complaint for each page that a module names and the project does not hold."""
    for module in files(root):
        if module.suffix != ".py" or module.relative_to(root).parts[0] != "src":
            continue
        for name in _PAGE.findall(module.read_text(encoding="utf-8")):
            if not (root / name).exists():
                yield f"{module.relative_to(root)} names {name}, which does not exist"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = set()
    for line in text.splitlines():
        if line.startswith("#"):
            words = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found
