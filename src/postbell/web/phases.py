"""How long each phase of an attempt took, as a bar and in figures."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

PHASES = ("dns", "connect", "tls", "first_byte", "total")
HEIGHT = 10


class Phase(NamedTuple):
    """One phase, by the name that the catalogues have."""

    name: str
    ms: float
    swatch: Markup


class Drawn(NamedTuple):
    svg: Markup
    rows: Sequence[Phase]


def drawn(phases_ms: Sequence[float]) -> Drawn:
    """Return the bar of an attempt whose phases ended after these milliseconds.

    They are counted from its begin: DNS, connect, TLS, first byte, all; a connection that was
    already open has zeros before the first byte.
    """
    total = phases_ms[-1] if phases_ms else 0.0
    rows, parts, before = [], [], 0.0
    for name, end in zip(PHASES, phases_ms, strict=False):
        took = end - before
        is_all = name == "total"
        rows.append(Phase(name, end if is_all else took, Markup("") if is_all else _swatch(name)))
        if took > 0 and total > 0:
            kind = "rest" if is_all else name
            parts.append(
                Markup('<rect class="p-{}" x="{:.2f}%" width="{:.2f}%" height="{}"/>').format(
                    kind, before / total * 100, took / total * 100, HEIGHT
                )
            )
        before = end
    if not parts:
        return Drawn(Markup(""), rows)
    svg = Markup('<svg class="course-bar" width="100%" height="{}" aria-hidden="true">{}</svg>')
    return Drawn(svg.format(HEIGHT, Markup("").join(parts)), rows)


def _swatch(name: str) -> Markup:
    return Markup(
        '<svg class="swatch" width="10" height="10" aria-hidden="true">'
        '<rect class="p-{}" width="10" height="10" rx="2"/></svg>'
    ).format(name)
