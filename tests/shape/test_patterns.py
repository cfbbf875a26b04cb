"""No regular expression takes more than linear time to give a text up: what a customer or a
stranger sends is matched on the loop, and a text of blanks once held it for hours.

Found are two repeats without a bound, with nothing between them that a text must have, that can
take the same character: a text can then be shared out between them in as many ways as it is long.
A repeat of repeats counts, too.  A repeat up to BOUND is none.
"""

import ast
import re
from collections.abc import Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from tests.shape import source

BOUND = 100
ALPHABET = [chr(n) for n in range(128)] + ["é", "\u2028"]
FUNCTIONS = (
    "compile",
    "match",
    "search",
    "fullmatch",
    "sub",
    "subn",
    "split",
    "findall",
    "finditer",
)
REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)


def patterns() -> Iterator[tuple[str, str]]:
    """Yield the module and the text of every expression that is written down."""
    for path, tree in source.trees():
        if path.startswith("storage/sql/"):  # it reads our own statements
            continue
        for node in source.nodes(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                is_of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
                if is_of_re and node.func.attr in FUNCTIONS and node.args:
                    given = node.args[0]
                    if isinstance(given, ast.Constant):
                        text = given.value
                        yield path, text.decode("latin-1") if isinstance(text, bytes) else text
    from postbell import failures

    yield from (("failures.py", pattern) for pattern, _ in failures._BY_TEXT)


def is_open(pattern: str) -> bool:
    """Say whether two repeats of *pattern* can share out one text."""
    return any(_meets(items) for items in _sequences(parser.parse(pattern)))


def _sequences(items: Any) -> Iterator[list[Any]]:
    """Yield each sequence, one for each choice of branches; the body of a repeat twice, since it
    may follow itself."""
    yield from _choices(items)
    for what, value in _flat(items):
        if what in REPEATS:
            if value[1] > BOUND:
                bodies = list(_choices(value[2]))
                yield from (first + then for first in bodies for then in bodies)
            yield from _sequences(value[2])
        elif what is op.BRANCH:
            for branch in value[1]:
                yield from _sequences(branch)


def _choices(items: Any) -> Iterator[list[Any]]:
    """Yield the items, flat, with one branch of each in its place."""
    rows: list[list[Any]] = [[]]
    for what, value in _flat(items):
        ways = (
            [way for branch in value[1] for way in _choices(branch)]
            if what is op.BRANCH
            else [[(what, value)]]
        )
        rows = [row + way for row in rows for way in ways]
    yield from rows


def _flat(items: Any) -> Iterator[tuple[Any, Any]]:
    for what, value in items:
        if what is op.SUBPATTERN:
            yield from _flat(value[3])
        else:
            yield what, value


def _meets(items: list[Any]) -> bool:
    """Say whether a repeat without a bound reaches another that takes the same."""
    for at, (what, value) in enumerate(items):
        if what not in REPEATS or value[1] <= BOUND:
            continue
        mine = _first(value[2])
        for other, (kind, given) in enumerate(items[at + 1 :], at + 1):
            if kind in REPEATS and given[1] > BOUND and mine & _first(given[2]):
                return True
            if not _is_nullable(items[other]):
                break
    return False


def _first(items: Any) -> set[str]:
    """Return the characters of ALPHABET that a text of *items* can begin with."""
    found: set[str] = set()
    for item in _flat(items):
        what, value = item
        if what is op.BRANCH:
            for branch in value[1]:
                found |= _first(branch)
        elif what in REPEATS:
            found |= _first(value[2])
        elif what is not op.AT:
            one = re.compile(parser_text(item), re.DOTALL)
            found |= {char for char in ALPHABET if one.fullmatch(char)}
        if not _is_nullable(item):
            break
    return found


def parser_text(item: tuple[Any, Any]) -> str:
    """Return an expression for one character that *item* takes."""
    what, value = item
    if what is op.LITERAL:
        return re.escape(chr(value))
    if what is op.NOT_LITERAL:
        return f"[^{re.escape(chr(value))}]"
    if what is op.ANY:
        return "."
    assert what is op.IN, what
    return "[" + "".join(_member(*each) for each in value) + "]"


def _member(what: Any, value: Any) -> str:
    if what is op.NEGATE:
        return "^"
    if what is op.LITERAL:
        return re.escape(chr(value))
    if what is op.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return CATEGORIES[value]


CATEGORIES = {
    op.CATEGORY_SPACE: r"\s", op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def _is_nullable(item: tuple[Any, Any]) -> bool:
    what, value = item
    if what in REPEATS:
        return value[0] == 0 or all(_is_nullable(each) for each in _flat(value[2]))
    if what is op.BRANCH:
        return any(all(_is_nullable(each) for each in _flat(branch)) for branch in value[1])
    return what is op.AT


def test_no_expression_shares_a_text_out_between_repeats() -> None:
    found = set(patterns())

    assert len(found) > 50
    assert [(path, pattern) for path, pattern in found if is_open(pattern)] == []


@pytest.mark.parametrize(
    ("pattern", "is_bad"),
    [
        (r'\s*"?([^"<>]{0,998}?)"?\s*<\s*([^<>\s]{1,998})\s*>\s*', True),
        (r"a*a*", True),
        (r"(a+)+b", True),
        (r"(?:a|b+)*c", True),
        (r".*,.*", False),
        (r"\s*=\s*x", False),
        (r"[a-z]+[0-9]*", False),
        (r"(?:,[a-z]*)*", False),
        (r"[a-z]{1,50}[a-z]{1,50}", False),
    ],
)
def test_the_search_finds_what_it_is_for(pattern: str, is_bad: bool) -> None:
    assert is_open(pattern) == is_bad
