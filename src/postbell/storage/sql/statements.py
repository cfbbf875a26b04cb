"""Reads named statements from `.sql` files.

A statement begins with `-- name: some_name`, then one comment that says what is true
afterwards, then one SQL statement.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType


def statements_of(engine: str) -> Mapping[str, str]:
    """Return the statements of a SQL engine by name: those that all share, and what is spelled
    otherwise by each, in the file `own.sql` of the package *engine*.

    Raises ValueError for a name twice.
    """
    found = dict(load(engine, "own.sql"))
    for file in files(__package__).iterdir():
        if file.name.endswith(".sql"):
            statements = load(__package__, file.name)
            if twice := found.keys() & statements.keys():
                raise ValueError(f"{file.name}: {', '.join(twice)} are elsewhere, too")
            found.update(statements)
    return MappingProxyType(found)


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
