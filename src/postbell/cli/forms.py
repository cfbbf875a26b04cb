"""The members of a webhook as options, and back from options to the members."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from postbell.cli.options import SettingsCommand
from postbell.errors import BadInput
from postbell.policies import MEMBERS

TYPE_HELP = 'Only events of this type; several times or with commas; "all" for every one.'
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

OPTIONS: tuple[Decorator, ...] = (
    click.option("--api-user", help='Only events of this API user; "all" for every one.'),
    click.option(
        "--type",
        "types",
        multiple=True,
        metavar="TYPE",
        help=TYPE_HELP,
    ),
    click.option(
        "--dialect",
        help="Payload dialect; of an unknown one you are told the known ones. [default: native]",
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        help="Option of the dialect, or a JSON object of several; null resets one.",
    ),
    click.option(
        "--policy",
        "policy",
        multiple=True,
        metavar="NAME=VALUE",
        help="Member of the policy, as max_wait_s=1, or a JSON object; null resets one.",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        metavar="NAME:VALUE",
        help="Request header of our own; several times. They replace the ones before.",
    ),
)
CREATE_OPTIONS: tuple[Decorator, ...] = (
    click.option("--start", help="Begin at: now, oldest, or a time. [default: now]"),
    click.option("--secret", help="Sign with this key. [default: a new one is made]"),
)


class FormCommand(SettingsCommand):
    """A command with a webhook's members, whose help has those of a policy, too."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Members of a policy"):
            formatter.write_dl(
                [(row.name, f"{row.meaning.capitalize()}: {row.expected}.") for row in MEMBERS]
            )


def form_options(*further: Decorator) -> Decorator:
    """Give a command the options of a webhook's members, and *further* ones."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed((*OPTIONS, *further)):
            function = option(function)
        return function

    return decorate


def form_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that were given, in the form that the desk takes."""
    form = {name: value for name, value in given.items() if value not in (None, ())}
    for name, read in _READERS.items():
        if name in form:
            form[name] = read(name, form[name])
    return form


def split_types(texts: Sequence[str]) -> list[str] | None:
    """Return the types of an option that is given several times or with commas, None for all."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    return None if names == ["all"] else names


def _types(_name: str, texts: Sequence[str]) -> list[str] | None:
    return split_types(texts)


def _members(name: str, texts: Sequence[str]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                members |= json.loads(text)
            except ValueError as error:
                raise BadInput(f"{name} is not JSON: {error}", member=name) from None
            continue
        member, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"{name} is {text!r}; NAME=VALUE or a JSON object expected", member=name)
        members[member.strip()] = _value(value)
    return members


def _value(text: str) -> Any:
    """Return JSON where *text* is, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _headers(_name: str, texts: Sequence[str]) -> dict[str, str]:
    headers = {}
    for text in texts:
        header, colon, value = text.partition(":")
        if not colon:
            raise BadInput(f"header is {text!r}; NAME:VALUE expected", member="headers")
        headers[header.strip()] = value.strip()
    return headers


_READERS: dict[str, Callable[[str, Sequence[str]], Any]] = {
    "types": _types,
    "options": _members,
    "policy": _members,
    "headers": _headers,
}
