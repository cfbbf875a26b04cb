"""Dialects: what each carries, its options, defaults and keys, asked of the dialects themselves."""

from postbell.dialects import DIALECTS
from postbell.events import TYPES
from postbell.policies import RANGES, on_wire
from postbell.ports import Dialect
from postbell.records import Policy
from tools.pages import markdown


def dialects() -> str:
    """Return the page of dialects."""
    return markdown.page(
        "Dialects",
        "`src/postbell/dialects/`",
        "A webhook's dialect decides the words, the payload, the headers and the signature of"
        " what it gets,\nand the policy that it starts with.\n",
        "## Which events each carries\n",
        _carried(),
        *(_about(dialect) for dialect in DIALECTS.values()),
        "## Policy\n",
        _POLICY,
        markdown.table(
            ("member", "values", *map(markdown.code, DIALECTS)),
            (
                (
                    markdown.code(name),
                    _values(name),
                    *(_shown(dialect.policy({}), name) for dialect in DIALECTS.values()),
                )
                for name in Policy.__struct_fields__
            ),
        ),
    )


def _carried() -> str:
    return markdown.table(
        ("type", *map(markdown.code, DIALECTS)),
        (
            (
                markdown.code(row.type),
                *("yes" if row.type in each.carries({}) else "" for each in DIALECTS.values()),
            )
            for row in TYPES
        ),
    )


def _about(dialect: Dialect) -> str:
    keys = ", ".join(markdown.code(kind) for kind in dialect.secret_kinds) or "none"
    overlap = "several signatures a request" if dialect.signs_with_several else "one at a time"
    rows = dialect.option_rows()
    options = (
        markdown.table(
            ("option", "values", "default", "meaning"),
            ((markdown.code(name), *rest) for name, *rest in rows),
        )
        if rows
        else "It has no options.\n"
    )
    return "\n".join(
        (
            f"## `{dialect.name}`: {dialect.title}\n",
            f"- content type: `{dialect.content_type}`",
            f"- kinds of signing key: {keys}{'; ' + overlap if dialect.secret_kinds else ''}\n",
            options,
        )
    )


def _values(name: str) -> str:
    if name in RANGES:
        low, high, unit = RANGES[name]
        return f"{low:g} to {high:,.10g} {unit}"
    return _WORDS[name]


def _shown(policy: Policy, name: str) -> str:
    value = on_wire(policy)[name]
    if isinstance(value, list | tuple):
        return ", ".join(f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


_WORDS = {
    "success": 'list of status codes, or "2xx"',
    "refused": "list of status codes that park a batch at once",
    "retry_waits_s": "list of at most 50 waits in seconds",
    "ordered": "true or false: one batch at a time, in order",
    "split_failing": "true or false: the last attempts of a batch split it whatever the failure is,"
    " while others are taken",
}
_POLICY = """The defaults; an operator changes them for an installation with the setting `policy`
([settings](settings.md)), a customer for one webhook with its member `policy`.
"""
