"""What runs in a thread of the storage changes nothing of the loop's."""

import ast
from collections.abc import Iterator

from tests.shape import source


def _inside(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.Lambda]:
    """Yield functions inside functions: what an engine hands to a thread is one."""
    for outer in source.nodes(tree):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(outer):
                if inner is not outer and isinstance(inner, ast.FunctionDef | ast.Lambda):
                    yield inner


def _changed(function: ast.FunctionDef | ast.Lambda) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield ast.unparse(node)
        if isinstance(node, ast.Nonlocal | ast.Global):
            yield ", ".join(node.names)


def test_what_is_handed_to_a_thread_of_the_storage_sets_no_attribute() -> None:
    found = [
        (path, changed)
        for path, tree in source.trees("storage/sqlite")
        for function in _inside(tree)
        for changed in _changed(function)
    ]

    assert found == []
