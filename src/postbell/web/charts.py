"""Small charts as SVG, drawn on the server: bars that stand on one another, lines, spark lines.

Time runs to the right, counts begin at zero, what is not known is a gap.  Colours are classes
(static/charts.css), since pages allow no inline style.  The plot stretches with the page: its
user space is as high as its pixels, and stripes run across, so that stretching bends neither.
"""

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from typing import NamedTuple

from markupsafe import Markup

UNIT = 10
BAR = 8
TOP = 18
PLOT = 150
BOTTOM = 22
SPARK_HEIGHT = 24
STEPS = (1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
Values = Sequence[float | None]
Numbers = Callable[[float], str]
"""How figures of the y axis are written."""


class Layer(NamedTuple):
    """Values of one kind; *name* chooses the colour `k-name`, failures are striped."""

    name: str
    label: str
    values: Values
    is_striped: bool = False


class AxisTick(NamedTuple):
    """A word under the time axis at *share* of its width."""

    share: float
    text: str


class Frame(NamedTuple):
    """What surrounds a plot; *hints* are told when one points at a bucket, a press leads to its
    link (static/charts.js; an image holds no links for the keyboard, the table beside it does).
    *empty* is said where there is nothing to draw."""

    key: str
    title: str
    description: str
    ticks: Sequence[AxisTick] = ()
    hints: Sequence[str] = ()
    links: Sequence[str] = ()
    empty: str = ""


def bars(frame: Frame, layers: Sequence[Layer], number: Numbers) -> Markup:
    """Return a chart of bars, the first layer at the bottom."""
    size = len(layers[0].values) if layers else len(frame.hints)
    sums = [sum(layer.values[at] or 0 for layer in layers) for at in range(size)]
    top = ceiling(max(sums, default=0))
    floors = [0.0] * size
    paths = [_gaps(layers, size)]
    for layer in layers:
        parts = []
        for at, value in enumerate(layer.values):
            if value:
                low, high = (_y(each, top) for each in (floors[at], floors[at] + value))
                height = max(low - high, 0.75)
                parts.append(f"M{at * UNIT + 1} {_n(low - height)}h{BAR}V{_n(low)}h-{BAR}z")
                floors[at] += value
        paths.append(_path(frame.key, layer, "".join(parts)))
    return _chart(frame, layers, paths, top, size, number)


def lines(frame: Frame, layers: Sequence[Layer], number: Numbers) -> Markup:
    """Return a chart of lines that step from bucket to bucket and break where there is a gap."""
    size = len(layers[0].values) if layers else 0
    top = ceiling(max((value or 0 for layer in layers for value in layer.values), default=0))
    paths = [
        Markup('<path class="line k-{}" d="{}"/>').format(layer.name, _steps(layer.values, top))
        for layer in layers
    ]
    return _chart(frame, layers, paths, top, size, number)


def spark(label: str, good: Values, bad: Values, key: str) -> Markup:
    """Return a chart of a line's height: what went well, and striped what failed."""
    size = len(good)
    top = max((g or 0) + (b or 0) for g, b in zip(good, bad, strict=True)) if size else 0
    scale = (SPARK_HEIGHT - 2) / top if top else 0
    shapes: dict[str, list[str]] = {"delivered": [], "failed": []}
    for at, (well, badly) in enumerate(zip(good, bad, strict=True)):
        low = float(SPARK_HEIGHT - 1)
        for name, value in (("delivered", well), ("failed", badly)):
            if value:
                height = max(value * scale, 1.0)
                shapes[name].append(f"M{at * 4} {_n(low - height)}h3v{_n(height)}h-3z")
                low -= height
    layers = [Layer(n, n, (), is_striped=n == "failed") for n in shapes]
    drawn = [_path(key, layer, "".join(shapes[layer.name])) for layer in layers]
    return Markup(
        '<svg class="spark" role="img" aria-label="{}" width="{}" height="{}">{}{}'
        '<path class="base" d="M0 {}h{}"/></svg>'
    ).format(
        label,
        size * 4,
        SPARK_HEIGHT,
        _patterns(key, layers),
        Markup("").join(drawn),
        SPARK_HEIGHT - 0.5,
        size * 4,
    )


def ceiling(value: float) -> float:
    """Return a round number that is not below *value*, at least 2; its half is round, too."""
    if value <= 10:
        return max(2.0, ceil(value / 2) * 2.0)
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-9))


def swatch(layer: Layer, key: str, *, is_line: bool = False) -> Markup:
    """Return the little square (or line) of a legend."""
    shape = (
        Markup('<path class="line k-{}" d="M0 6h14"/>').format(layer.name)
        if is_line
        else Markup('<rect width="12" height="12" rx="2" class="k-{}"{}/>').format(
            layer.name, _fill(key, layer)
        )
    )
    return Markup('<svg class="swatch" width="14" height="12" aria-hidden="true">{}</svg>').format(
        shape
    )


