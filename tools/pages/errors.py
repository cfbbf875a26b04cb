"""Errors: the tree of `errors.py` and every code that the source raises under it."""

import ast
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import postbell
from postbell import errors as tree
from postbell.dialects.engagelab import routes as engagelab
from postbell.errors import UNANSWERED
from tools.pages import markdown

SOURCE = Path(postbell.__file__).parent


class Raised(NamedTuple):
    """A place that raises an error with a code of its own."""

    code: str
    module: str
    message: str


def errors() -> str:
    """Return the page of errors."""
    classes = list(classes_below(tree.PostbellError))
    return markdown.page(
        "Errors",
        "`src/postbell/errors.py`, and the places that raise",
        _TREE,
        markdown.table(
            ("code", "status", "try again", "class", "meaning"),
            (
                (
                    markdown.code(each.code),
                    str(each.status),
                    "yes" if each.retryable else "no",
                    markdown.code(each.__name__),
                    meanings()[each.__name__],
                )
                for each in classes
            ),
        ),
        "## Codes of single errors\n",
        "`…` stands for what the message names.\n",
        markdown.table(
            ("code", "message", "module"),
            (
                (markdown.code(each.code), each.message, markdown.code(each.module))
                for each in sorted(set(raised()))
            ),
        ),
        "## EngageLab's numbers\n",
        _NUMBERS,
        markdown.table(
            ("number", "meaning"),
            (
                (markdown.code(number), name.replace("_", " ").lower())
                for name, number in sorted(numbers().items(), key=itemgetter(1))
            ),
        ),
        "## Outcomes of an attempt without an answer\n",
        "They are no errors of the service: batches and attempts show them as `last_error`.\n",
        markdown.table(
            ("outcome", "meaning"), ((markdown.code(k), v) for k, v in UNANSWERED.items())
        ),
    )


def numbers() -> dict[str, int]:
    """Return EngageLab's error numbers by their names in the source."""
    return {
        name: value
        for name, value in vars(engagelab).items()
        if isinstance(value, int) and 30_000 <= value < 31_000
    }


def classes_below(above: type[tree.PostbellError]) -> Iterator[type[tree.PostbellError]]:
    """Yield *above* and every class below it that stands in `errors.py`."""
    if above.__module__ == tree.__name__:
        yield above
        for each in above.__subclasses__():
            yield from classes_below(each)


def meanings() -> dict[str, str]:
    """Return the line of the tree in `errors.py` for each class."""
    found = {"PostbellError": "any of the below"}
    for line in (tree.__doc__ or "").splitlines():
        name, _, meaning = line.lstrip(" │├└─").partition(" ")
        if hasattr(tree, name):
            found[name] = meaning.strip().partition("  ")[0]
    return found


def raised() -> Iterator[Raised]:
    """Yield every place in the source that names an error code.

    Raises LookupError for a code that is not written out: it could not be documented.
    """
    names = {each.__name__ for each in classes_below(tree.PostbellError)}
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in names:
                codes = [each.value for each in node.keywords if each.arg == "code"]
                message = _text(node.args[0]) if node.args else ""
            elif node.func.id == "document" and len(node.args) > 2:
                codes, message = node.args[1:2], _text(node.args[2])
                if isinstance(codes[0], ast.Attribute | ast.Name):
                    continue  # passes on what an error says
            else:
                continue
            for code in codes:
                for text in _literals(code, f"{path}:{node.lineno}"):
                    yield Raised(text, module, (message.strip("…") and message) or _UNSAID)


def _literals(code: ast.expr, where: str) -> list[str]:
    if isinstance(code, ast.Constant):
        return [str(code.value)]
    if isinstance(code, ast.IfExp):
        return _literals(code.body, where) + _literals(code.orelse, where)
    raise LookupError(f"{where}: write the code as a literal")


def _text(node: ast.expr) -> str:
    """Return a message with `…` for every value in it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"


_UNSAID = "says what is wrong with the value"
_NUMBERS = """`/v1/webhooks` answers `{"code": number, "message": text}`; what has no number of its
own has 30000 plus its HTTP status. An unknown path under `/v1` answers the plain text `not found`.
"""
_TREE = """An error carries a stable `code`, a status and one sentence that names the thing, the
fact and the way out. `/api/v1` answers problem+json; `/v1/webhooks` answers with
[numbers](#engagelabs-numbers); the command line prints the sentence and exits with 2 where the
caller must change something (4xx), else 1.
"""
