"""Settings as flags of a command: `@with_settings("storage")` adds them and hands over the
settings in force as the first argument."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from postbell.errors import BadInput
from postbell.settings.members import SETTINGS, Loaded, load
from postbell.settings.tables import TABLES, pair
from postbell.settings.values import Setting


class SettingsCommand(click.Command):
    """A command whose help shows its settings apart from its own options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_options(self, ctx, formatter)


class SettingsGroup(click.Group):
    """The same, of a command that has others below it."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def _format_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    own: list[tuple[str, str]] = []
    settings: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            (settings if isinstance(parameter, SettingOption) else own).append(record)
    for title, rows in (("Options", own), ("Settings", settings)):
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


class SettingOption(click.Option):
    """A flag that is a setting."""


def with_settings(*scopes: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the flags of these scopes (and of the log), and the settings in force."""
    chosen = [row for row in SETTINGS if row.row.scope in (*scopes, "log")]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            flags = {row.name: kwargs.pop(_parameter(row)) for row in chosen}
            loaded = _load(flags, kwargs.pop("config"), kwargs.pop("profile"))
            return function(loaded.settings, *args, **kwargs)

        decorated: Callable[..., Any] = wrapper
        for row in reversed(chosen):
            decorated = _flag(row)(decorated)
        for option in reversed(_FILE_OPTIONS):
            decorated = option(decorated)
        return decorated

    return decorate


def _load(flags: Mapping[str, Any], config: Path | None, profile: str | None) -> Loaded:
    from postbell import signals

    above = click.get_current_context().find_root().params
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    for name in TABLES & given.keys():
        given[name] = dict(pair(name, text) for text in given[name])
    loaded = load(
        given,
        os.environ,
        config=config or above.get("config"),
        profile=profile or above.get("profile") or "",
        check_policy=_check_policy,
        check_source=_check_source,
        check_database=_check_database,
    )
    if "default_dialect" in loaded.given:
        _check_dialect(loaded.settings.default_dialect)
    signals.configure(loaded.settings.log_format, loaded.settings.log_level)
    for warning in loaded.warnings:
        signals.log("setting_ignored", message=warning)
    click.get_current_context().meta["postbell.given"] = loaded.given
    return loaded


def given() -> frozenset[str]:
    """Return the names of the settings that somebody set, in the running command."""
    found: frozenset[str] = click.get_current_context().meta["postbell.given"]
    return found


def _check_dialect(name: str) -> None:
    from postbell import dialects

    try:
        dialects.find(name)
    except BadInput as error:
        raise BadInput(f"default_dialect: {error.message}", member="default_dialect") from None


def _check_database(url: str) -> str:
    from postbell.storage.engines import problem

    return problem(url)


def _check_policy(dialect: str, members: Mapping[str, Any]) -> dict[str, Any]:
    from postbell import dialects
    from postbell.policies import check_members

    dialects.find(dialect)
    return check_members(members)


def _check_source(_name: str, members: Mapping[str, Any]) -> dict[str, Any]:
    from postbell import sources

    sources.open(members)
    return dict(members)


def _flag(row: Setting) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        row.flag,
        _parameter(row),
        cls=SettingOption,
        multiple=row.name in TABLES,
        metavar=row.values if row.row.choices else row.metavar,
        help=row.row.help[:1].upper() + row.row.help[1:] + ".",
    )


def _parameter(row: Setting) -> str:
    return "setting_" + row.name


_FILE_OPTIONS = (
    click.option(
        "--config",
        cls=SettingOption,
        type=click.Path(path_type=Path, dir_okay=False),
        help="TOML file of settings.",
    ),
    click.option(
        "--profile", cls=SettingOption, metavar="NAME", help="Profile of that file: a data centre."
    ),
)
