"""Dialects: what each carries, its options, defaults and keys, asked of the dialects themselves."""

from postbell.dialects import DIALECTS
from postbell.events import TYPES
from postbell.policies import MEMBERS, Member, on_wire
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
            ("member", "values", "meaning", *map(markdown.code, DIALECTS)),
            (
                (
                    markdown.code(row.name),
                    row.expected,
                    row.meaning,
                    *(_shown(dialect.policy({}), row) for dialect in DIALECTS.values()),
                )
                for row in MEMBERS
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


def _shown(policy: Policy, row: Member) -> str:
    value = getattr(on_wire(policy), row.name)
    if isinstance(value, list | tuple):
        return ", ".join(f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


_POLICY = """The defaults; an operator changes them for an installation with the setting `policy`
([settings](settings.md)), a customer for one webhook with its member `policy`.
"""
