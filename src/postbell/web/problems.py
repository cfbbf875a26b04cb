"""What is wrong with a form, in the viewer's language, beside the field that it concerns.

An error has a reason and named values; the catalogues have a text for each reason that a page
can show (`words/*/wrong.toml`).
"""

from collections.abc import Mapping

from postbell.errors import BadInput, PostbellError, ServiceError, Value
from postbell.web.formats import Format, written
from postbell.web.words import Words

Errors = Mapping[str, str]

FAMILIES = {"error": "error"}
"""Values that are words with a text of their own, by name: where the catalogue has them."""


def explain(say: Words, error: PostbellError) -> str:
    """Return what went wrong and what to do, in the viewer's language."""
    others = (error.code, "internal" if isinstance(error, ServiceError) else "bad_input")
    reason = next(each for each in (error.reason, *others) if say.has(f"wrong.{each}"))
    values = {name: _shown(say, name, value) for name, value in error.values.items()}
    n = error.values.get("count", 0)
    return say(f"wrong.{reason}", n=n if isinstance(n, int) else 0, **values)


def beside(say: Words, error: PostbellError) -> dict[str, str]:
    """Return the message under the name of the field that it belongs to, "" for the form."""
    member = getattr(error, "member", "")
    return {member: explain(say, error)}


def shared_times(
    say: Words, write: Format, filters: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return *filters* with `since` and `until` as others can open them, and what is wrong in
    those two, by name."""
    exact, problems = dict(filters), {}
    for name in ("since", "until"):
        try:
            exact[name] = write.shared_moment(filters[name], name)
        except BadInput as error:
            problems[name] = explain(say, error)
    return exact, problems


def _shown(say: Words, name: str, value: Value) -> str:
    key = f"{FAMILIES.get(name, '')}.{value}"
    if say.has(key):
        return say(key)
    return value if isinstance(value, str) else written(say.language, value)
