import ast
import re
from collections.abc import Iterator

from postbell.settings.members import SETTINGS
from postbell.signals import SIGNALS
from tests.shape import source

FIELDS = {signal.name: set(signal.fields) for signal in SIGNALS}
GATHERED = {"request_answered", "attempt_made"}
"""Their fields come together in several places; `tests/operating/test_lines.py` holds the lines of
a real process against the rows."""


def logged() -> list[tuple[str, ast.Call, str]]:
    """Return each call of `signals.log` with a literal name."""
    return [
        (path, call, str(call.args[0].value))
        for path, tree in source.trees()
        if any(each.startswith("postbell.signals") for each in source.imports(tree))
        for call in source.calls(tree, "log")
        if call.args and isinstance(call.args[0], ast.Constant)
    ]


def test_every_logged_event_is_a_row_of_signals() -> None:
    unknown = [(path, name) for path, _, name in logged() if name not in FIELDS]

    assert unknown == []


def test_every_row_of_signals_is_logged_somewhere() -> None:
    unused = set(FIELDS) - {name for _, _, name in logged()}

    assert unused == set()


def test_a_logged_event_has_the_fields_of_its_row_only() -> None:
    strange = [
        (path, name, keyword.arg)
        for path, call, name in logged()
        for keyword in call.keywords
        if keyword.arg not in FIELDS.get(name, set()) | {"exc_info"}
        if not (keyword.arg is None and name in GATHERED)
    ]

    assert strange == []


def test_a_fault_that_lasts_is_logged_with_its_cause() -> None:
    causes = {signal.name: set(signal.cause) for signal in SIGNALS if signal.every_s}

    without = [
        (path, name)
        for path, call, name in logged()
        if not causes.get(name, set()) <= {keyword.arg for keyword in call.keywords}
    ]

    assert causes
    assert without == []


def test_what_a_unit_of_work_tells_are_fields_of_its_line() -> None:
    told = {
        keyword.arg
        for _, tree in source.trees()
        for call in source.calls(tree, "tell")
        for keyword in call.keywords
    }

    assert told
    assert told <= FIELDS["request_answered"]


def test_every_setting_is_read_somewhere() -> None:
    read = {
        node.attr
        for _, tree in source.trees()
        for node in source.nodes(tree)
        if isinstance(node, ast.Attribute)
    }

    unread = [setting.name for setting in SETTINGS if setting.name not in read]

    assert unread == []


def test_every_named_statement_is_used() -> None:
    named = {
        name
        for path in source.FOLDER.rglob("*.sql")
        for name in re.findall(r"^-- name: (\w+)$", path.read_text(), re.MULTILINE)
    }
    patterns = [re.compile(spelled) for spelled in looked_up()]

    unused = {name for name in named if not any(each.fullmatch(name) for each in patterns)}

    assert named
    assert unused == set()


def looked_up() -> set[str]:
    """Return what storage may look up, as patterns; `x_{y}` is `x_` and any word."""
    nodes = [node for _, tree in source.trees("storage") for node in source.nodes(tree)]
    plain = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    keys = [call.args[0] for call in calls if call.args]
    return set(map(re.escape, plain)) | {
        "".join(
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+"
            for part in key.values
        )
        for key in keys
        if isinstance(key, ast.JoinedStr)
    }


def test_whole_numbers_are_read_in_one_place() -> None:
    elsewhere = [
        (path, call.lineno)
        for path, tree in source.trees()
        for name in ("isdigit", "isdecimal", "isnumeric")
        for call in source.calls(tree, name)
        if path != "text/numerals.py"
    ]

    assert elsewhere == []


def test_who_reads_the_journal_asks_the_row_of_a_kind_never_which_it_is() -> None:
    """Only who makes an entry names a kind: it hands it on, to `Entry` or to what makes one."""
    compared = [
        (path, node.lineno, node.attr)
        for path, tree in source.trees()
        for handed in [{id(each) for each in handed_on(tree)}]
        for node in source.nodes(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "EntryKind"
        and id(node) not in handed
    ]

    assert compared == []


def handed_on(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield what is an argument of a call, as it stands."""
    for node in source.nodes(tree):
        if isinstance(node, ast.Call):
            yield from node.args
            yield from (keyword.value for keyword in node.keywords)
