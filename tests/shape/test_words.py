"""A class has a name of its own: who reads it somewhere knows what it is."""

import ast
from collections import defaultdict

from tests.shape import source


def test_a_public_class_has_no_namesake() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in source.trees():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(_where(path))

    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def _where(path: str) -> str:
    """Dialects never import each other: what is the same in two of them has one name."""
    return "dialects" if path.startswith("dialects/") else path
