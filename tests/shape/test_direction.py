import ast
import re

import pytest

from postbell.dialects import DIALECTS
from tests.shape import source

PLAIN_WORDS = ("blocks", "clock", "errors", "events", "ports", "records")
DECISIONS = ("reading/match", "lane/cut", "lane/judge", "lane/backoff")
HARMLESS = {"collections.abc", "datetime", "enum", "hashlib", "itertools", "math", "operator"}
HARMLESS |= {"typing", "msgspec", "numpy", "bisect", "functools"}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_imports_plain_words_and_decisions_only(name: str) -> None:
    tree = ast.parse((source.FOLDER / f"{name}.py").read_text())

    ours = tuple(f"postbell.{word}." for word in PLAIN_WORDS)
    ours += tuple(f"postbell.{name.replace('/', '.')}." for name in DECISIONS)
    strange = [
        each
        for each in source.imports(tree)
        if not each.startswith(ours)
        and each not in HARMLESS
        and each.rpartition(".")[0] not in HARMLESS
    ]

    assert strange == []


NAMING = ("app.py", "cli/demo/", "dialects/")
"""Who may name a dialect: what opens their management APIs, the demo that makes a webhook of some,
and they themselves."""


def test_no_provider_is_named_but_by_its_own_dialect() -> None:
    providers = {name for name in DIALECTS if name != "native"}

    named = [
        (path, node.value)
        for path, tree in source.trees()
        if not path.startswith(NAMING)
        for node in source.nodes(tree)
        if isinstance(node, ast.Constant) and node.value in providers
    ]

    assert named == []


ENGINE_WORDS = re.compile(
    r"sqlite|apsw|asyncpg|postgres(?!q)"
    r"|pragma\b|vacuum|-wal\b|(?<!systemd)-journal\b|\.db\b",
    re.IGNORECASE,
)
DEFAULT_ENGINE = "settings/members.py"
"""The default of `database_url`, which the reference shows."""


def test_no_engine_is_known_but_inside_storage() -> None:
    named = [
        (path, line)
        for path in source.files()
        if not path.startswith("storage/")
        for line in (source.FOLDER / path).read_text(encoding="utf-8").splitlines()
        if ENGINE_WORDS.search(line)
    ]

    assert [path for path, _ in named] == [DEFAULT_ENGINE], named


def test_an_engine_is_opened_by_the_table_only() -> None:
    doors = ("postbell.storage.engines.", "postbell.storage.folders.", "postbell.storage.copying.")

    past = [
        (path, name)
        for path, tree in source.trees()
        if not path.startswith("storage/")
        for name in source.imports(tree)
        if name.startswith("postbell.storage") and not name.startswith(doors)
    ]

    assert past == []


AS_THREADS = tuple(f"storage/postgres/{name}.py" for name in ("waking", "watching", "writer"))
"""What another engine has threads for: tasks that live from the engine's opening to its closing, in
whatever tasks these are called."""


def test_tasks_are_started_in_task_groups_only() -> None:
    loose = [
        (path, call.lineno)
        for path, tree in source.trees()
        if path not in AS_THREADS
        for name in ("create_task", "ensure_future")
        for call in source.calls(tree, name)
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("asyncio", "loop")
    ]

    assert loose == []
