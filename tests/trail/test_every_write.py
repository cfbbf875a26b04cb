"""In the source: no write of what people manage goes past the trail, and every face says who."""

import ast
from collections.abc import Iterator

from tests.contract.test_trail import NO_CHANGES, WRITES
from tests.shape import source

FACES = ("api", "cli", "desk", "dialects", "web")
AROUND = {"trailed", "_do"}
"""What takes a write along with its entry."""

BESIDE = {
    ("desk/core.py", "ledger.intervene"): "raises an epoch: the change itself comes with it",
    ("desk/owners.py", "owners.end_sessions"): "a session that ended by itself, by its age",
    ("desk/owners.py", "owners.look_at"): "every page that is looked at keeps the look, see there",
    ("desk/throttle.py", "tries.count"): "what is counted to refuse too many tries",
    ("desk/throttle.py", "tries.forget"): "taken along by the command that lifts a lock",
}
"""Writes that leave no entry, each with its reason."""


def writes(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield each call of a write of the engine, and whether it goes along with an entry."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        taken = {
            id(inner)
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and _last(call) in AROUND
            for inner in ast.walk(call)
        }
        later = {
            name.id
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and _last(call) in AROUND
            for name in call.args
            if isinstance(name, ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id in later for target in node.targets
            ):
                taken.add(id(node.value))
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _named(node) in WRITES:
                yield _named(node), id(node) in taken


def _last(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _named(call: ast.Call) -> str:
    """Return port and method of a call of the engine, as `registry.add_webhook`."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return ""
    port = function.value
    name = port.attr if isinstance(port, ast.Attribute) else ""
    name = port.id if isinstance(port, ast.Name) else name
    return f"{name.removeprefix('_')}.{function.attr}"


def test_every_write_takes_its_entry_along() -> None:
    found = [
        (path, name, is_taken)
        for face in FACES
        for path, tree in source.trees(face)
        for name, is_taken in writes(tree)
    ]
    past = {(path, name) for path, name, is_taken in found if not is_taken}

    assert len({name for _, name, is_taken in found if is_taken}) > 25
    assert past == set(BESIDE)


def test_what_is_left_out_is_there() -> None:
    assert not set(WRITES) & NO_CHANGES


def test_each_face_says_in_one_place_who_acts() -> None:
    places = [
        path
        for face in FACES
        for path, tree in source.trees(face)
        for _ in source.calls(tree, "acts")
    ]

    assert sorted(places) == [
        "cli/office.py",
        "desk/core.py",
        "web/login.py",
        "web/page.py",
    ]
