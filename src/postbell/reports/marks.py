"""Marks: where a page of a list ends; it tells them as `next`, the page after takes them."""

from postbell.errors import BadInput
from postbell.text.numerals import whole


def read(text: str) -> tuple[int, int]:
    """Return the two numbers of a mark, zeros for an empty one; raise BadInput for none of ours."""
    if not text:
        return 0, 0
    first, _, second = text.partition(".")
    numbers = whole(first), whole(second)
    if numbers[0] is None or numbers[1] is None:
        raise no_mark()
    return numbers[0], numbers[1]


def no_mark() -> BadInput:
    """Return the error for what no list ever returned."""
    return BadInput(
        "after is not a mark that a list returned as next", member="after", reason="mark"
    )
