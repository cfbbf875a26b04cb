"""The source of Postbell as trees, for tests of its shape."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import postbell

FOLDER = Path(postbell.__file__).parent


TEXTS = {".py", ".sql", ".toml", ".html", ".css", ".js", ".txt"}


def files() -> Iterator[str]:
    """Yield the path (relative to the package) of every file of text in it."""
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in TEXTS:
            yield str(path.relative_to(FOLDER))


def trees(below: str = "") -> Iterator[tuple[str, ast.Module]]:
    """Yield the path (relative to the package) and the tree of every module in *below*."""
    for path in sorted((FOLDER / below).rglob("*.py")):
        yield str(path.relative_to(FOLDER)), parsed(path)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Return every node of a tree."""
    return tuple(ast.walk(tree))


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield the full name of everything that a module imports, at any depth."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function by its last name."""
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            function = node.func
            last = (
                function.id
                if isinstance(function, ast.Name)
                else function.attr
                if isinstance(function, ast.Attribute)
                else ""
            )
            if last == name:
                yield node
