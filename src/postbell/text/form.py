"""A text as the value of a form field (`application/x-www-form-urlencoded`), and back.

A value of some 100 kB has an escape in every third place: one pass for each byte that is escaped,
and one for all that are read back, is many times as fast as one by one.
"""

import numpy as np

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_PERCENT, _PLUS, _SPACE = b"%+ "
_VALUES = np.zeros(256, np.uint8)
_VALUES[np.frombuffer(b"0123456789ABCDEF", np.uint8)] = np.arange(16)


def _escapes(bytes_: range) -> list[tuple[bytes, bytes]]:
    return [
        (bytes((byte,)), b"%%%02X" % byte)
        for byte in bytes_
        if byte not in _SAFE and byte not in (_PERCENT, _SPACE)
    ]


_ASCII = ((b"%", b"%25"), *_escapes(range(128)), (b" ", b"+"))
"""The percent sign first, since all others make new ones; the blank last, since a plus is none."""
_OTHERS = tuple(_escapes(range(128, 256)))


def encoded(text: bytes) -> bytes:
    """Return UTF-8 *text* as it stands in a form."""
    is_ascii = text.isascii()
    for plain, escape in _ASCII:
        text = text.replace(plain, escape)
    if not is_ascii:
        for plain, escape in _OTHERS:
            text = text.replace(plain, escape)
    return text


def decoded(value: bytes) -> bytes:
    """Return what `encoded` was given."""
    made = np.frombuffer(value, np.uint8).copy()
    escapes = np.flatnonzero(made == _PERCENT)
    made[made == _PLUS] = _SPACE
    made[escapes] = _VALUES[made[escapes + 1]] << 4 | _VALUES[made[escapes + 2]]
    is_kept = np.ones(len(made), bool)
    is_kept[escapes + 1] = is_kept[escapes + 2] = False
    return made[is_kept].tobytes()
