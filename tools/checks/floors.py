"""Dependencies: no release is admitted that is older than the one that is tested here."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

LOCK = "requirements-dev.lock"


def loose(root: Path) -> Iterator[str]:
    """Yield a complaint for each dependency that the wheel admits older than the lock has it.

    Where the lock has several releases, for different Pythons, the oldest of them counts.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    locked = _locked((root / LOCK).read_text(encoding="utf-8"))
    for text in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        wanted = Requirement(text)
        release = locked.get(wanted.name)
        if release is None:
            yield f"pyproject.toml: {wanted.name} is not in {LOCK}; run ./do lock"
            continue
        floors = [Version(each.version) for each in wanted.specifier if each.operator == ">="]
        if floors != [release]:
            yield (
                f"pyproject.toml: {wanted.name} has the floor {_shown(floors)}, the lock {release};"
                f' write "{wanted.name}>={release}"'
            )


def _locked(text: str) -> dict[str, Version]:
    """Return the oldest locked release of each package."""
    found: dict[str, Version] = {}
    for line in text.splitlines():
        if "==" not in line.partition(";")[0] or line.startswith((" ", "#")):
            continue
        pin = Requirement(line.rstrip("\\ "))
        [release] = (Version(each.version) for each in pin.specifier)
        found[pin.name] = min(release, found.get(pin.name, release))
    return found


def _shown(floors: list[Version]) -> str:
    return ", ".join(map(str, floors)) or "none"