def _chart(
    frame: Frame,
    layers: Sequence[Layer],
    paths: Sequence[Markup],
    top: float,
    size: int,
    number: Numbers,
) -> Markup:
    height = TOP + PLOT + BOTTOM
    return Markup(
        '<svg class="chart" role="img" aria-labelledby="{k}-t {k}-d" width="100%" height="{h}">'
        '<title id="{k}-t">{title}</title><desc id="{k}-d">{description}</desc>{patterns}{grid}'
        '<svg y="{top}" width="100%" height="{plot}" viewBox="0 0 {wide} {plot}"'
        ' preserveAspectRatio="none">{paths}{hints}</svg>{words}</svg>'
    ).format(
        k=frame.key,
        h=height,
        title=frame.title,
        description=frame.description,
        patterns=_patterns(frame.key, layers),
        grid=_grid(),
        top=TOP,
        plot=PLOT,
        wide=max(size, 1) * UNIT,
        paths=Markup("").join(paths),
        hints=_hints(frame, size),
        words=_words(frame, top, number) + _empty(frame, layers),
    )


def _empty(frame: Frame, layers: Sequence[Layer]) -> Markup:
    """Return what is said in the middle of a plot without any value."""
    if not frame.empty or any(value for layer in layers for value in layer.values):
        return Markup("")
    return Markup('<text class="empty-plot" x="50%" y="{}" text-anchor="middle">{}</text>').format(
        TOP + PLOT // 2 + 4, frame.empty
    )


def _grid() -> Markup:
    rules = [("grid", TOP), ("grid", TOP + PLOT // 2), ("base", TOP + PLOT)]
    return Markup("").join(
        Markup('<line class="{}" x2="100%" y1="{}" y2="{}"/>').format(name, y, y)
        for name, y in rules
    )


def _words(frame: Frame, top: float, number: Numbers) -> Markup:
    marks = [(top, TOP - 5), (top / 2, TOP + PLOT // 2 - 5)]
    words = [Markup('<text x="0" y="{}">{}</text>').format(y, number(value)) for value, y in marks]
    for tick in frame.ticks:
        anchor = "start" if tick.share < 0.03 else "end" if tick.share > 0.97 else "middle"
        words.append(
            Markup('<text x="{}%" y="{}" text-anchor="{}">{}</text>').format(
                _n(tick.share * 100), TOP + PLOT + 16, anchor, tick.text
            )
        )
    return Markup("").join(words)


def _hints(frame: Frame, size: int) -> Markup:
    found = []
    for at in range(size):
        hint = frame.hints[at] if at < len(frame.hints) else ""
        if not hint:
            continue
        link = (
            Markup(' data-href="{}"').format(frame.links[at])
            if at < len(frame.links)
            else Markup("")
        )
        drawn = Markup(
            '<rect class="hint" x="{}" width="{}" height="{}"{}><title>{}</title></rect>'
        ).format(at * UNIT, UNIT, PLOT, link, hint)
        found.append(drawn)
    return Markup("").join(found)


def _gaps(layers: Sequence[Layer], size: int) -> Markup:
    """Return a shade over the buckets of which nothing is known."""
    if not layers:
        return Markup("")
    unknown = [at for at in range(size) if all(layer.values[at] is None for layer in layers)]
    path = "".join(f"M{at * UNIT} 0h{UNIT}v{PLOT}h-{UNIT}z" for at in unknown)
    return Markup('<path class="gap" d="{}"/>').format(path) if path else Markup("")


def _path(key: str, layer: Layer, path: str) -> Markup:
    if not path:
        return Markup("")
    return Markup('<path class="k-{}"{} d="{}"/>').format(layer.name, _fill(key, layer), path)


def _fill(key: str, layer: Layer) -> Markup:
    if not layer.is_striped:
        return Markup("")
    return Markup(' fill="url(#{}-{})"').format(key, layer.name)


def _patterns(key: str, layers: Sequence[Layer]) -> Markup:
    found = [
        Markup(
            '<pattern id="{}-{}" width="4" height="4" patternUnits="userSpaceOnUse">'
            '<rect class="k-{} back" width="4" height="4"/>'
            '<rect class="k-{}" width="4" height="2.2"/></pattern>'
        ).format(key, layer.name, layer.name, layer.name)
        for layer in layers
        if layer.is_striped
    ]
    return Markup("<defs>{}</defs>").format(Markup("").join(found)) if found else Markup("")


def _steps(values: Values, top: float) -> str:
    path, is_down = [], True
    for at, value in enumerate(values):
        if value is None:
            is_down = True
            continue
        y = _n(_y(value, top))
        path.append((f"M{at * UNIT} {y}" if is_down else f"V{y}") + f"h{UNIT}")
        is_down = False
    return "".join(path)


def _y(value: float, top: float) -> float:
    return PLOT - value / top * PLOT


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
