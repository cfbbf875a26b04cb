"""ARCHITECTURE.md: it names every part, and draws the layers that the import contract has."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path


def drift(root: Path) -> Iterator[str]:
    """Yield a complaint for each part that the page lacks and each layer drawn differently."""
    page = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    parts = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)`", parts))
    for path in sorted((root / "src" / "postbell").iterdir()):
        name = path.stem
        is_part = path.suffix == ".py" or (path / "__init__.py").exists()
        if is_part and not name.startswith("__") and name not in named:
            yield f"ARCHITECTURE.md has no row for the part {name}"
    drawn = re.search(r"^```layers\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = drawn[1].splitlines() if drawn else []
    layers = [re.sub(r"[()]", "", layer) for layer in _layers(root)]
    if lines != layers:
        yield "ARCHITECTURE.md draws other layers than the contract `layers` in pyproject.toml"


def _layers(root: Path) -> list[str]:
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = table["tool"]["importlinter"]["contracts"]
    found: list[str] = next(each["layers"] for each in contracts if each["id"] == "layers")
    return found
