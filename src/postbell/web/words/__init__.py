"""Message catalogues: one folder a language, one TOML file a subject, keys like `batch.retry`.

A message is text with {names}, or a table of plural forms chosen by *n* (Unicode CLDR's
cardinal rules; `other` where a form is absent).  English is the reference: tests hold the
others to its keys and names.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES: Mapping[str, str] = {"en": "English", "ru": "Русский", "fr": "Français"}
DEFAULT = "en"
FORMS = frozenset(("one", "few", "many", "other"))

Text = str | dict[str, str]


class Words:
    """The messages of one language."""

    def __init__(self, language: str, messages: Mapping[str, Text]) -> None:
        self.language = language
        self.messages = messages

    def __call__(self, key: str, n: int | float | None = None, **names: Any) -> str:
        """Return the message of *key*; raise LookupError for a key that no catalogue has."""
        message = self.messages.get(key)
        if message is None:
            raise LookupError(f"no message {key!r} in the catalogue {self.language}")
        if isinstance(message, dict):
            form = _PLURALS[self.language](n if n is not None else 0)
            message = message.get(form) or message["other"]
        if n is not None:
            names.setdefault("n", n)
        return message.format_map(names) if names else message

    def has(self, key: str) -> bool:
        """Return whether there is a message of this key."""
        return key in self.messages


@cache
def of(language: str) -> Words:
    """Return the messages of a language, English where it has none of its own."""
    found = LANGUAGES if language in LANGUAGES else (DEFAULT,)
    chosen = language if language in found else DEFAULT
    return Words(chosen, _read(chosen))


def read() -> None:
    """Read all catalogues, 20 ms each."""
    for language in LANGUAGES:
        of(language)


def choose(wanted: str, accept: str) -> str:
    """Return *wanted* if it is known, else the best language of an Accept-Language header."""
    if wanted in LANGUAGES:
        return wanted
    ranked = []
    for at, part in enumerate(accept[:500].split(",")):
        tag, _, parameter = part.strip().partition(";")
        weight = _WEIGHT.fullmatch(parameter.strip())
        quality = float(weight[1]) if weight is not None else 1.0
        ranked.append((-quality, at, tag.strip().lower().partition("-")[0]))
    return next(
        (tag for quality, _, tag in sorted(ranked) if quality and tag in LANGUAGES), DEFAULT
    )


def _read(language: str) -> dict[str, Text]:
    messages: dict[str, Text] = {}
    for file in sorted(files(__package__).joinpath(language).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            _add(messages, "", tomllib.loads(file.read_text("utf-8")))
    return messages


def _add(messages: dict[str, Text], prefix: str, table: Mapping[str, Any]) -> None:
    """Add a table's messages under dotted keys; a table of plural forms is one message."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not value.keys() <= FORMS:
            _add(messages, f"{key}.", value)
            continue
        if key in messages:
            raise ValueError(f"the message {key} is there twice")
        messages[key] = value


def _english(n: float) -> str:
    return "one" if n == 1 else "other"


def _french(n: float) -> str:
    return "one" if 0 <= n < 2 else "other"


def _russian(n: float) -> str:
    if n != int(n):
        return "other"
    last, tens = int(n) % 10, int(n) % 100
    if last == 1 and tens != 11:
        return "one"
    return "few" if 2 <= last <= 4 and not 12 <= tens <= 14 else "many"


_PLURALS: Mapping[str, Callable[[float], str]] = {
    "en": _english,
    "ru": _russian,
    "fr": _french,
}


_WEIGHT = re.compile(r"q=([0-9]{1,3}(?:\.[0-9]{0,9})?)")
