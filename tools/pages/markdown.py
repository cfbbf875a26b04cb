"""Small pieces of Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; bars inside cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [
        "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    """Return *text* as code, nothing for an empty one."""
    return f"`{text}`" if str(text) else ""


def first_sentence(docstring: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((docstring or "").strip().partition("\n\n")[0].split())


def page(title: str, source: str, *parts: str) -> str:
    """Return a whole page; *source* says what it is generated from."""
    return "\n".join((f"# {title}\n", f"Generated from {source} by `./do docs`.\n", *parts))
