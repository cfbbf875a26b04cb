"""A text as the value of a form field (`application/x-www-form-urlencoded`), and back.

A value of some 100 kB has an escape in every third place: one pass for each byte that is escaped,
and one for all that are read back, is many times as fast as one by one.
"""

from binascii import a2b_qp

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_PERCENT, _SPACE = b"% "
_AS_QUOTED = bytes.maketrans(b"%+", b"= ")
"""Then a form's escapes are those of quoted-printable, which is read in C; no `=` is left in it."""


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
    return a2b_qp(value.translate(_AS_QUOTED))
