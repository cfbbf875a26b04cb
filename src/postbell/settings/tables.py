"""Settings that are a table of named things, each an object: `[policy.native]` in the file,
`POSTBELL_POLICY_NATIVE={...}` in the environment, `--policy native={...}` as a flag."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from postbell.errors import BadInput
from postbell.settings.values import PREFIX

TABLES = {"policy": "DIALECT", "source": "NAME"}
"""These settings, and what the name of one of their things is."""

CheckMembers = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Return the members of what has this name, checked; raise BadInput."""


def prefix(setting: str) -> str:
    """Return what comes before a name in variables of the environment."""
    return f"{PREFIX}{setting.upper()}_"


def variable(setting: str, name: str) -> str:
    return prefix(setting) + name.upper().replace("-", "_")


def named_by(variable: str) -> tuple[str, str] | None:
    """Return the setting and the name that a variable of the environment is of."""
    for setting in TABLES:
        name = variable.removeprefix(prefix(setting))
        if name != variable:
            return setting, name.lower().replace("_", "-")
    return None


def pair(setting: str, text: str) -> tuple[str, str]:
    """Return the name and the object that a flag gives."""
    name, equals, members = text.partition("=")
    if not equals:
        raise BadInput(f"--{setting} is {text!r}; {TABLES[setting]}=JSON expected", member=setting)
    return name, members


def check_table(setting: str, value: Any, where: str) -> None:
    """Raise BadInput unless *value* is such a table, of tables."""
    if not isinstance(value, dict):
        raise BadInput(
            f"{setting} in {where} is not a table [{setting}.{TABLES[setting]}]", member=setting
        )
    for name, members in value.items():
        if not isinstance(members, dict):
            table = f"[{setting}.{TABLES[setting]}]"
            raise BadInput(
                f"{name!r} of {setting} in {where} stands in no table {table}", member=setting
            )


def read(setting: str, name: str, members: Any, where: str, check: CheckMembers) -> dict[str, Any]:
    """Return the members of one thing, an object or its JSON; raise BadInput that says *where*
    they come from."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{setting} {name!r} from {where}: a name of 1 to 40 of a-z 0-9 and - expected",
            member=setting,
        )
    if isinstance(members, str):
        try:
            members = msgspec.json.decode(members)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadInput(
                f"{setting}.{name} from {where} is not JSON: {error}", member=setting
            ) from None
    if not isinstance(members, dict):
        raise BadInput(
            f"{setting}.{name} from {where} is not an object of {setting} members", member=setting
        )
    try:
        return check(name, members)
    except BadInput as error:
        raise BadInput(
            f"{setting}.{name} from {where}: {error.message}", member=error.member
        ) from None


_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
