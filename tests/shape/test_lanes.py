"""A lane is changed in one way: made by `lane.changes`, written by the ledger, brought to memory by
`apply`; nobody else writes its members, and nothing in it waits."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.shape import source

MADE_BY = "lane/changes.py"
HOLDERS = {"held", "each", "run", "slot", "batch", "pace", "slots", "intake", "passes", "gather"}
"""Names by which `delivery` has a lane or a part of one."""


def test_nothing_but_the_algebra_makes_a_change_of_a_lane() -> None:
    makers = {path for path, tree in source.trees() for _ in source.calls(tree, "LaneChange")}

    assert makers == {MADE_BY}


def test_every_change_is_used() -> None:
    (tree,) = (tree for path, tree in source.trees("lane") if path == MADE_BY)
    made = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    public = {name for name in made if not name.startswith("_")}
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for path, each in source.trees()
        for node in ast.walk(each)
        if isinstance(node, ast.Attribute | ast.Name)
    }

    assert public - used == set()


def test_the_worker_writes_lanes_in_one_place_and_there_brings_them_to_what_was_written() -> None:
    writers = {
        path for path, tree in source.trees("delivery") for _ in source.calls(tree, "record")
    }
    appliers = {path for path, tree in source.trees() for _ in source.calls(tree, "apply")}

    assert (writers, appliers) == ({"delivery/settle.py"}, {"delivery/settle.py"})


def test_nobody_but_a_lane_writes_its_members() -> None:
    found = [
        (path, ast.unparse(target))
        for path, tree in source.trees("delivery")
        for target in _targets(tree)
        if _root(target) in HOLDERS
    ]

    assert [each for each in found if each not in ALLOWED] == []


def test_nobody_but_a_lane_puts_something_into_it_or_takes_something_out() -> None:
    found = [
        (path, ast.unparse(node.func))
        for path, tree in source.trees("delivery")
        for node in source.nodes(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in MOVES
        and isinstance(node.func.value, ast.Attribute)
        and _root(node.func) in HOLDERS
    ]

    assert found == []


MOVES = {"add", "append", "appendleft", "clear", "discard", "extend", "pop", "popleft", "remove"}
ALLOWED = [("delivery/singles.py", "run.found")]
"""What is read of the log is put where it was asked for."""


def test_a_lane_has_no_lock_no_task_and_no_future() -> None:
    waiting = {
        path
        for path, tree in source.trees("lane")
        if any(each.split(".")[0] == "asyncio" for each in source.imports(tree))
        or any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in source.nodes(tree))
    }

    assert waiting == set()


def _targets(tree: ast.Module) -> Iterator[ast.Attribute]:
    """Yield every attribute that is assigned to."""
    for node in source.nodes(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        yield from (each for each in targets if isinstance(each, ast.Attribute))


def _root(target: ast.Attribute) -> str:
    node: ast.expr = target
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_tests_of_delivery_reach_nothing_private() -> None:
    tests = Path(__file__).parent.parent
    found = [
        f"{path.relative_to(tests)}:{node.lineno} {ast.unparse(node)}"
        for folder in ("delivery", "lane", "model")
        for path in sorted((tests / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in OPEN
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]

    assert found == []


OPEN = {"_replace", "_callback", "_store", "_rings", "_writers"}
"""A tuple's own method; what an event loop has ready; what an engine keeps of the log in memory;
how often a bell rang; who writes for an engine."""
