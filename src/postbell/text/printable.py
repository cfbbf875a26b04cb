"""Text of others, made safe for a terminal.

Control characters (C0, C1, ESC among them) move the cursor or change what a terminal does;
bidirectional and invisible ones make a line read as something else.  Nothing of customers or
receivers is printed without one of these.
"""

import sys


def one_line(text: str) -> str:
    """Return *text* with a "?" for each character that is not simply shown, line breaks too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def escaped(json: str) -> str:
    r"""Return JSON text of the same value in which what is not simply shown stands as \uXXXX.

    JSON itself leaves everything from U+007F on as it is.  Line breaks stay: outside strings they
    are layout, inside there are none.
    """
    if json.isprintable() or (json.isascii() and "\x7f" not in json):
        return json
    return "".join(c if c.isprintable() or c == "\n" else _units(c) for c in json)


class Stderr:
    """What is stderr at each write: who put another in its place may close it again."""

    @staticmethod
    def write(text: str) -> None:
        sys.stderr.write(text)

    @staticmethod
    def flush() -> None:
        sys.stderr.flush()


def _units(character: str) -> str:
    number = ord(character)
    if number < 0x10000:
        return f"\\u{number:04x}"
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
