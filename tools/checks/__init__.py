"""What `./do check` looks at beyond lint and types: one function a kind of defect.

Each takes the project's folder and yields complaints, one sentence each, naming the file.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tools import reference
from tools.checks import architecture, commands, floors, links, records, tracked

Check = Callable[[Path], Iterator[str]]


def _reference(root: Path) -> Iterator[str]:
    for page in reference.outdated():
        yield f"{page} is not what the code says; run ./do docs"


CHECKS: Mapping[str, Check] = {
    "reference": _reference,
    "architecture": architecture.drift,
    "links": links.broken,
    "pages": links.unheld,
    "commands": commands.unknown,
    "decisions": records.unlisted,
    "floors": floors.loose,
    "traces": tracked.traces,
    "length": tracked.too_long,
}
