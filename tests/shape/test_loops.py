"""Every background loop is known here, with what keeps customers' data from ending it."""

import ast
from collections.abc import Iterator

from postbell.fences import LOOPS
from tests.shape import source

OUTSIDE = ("cli/",)
"""Commands end with an error of their own; nobody else's deliveries hang on them."""

TASKS = {
    "app.py": ("ingest", "worker", "directory", "index", "suppressions"),
    "starting.py": (),
    "mta/lookup.py": ("suppressions",),
    "operating/metrics/exposition.py": ("metrics",),
    "operating/notices/handing.py": ("notices", "mail"),
    "operating/notices/telling.py": ("notices",),
    "operating/wiring.py": ("standings", "metrics", "notices"),
    "delivery/worker.py": ("worker", "retention"),
    "serving/listening/connection.py": ("door",),
    "serving/listening/securing.py": ("door",),
    "serving/server.py": ("door",),
    "sources/running.py": ("sources",),
    "storage/postgres/silence.py": (),
    "storage/postgres/waking.py": (),
    "storage/postgres/watching.py": (),
    "storage/postgres/writer.py": (),
}
"""Modules that start tasks, and the fences of those.  A request's own task ends with its
connection, whatever is raised in it."""

FOREVER = {
    "app.py": "",
    "directory.py": "directory",
    "serving/listening/door.py": "door",
    "operating/metrics/exposition.py": "",
    "operating/metrics/following.py": "metrics",
    "operating/notices/telling.py": "notices",
    "index/indexer.py": "index",
    "ingest/ingest.py": "ingest",
    "delivery/house.py": "worker",
    "delivery/sharing.py": "worker",
    "delivery/worker.py": "worker",
    "serving/process.py": "",
    "operating/standings.py": "standings",
    "serving/timekeeping.py": "",
    "sources/following.py": "sources",
    "sources/mail/maildir.py": "sources",
    "sources/mail/taking.py": "sources",
    "sources/running.py": "sources",
    "storage/postgres/waking.py": "",
    "storage/postgres/watching.py": "",
    "suppressing/follower.py": "suppressions",
    "suppressing/held.py": "suppressions",
    "suppressing/telling.py": "suppressions",
}
"""Modules with a loop that pauses and goes on for ever, and its fence; "" where nothing of a
customer comes into it."""


def _of_the_service() -> Iterator[tuple[str, ast.Module]]:
    return ((path, tree) for path, tree in source.trees() if not path.startswith(OUTSIDE))


def _is_endless(node: ast.AST) -> bool:
    """Say whether *node* is `while True` that waits and never returns."""
    if not (isinstance(node, ast.While) and isinstance(node.test, ast.Constant)):
        return False
    inside = list(ast.walk(node))
    ends = any(isinstance(each, ast.Return | ast.Break) for each in inside)
    return not ends and any(isinstance(each, ast.Await) for each in inside)


def _starts_tasks(tree: ast.Module) -> bool:
    return any(True for _ in source.calls(tree, "create_task"))


def _fences(tree: ast.Module) -> set[str]:
    """Return the names of the fences and notes in a module."""
    return {
        call.args[0].value
        for name in ("fence", "note")
        for call in source.calls(tree, name)
        if call.args and isinstance(call.args[0], ast.Constant)
    }


def test_every_module_that_starts_tasks_is_known() -> None:
    found = {path for path, tree in _of_the_service() if _starts_tasks(tree)}

    assert found <= set(TASKS), "name its fences in TASKS"


def test_every_endless_loop_is_known_and_fenced() -> None:
    found = {
        path: _fences(tree)
        for path, tree in _of_the_service()
        if any(map(_is_endless, source.nodes(tree)))
    }

    assert set(found) == set(FOREVER)
    for path, loop in FOREVER.items():
        assert not loop or loop in found[path], path


def test_every_fence_is_used_and_every_used_one_is_known() -> None:
    used = {name for _, tree in source.trees() for name in _fences(tree)}
    named = {name for names in TASKS.values() for name in names} | {*FOREVER.values()} - {""}

    assert used == set(LOOPS)
    assert named <= set(LOOPS)
