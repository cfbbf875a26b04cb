"""What SendPulse's two dialects make of a message's id: a number."""

from xxhash import xxh3_64_intdigest

from postbell.text.numerals import whole

MAX_NUMBER = 2**53 - 1
"""The largest whole number that JavaScript keeps exact."""


def message_number(text: str) -> int:
    """Return the number of a message: 1 to MAX_NUMBER.

    A decimal id in that range stands for itself, any other text is hashed.
    """
    number = whole(text)
    if number is not None and number <= MAX_NUMBER and not text.startswith("0"):
        return number
    return xxh3_64_intdigest(text.encode()) % MAX_NUMBER + 1
