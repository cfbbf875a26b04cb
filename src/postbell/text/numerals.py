"""Whole numbers out of what others wrote, the one way there is.

`str.isdigit` says yes to superscripts, which `int` refuses; both take digits of every script, and
as many as there are: a number that no database holds is as little one as a word.
"""

MAX_DIGITS = 18
"""All numbers of so many digits fit into 64 bits."""


def whole(text: str | bytes) -> int | None:
    """Return the number that *text* spells in up to 18 ASCII digits, None for anything else."""
    return int(text) if is_digits(text) and len(text) <= MAX_DIGITS else None


def is_digits(text: str | bytes) -> bool:
    """Say whether *text* is ASCII digits, however many, and nothing else."""
    return text.isascii() and text.isdigit()
