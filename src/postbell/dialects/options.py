"""A dialect's options as a table: checking what a customer set, and the rows of the reference."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from postbell.errors import BadInput


class Option(NamedTuple):
    """One option; *choices* maps the words a customer may write to the values that are kept."""

    name: str
    choices: Mapping[str, str | bool]
    default: str
    meaning: str

    def of(self, options: Mapping[str, Any]) -> str | bool:
        """Return the value in force under checked *options*."""
        value: str | bool = options.get(self.name, self.choices[self.default])
        return value


def words(*names: str) -> dict[str, str | bool]:
    """Return choices that are kept as they are written."""
    return {name: name for name in names}


FLAG: Mapping[str, str | bool] = {"false": False, "true": True}


def check(
    dialect: str, known: Iterable[Option], options: Mapping[str, Any]
) -> dict[str, str | bool]:
    """Return the options that differ from their defaults; raise BadInput for unknown ones."""
    table = {option.name: option for option in known}
    kept = {}
    for name, value in options.items():
        option = table.get(name)
        if option is None:
            takes = f"known: {', '.join(table)}" if table else "it has none"
            raise BadInput(
                f"no option {name!r} in the dialect {dialect}; {takes}",
                member=f"options.{name}",
                reason="unknown_option",
                given=name,
                dialect=dialect,
            )
        word = str(value).lower() if isinstance(value, bool) else value
        if not isinstance(word, str) or word not in option.choices:
            raise BadInput(
                f"options.{name} is {value!r}; {' or '.join(option.choices)} expected",
                member=f"options.{name}",
                reason="choice",
                given=str(value)[:40],
                known=", ".join(option.choices),
            )
        if word != option.default:
            kept[name] = option.choices[word]
    return kept


def rows(known: Iterable[Option]) -> Sequence[tuple[str, str, str, str]]:
    """Return (name, values, default, meaning) of each option."""
    return [
        (option.name, ", ".join(option.choices), option.default, option.meaning) for option in known
    ]
