"""Finding words in a long text: the lines that have them, marked, with their neighbours."""

from typing import NamedTuple

from markupsafe import Markup, escape

AROUND = 2
MAX_PLACES = 25
NEXT = Markup("\n")
GAP = Markup("\n  ⋮\n")


class Places(NamedTuple):
    """How many lines have what was looked for, and the first of them with those around them."""

    lines: int
    text: Markup
    is_cut: bool


def places(text: str, wanted: str) -> Places:
    """Return where *wanted* stands in *text*, whatever its case; nothing for an empty word."""
    lines = text.splitlines()
    small = wanted.casefold()
    found = [at for at, line in enumerate(lines) if small in line.casefold()] if small else []
    shown = found[:MAX_PLACES]
    near = sorted(
        {
            line
            for at in shown
            for line in range(max(at - AROUND, 0), min(at + AROUND + 1, len(lines)))
        }
    )
    parts: list[Markup] = []
    for before, at in zip([-1, *near], near, strict=False):
        between = GAP if at > before + 1 else NEXT if parts else Markup("")
        parts.append(between + _marked(lines[at], wanted))
    return Places(len(found), Markup("").join(parts), len(found) > len(shown))


def _marked(line: str, wanted: str) -> Markup:
    """Return the line escaped, each occurrence of *wanted* marked."""
    small, low = wanted.casefold(), line.casefold()
    if len(low) != len(line):
        return escape(line)
    parts, at = [], 0
    while (start := low.find(small, at)) >= 0:
        end = start + len(wanted)
        parts.append(escape(line[at:start]) + Markup("<mark>{}</mark>").format(line[start:end]))
        at = end
    return Markup("").join([*parts, escape(line[at:])])
