"""The command line: every command and option, from click's own tree."""

from collections.abc import Iterator

import click

from postbell.cli.options import SettingOption
from postbell.cli.root import root
from tools.pages import markdown


def cli() -> str:
    """Return the page of the command line."""
    parts = [_INTRODUCTION]
    for path, command in commands():
        parts.append(f"## `{path}`\n")
        parts.append(_about(path, command))
    return markdown.page("Command line", "`src/postbell/cli/`", *parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command below the root with its words, groups before their members."""
    yield from _walk(root, "postbell", click.Context(root, info_name="postbell"))


def _walk(
    command: click.Command, path: str, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, f"{path} lists {name}, and has no such command"
            if not found.hidden:
                below = click.Context(found, info_name=name, parent=context)
                yield from _walk(found, f"{path} {name}", below)


def _about(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"{_help(command)}\n", f"    {path} {usage}\n"]
    options = [each for each in command.params if isinstance(each, click.Option)]
    own = [each for each in options if not isinstance(each, SettingOption)]
    rows = []
    for option in own:
        record = option.get_help_record(context)
        if record is not None:
            rows.append((markdown.code(record[0]), record[1]))
    if rows:
        parts.append(markdown.table(("option", "meaning"), rows))
    settings = sorted(each.opts[0] for each in options if isinstance(each, SettingOption))
    if settings:
        shown = ", ".join(map(markdown.code, settings))
        parts.append(f"[Settings](settings.md): {shown}.\n")
    return "\n".join(parts)


def _help(command: click.Command) -> str:
    paragraphs = (command.help or "").replace("\b", "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


_INTRODUCTION = """Errors are one sentence on stderr. Exit status: 0 done, 1 it failed, 2 the call
was wrong, 130 ended by Ctrl-C. Every command has `--help`.
"""
