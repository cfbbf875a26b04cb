"""Printing records: aligned tables for people, one JSON value for programs."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from postbell.text.numerals import is_digits
from postbell.text.printable import escaped, one_line

if TYPE_CHECKING:
    from msgspec import Struct

Record: TypeAlias = "Mapping[str, Any] | Struct"
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_records(
    records: Sequence[Record], columns: Sequence[str], *, as_json: bool, empty: str
) -> None:
    """Print a list: one JSON array, or a table of *columns*, or the sentence *empty*."""
    if as_json:
        print_json(list(records))
    elif records:
        rows = map(members, records)
        print_table([[text(row.get(name)) for name in columns] for row in rows], columns)
    else:
        click.echo(empty)


def print_record(record: Record, *, as_json: bool) -> None:
    """Print one record: one JSON object, or a line for each member."""
    if as_json:
        print_json(record)
        return
    shown = members(record)
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{one_line(name):<{width}}  {text(value)}".rstrip())


def members(record: Record) -> dict[str, Any]:
    """Return the members of a record by name; of a struct as JSON has them."""
    if isinstance(record, Mapping):
        return dict(record)
    from postbell.plain import plain

    found: dict[str, Any] = plain(record)
    return found


def say(sentence: str) -> None:
    """Print a sentence that names what others, or a file, may be called."""
    click.echo(one_line(sentence))


def print_table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Print rows under headings, figures to the right; a line is never cut."""
    heads = [name.replace("_", " ").upper() for name in columns]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    is_number = [
        all(is_digits(cell.replace(".", "").replace("-", "")) or not cell for cell in column)
        for column in zip(*rows, strict=True)
    ]
    for row in (heads, *rows):
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def print_json(value: Any) -> None:
    """Print *value* as JSON on one line, in which nothing can steer a terminal."""
    import msgspec

    from postbell.plain import plain

    sys.stdout.write(escaped(msgspec.json.encode(plain(value)).decode()) + "\n")
    sys.stdout.flush()


def text(value: Any) -> str:
    """Return *value* as one line for people, without control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, list | tuple):
        between = "; " if any(isinstance(inner, dict) for inner in value) else ", "
        return between.join(map(_member, value))
    if isinstance(value, dict):
        given = {
            one_line(str(name)): text(inner) for name, inner in value.items() if inner is not None
        }
        return ", ".join(f"{name}={inner}" for name, inner in given.items())
    return one_line(str(value))


def _member(value: Any) -> str:
    """Return a member of a list; a pair is a name and its value."""
    return ": ".join(map(text, value)) if isinstance(value, list | tuple) else text(value)
