"""Who asks the directory for what it knows, and may miss what was made this very moment; all others
ask by `find`, which asks the registry itself before it finds nothing."""

import ast

from tests.shape import source

MAY_MISS = {
    "cli/check.py": "read whole just before",
    "desk/auth.py": "inside `find`, and before a check that ends with it",
    "desk/trials.py": "a name in a sample",
    "ingest/ingest.py": "`checked` looks again where that knows no api user",
    "mta/lookup.py": "a login; one that is not known is answered for the account",
    "operating/metrics/exposition.py": "labels",
    "operating/metrics/following.py": "labels",
    "operating/notices/watching.py": "goes through all; nothing was told yet of what is new",
    "operating/standings.py": "goes through all; what is new is heard of",
    "reports/trail.py": "a name beside an id",
    "sources/running.py": "what to say once `find` found nothing",
    "web/visit.py": "names on a page",
    "web/webhook_page.py": "names on a page, and the newest webhook",
}


def asks(node: ast.AST) -> bool:
    """Say whether *node* reads `known` of a directory."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "known"
        and ast.unparse(node.value).endswith("directory")
    )


def test_whoever_may_miss_what_is_new_is_known_with_its_reason() -> None:
    found = {
        path
        for path, tree in source.trees()
        if path != "directory.py" and any(map(asks, source.nodes(tree)))
    }

    assert found == set(MAY_MISS)


def test_nobody_but_the_directory_asks_the_registry_for_certain() -> None:
    asked = {
        path
        for path, tree in source.trees()
        for call in source.calls(tree, "version")
        for keyword in call.keywords
        if keyword.arg == "is_sure"
    }

    assert asked == {"directory.py"}
