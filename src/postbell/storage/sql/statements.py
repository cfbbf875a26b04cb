"""Reads named statements from a `.sql` file.

A statement begins with `-- name: some_name`, then one comment that says what is true
afterwards, then one SQL statement.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType


def load(package: str, file: str) -> Mapping[str, str]:
    """Return the statements of *file* in *package* by name; raise ValueError for a name twice."""
    text = files(package).joinpath(file).read_text("utf-8")
    found: dict[str, str] = {}
    for name, comment, statement in _STATEMENT.findall(text):
        if name in found or not comment.strip():
            raise ValueError(f"{package}/{file}: {name} is there twice or lacks its comment")
        found[name] = statement.strip().rstrip(";")
    if len(found) != text.count("-- name:"):
        raise ValueError(f"{package}/{file}: a statement lacks its comment or its name's form")
    return MappingProxyType(found)


_STATEMENT = re.compile(
    r"^-- name: (\w+)\n((?:--(?! name:).*\n)+)((?:(?!--).*(?:\n|\Z))*)", re.MULTILINE
)
