"""Errors in the reader's language: a text for every reason that a page can show."""

import ast
import functools
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from postbell import errors
from postbell.web import words
from postbell.web.problems import FAMILIES, explain
from tests.shape import source

FOR_MACHINES = (
    "api/", "audit/", "cli/", "delivery/", "desk/auth.py", "dialects/endpoint.py",
    "dialects/engagelab/codes.py", "dialects/engagelab/routes.py", "dialects/sendpulse_api/",
    "dialects/standard.py", "index/", "ingest/", "lane/", "mta/", "operating/mailing.py",
    "reading/", "sealing.py", "serving/opening.py", "serving/tls.py", "settings/", "sources/",
    "duties.py", "storage/bounds.py", "storage/copying.py", "storage/engines.py",
    "storage/memory/database.py",
    "storage/memory/engine.py", "storage/memory/log.py",
    "storage/postgres/", "storage/sql/migrations.py", "storage/sql/tables.py",
    "storage/sqlite/backup.py",
    "storage/sqlite/database.py", "storage/sqlite/locking.py", "storage/sql/log.py",
    "storage/sqlite/restoring.py", "storage/sqlite/tables.py", "text/encodings.py",
    "text/sheets.py",
    "verp.py", "wire/addresses.py",
)  # fmt: skip
"""Modules whose errors no page shows: APIs, the command line, ingest and the log tell them."""

OWN = frozenset(("member", "code", "status", "reason", "retry_after_s"))
TREE = {
    name: each
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, errors.PostbellError)
}


class Site(NamedTuple):
    """A place that makes an error: its class, its possible reasons, the names of its values."""

    where: str
    kind: str
    reasons: tuple[str, ...]
    values: frozenset[str]


def literals(node: ast.expr | None, module: ast.Module) -> tuple[str, ...]:
    """Return what an argument can be; a name stands for what the module's tables have for it."""
    match node:
        case None:
            return ()
        case ast.Constant(value=str(text)):
            return (text,)
        case ast.IfExp():
            return literals(node.body, module) + literals(node.orelse, module)
        case ast.Name():
            tables = [each for each in module.body if isinstance(each, ast.Assign)]
            texts = [n.value for t in tables for n in ast.walk(t) if isinstance(n, ast.Constant)]
            return tuple(t for t in texts if isinstance(t, str) and re.fullmatch(r"[a-z]+_\w+", t))
        case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get"), args=[_, default]):
            return table_values(table, module) + literals(default, module)
        case _:
            raise AssertionError(f"write the reason as a literal: {ast.unparse(node)}")


def table_values(name: str, module: ast.Module) -> tuple[str, ...]:
    """Return the values of a table of the module: what names stand for."""
    [table] = [
        each.value
        for each in module.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and each.target.id == name
        and isinstance(each.value, ast.Dict)
    ]
    return tuple(text for each in table.values for text in literals(each, module))


def makers(module: ast.Module) -> dict[str, str]:
    """Return the module's functions that make an error of a reason given to them, by name."""
    found = {}
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and any(
            each.arg == "reason" for each in node.args.kwonlyargs
        ):
            [made] = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & TREE.keys()
            found[node.name] = made
    return found


@functools.cache
def sites() -> list[Site]:
    """Return every place whose error a page can show."""
    found: list[Site] = []
    for path in sorted(source.FOLDER.rglob("*.py")):
        name = path.relative_to(source.FOLDER).as_posix()
        if name == "errors.py" or name.startswith(FOR_MACHINES):
            continue
        found += sites_of(path, name)
    return found


def sites_of(path: Path, name: str) -> Iterator[Site]:
    module = ast.parse(path.read_text("utf-8"))
    made_by = makers(module)
    inside = {
        id(call)
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name in made_by
        for call in ast.walk(node)
    }
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        kind = made_by.get(node.func.id, node.func.id)
        if kind not in TREE or not node.args or id(node) in inside:
            continue
        given = {each.arg: each.value for each in node.keywords if each.arg}
        reasons = literals(given.get("reason"), module) or literals(given.get("code"), module)
        yield Site(f"{name}:{node.lineno}", kind, reasons, frozenset(given) - OWN)


def names_in(message: words.Text) -> set[str]:
    forms = message.values() if isinstance(message, dict) else [message]
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_reason_that_a_page_can_show_has_a_text(language: str) -> None:
    say = words.of(language)

    untold = [
        f"{site.where}: {reason}"
        for site in sites()
        for reason in site.reasons or (TREE[site.kind].code,)
        if not say.has(f"wrong.{reason}")
    ]

    assert len(sites()) > 100
    assert untold == []


def test_what_a_person_can_mend_says_more_than_its_kind() -> None:
    vague = [s.where for s in sites() if s.kind in ("BadInput", "Conflict") and not s.reasons]

    assert vague == []


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_text_names_only_what_every_place_of_its_reason_gives(language: str) -> None:
    messages = words.of(language).messages

    unfilled = [
        f"{site.where}: {reason}: {sorted(names_in(messages[f'wrong.{reason}']) - site.values)}"
        for site in sites()
        for reason in site.reasons
        if names_in(messages[f"wrong.{reason}"]) - site.values
    ]

    assert unfilled == []


def test_no_text_is_kept_for_a_reason_that_nothing_has() -> None:
    used = {reason for site in sites() for reason in site.reasons}
    kinds = {each.code for each in TREE.values()}
    kept = {key.partition(".")[2] for key in words.of("en").messages if key.startswith("wrong.")}

    assert kept - used - kinds - {"stale_form", "foreign_page"} == set()


@pytest.mark.parametrize("kind", TREE)
@pytest.mark.parametrize("language", words.LANGUAGES)
def test_an_error_without_a_text_of_its_own_says_its_kind(kind: str, language: str) -> None:
    error = TREE[kind]("the English sentence", reason="made_up")

    said = explain(words.of(language), error)

    assert said in words.of(language).messages.values()
    assert "English" not in said


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "The password has 5 characters; 10 to 1,256 are needed."),
        ("ru", "Символов в пароле: 5, а нужно от 10 до 1\u00a0256."),
        ("fr", "Le mot de passe a 5 caractères ; il en faut de 10 à 1\u202f256."),
    ],
)
def test_numbers_are_written_as_the_language_writes_them(language: str, said: str) -> None:
    error = errors.BadInput("…", code="password_length", count=5, low=10, high=1256.0)

    assert explain(words.of(language), error) == said


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "The URL did not answer GET: no answer in time. Status 200 is needed."),
        ("ru", "URL не ответил на GET: нет ответа вовремя. Нужен код 200."),
        ("fr", "L’URL n’a pas répondu à GET : pas de réponse à temps. Il faut le code 200."),
    ],
)
def test_a_value_that_is_a_word_is_translated_too(language: str, said: str) -> None:
    error = errors.BadInput("…", reason="url_check_error", method="GET", error="timeout")

    assert FAMILIES.keys() <= {name for site in sites() for name in site.values}
    assert explain(words.of(language), error) == said


@pytest.mark.parametrize(("minutes", "said"), [(1, "минуту"), (3, "минуты"), (15, "минут")])
def test_a_count_agrees_with_its_noun(minutes: int, said: str) -> None:
    error = errors.TooMany("…", reason="too_many_tries", count=minutes)

    assert explain(words.of("ru"), error).endswith(f"{minutes} {said}.")
