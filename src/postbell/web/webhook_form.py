"""The form of a webhook: where to, for whom, which events, how.

What was typed is kept as typed; `members` turns it into what the desk takes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from postbell import policies
from postbell.desk import Desk
from postbell.desk.forms import DEFAULT_DIALECT
from postbell.errors import BadInput
from postbell.events import EventType
from postbell.policies import MEMBERS
from postbell.ports import Dialect, Tick
from postbell.records import ALL, Webhook
from postbell.web import boxes
from postbell.web.forms import Form
from postbell.web.merging import BASE
from postbell.web.words import Words

FORMAT = "format"
"""The name of the buttons that ask for the form in the words of another dialect."""


@dataclass(slots=True)
class Typed:
    """The fields as they stand in the form; *words* are the ticked ones.

    *base* is what the form was rendered from (`merging`), *collides*: somebody else changed what
    was changed here.
    """

    url: str = ""
    api_user: str = ALL
    dialect: str = DEFAULT_DIALECT
    words: set[str] = field(default_factory=set)
    options: dict[str, str] = field(default_factory=dict)
    policy: dict[str, str] = field(default_factory=dict)
    headers: str = ""
    start: str = "now"
    secret: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    base: str = ""
    collides: bool = False


def blank(desk: Desk, dialect: str = DEFAULT_DIALECT) -> Typed:
    """Return the form of a new webhook: what the provider's own form offers is ticked."""
    name = dialect if dialect in desk.dialects else DEFAULT_DIALECT
    ticks = desk.dialects[name].ticks({})
    return Typed(dialect=name, words={tick.word for tick in ticks if not tick.is_further})


def stored(desk: Desk, webhook: Webhook) -> Typed:
    """Return the form of an existing webhook."""
    dialect = desk.dialects[webhook.dialect]
    return Typed(
        url=webhook.url,
        api_user=webhook.api_user,
        dialect=webhook.dialect,
        words=words_of(dialect.ticks(webhook.options), webhook.types),
        options={name: _option(value) for name, value in webhook.options.items()},
        policy={name: boxes.written(name, value) for name, value in webhook.policy.items()},
        headers="\n".join(f"{name}: {value}" for name, value in webhook.headers),
    )


def typed(form: Form) -> Typed:
    """Return what a browser sent."""
    return Typed(
        url=form.text("url"),
        api_user=form.text("api_user", ALL) or ALL,
        dialect=form.text(FORMAT) or form.text("dialect", DEFAULT_DIALECT),
        words=set(form.all("types")),
        options=form.starting("options."),
        policy={name: text for name, text in form.starting("policy.").items() if text},
        headers=form.raw("headers"),
        start=form.text("start", "now"),
        secret=form.text("secret"),
        base=form.raw(BASE),
    )


def fields_of(desk: Desk, values: Typed, users: Collection[str]) -> dict[str, str]:
    """Return the form as its fields, each as a browser sends it where nobody touched it.

    *users* are the api users that can be chosen.
    """
    dialect = desk.dialects.get(values.dialect)
    rows = dialect.option_rows() if dialect is not None else ()
    options = {name: values.options.get(name) or default for name, _, default, _ in rows}
    return {
        "url": values.url,
        "api_user": values.api_user if values.api_user in users else ALL,
        "dialect": values.dialect,
        "types": " ".join(sorted(values.words)),
        "headers": "\n".join(line.strip() for line in values.headers.splitlines() if line.strip()),
        **{f"options.{name}": text for name, text in options.items()},
        **{f"policy.{name}": text for name, text in values.policy.items()},
    }


def of_fields(fields: Mapping[str, str]) -> Typed:
    """Return the form that has these fields."""
    return Typed(
        url=fields.get("url", ""),
        api_user=fields.get("api_user", ALL),
        dialect=fields.get("dialect", ""),
        words=set(fields.get("types", "").split()),
        headers=fields.get("headers", ""),
        options=_under("options.", fields),
        policy=_under("policy.", fields),
    )


def _under(prefix: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(prefix): text
        for name, text in fields.items()
        if name.startswith(prefix) and text
    }


def words_of(ticks: Sequence[Tick], types: Sequence[EventType] | None) -> set[str]:
    """Return the words that have at least one of these types; all of them for None."""
    return {
        tick.word for tick in ticks if types is None or any(kind in types for kind in tick.types)
    }


def change_dialect(desk: Desk, values: Typed) -> Typed:
    """Return the form after another dialect was chosen: its words, none of the old options."""
    fresh = blank(desk, values.dialect)
    values.words = fresh.words
    values.options = {}
    return values


def members(values: Typed, desk: Desk, say: Words, before: Webhook | None = None) -> dict[str, Any]:
    """Return the members for the desk; what cannot be read is noted in *values.problems*.

    For an existing webhook (*before*) fields that were emptied are reset to their defaults, and
    types stay as they are unless their ticks were changed.
    """
    made: dict[str, Any] = {
        "url": values.url,
        "api_user": values.api_user,
        "dialect": values.dialect,
        "headers": _headers(values, say),
        "policy": _policy(values, say, before),
    }
    dialect = desk.dialects.get(values.dialect)
    if dialect is None:
        return made
    known = {name for name, *_ in dialect.option_rows()}
    made["options"] = {name: text for name, text in values.options.items() if name in known}
    is_untouched = (
        before is not None
        and before.dialect == values.dialect
        and words_of(dialect.ticks(before.options), before.types) == values.words
    )
    if not is_untouched:
        made["types"] = _types(values, dialect, made["options"], say)
    if before is None:
        made["start"] = values.start
        if values.secret:
            made["secret"] = values.secret
    return made


def _types(
    values: Typed, dialect: Dialect, options: Mapping[str, str], say: Words
) -> list[str] | None:
    """Return the types of the ticked words, None where all are ticked.

    A word that the dialect does not have is a problem: leaving it out would subscribe to less
    than was ticked.
    """
    foreign = values.words - {tick.word for tick in dialect.ticks({})}
    if foreign:
        shown = ", ".join(sorted(foreign))[:200]
        values.problems["types"] = say("form.foreign_words", words=shown, title=dialect.title)
    try:
        ticks = dialect.ticks(dialect.check_options(options))
    except BadInput:
        ticks = dialect.ticks({})
    if ticks and values.words >= {tick.word for tick in ticks}:
        return None
    return [kind.value for tick in ticks if tick.word in values.words for kind in tick.types]


def _headers(values: Typed, say: Words) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in values.headers.splitlines():
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon:
            values.problems["headers"] = say("form.bad_header", line=line.strip()[:60])
        headers[name.strip()] = value.strip()
    return headers


def _policy(values: Typed, say: Words, before: Webhook | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in values.policy.items():
        try:
            found[name] = boxes.read(name, text)
        except ValueError:
            values.problems[f"policy.{name}"] = say(boxes.complaint(name), text=text[:40])
    if before is not None:
        found = dict.fromkeys(before.policy) | found
    return found


def defaults(desk: Desk, values: Typed) -> dict[str, str]:
    """Return what holds where a box is left empty, as one would write it there."""
    dialect = desk.dialects.get(values.dialect) or desk.dialects[DEFAULT_DIALECT]
    try:
        options = dialect.check_options(values.options)
    except BadInput:
        options = {}
    policy = policies.effective(
        dialect, options, desk.installation_policies.get(dialect.name, {}), {}
    )
    return {row.name: boxes.written(row.name, getattr(policy, row.name)) for row in MEMBERS}


def _option(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
