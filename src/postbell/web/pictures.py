"""Charts as pages use them: over which time, of what, with legend and table of figures.

`PICTURES` is what `Site.pictures` takes: the pages of webhooks ask for them by name.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from markupsafe import Markup

from postbell.clock import rfc3339
from postbell.events import EventType
from postbell.reports.stats import EventStats, Grid, WebhookStats
from postbell.reports.views import WebhookView
from postbell.web import charts, site
from postbell.web.charts import AxisTick, Frame, Layer
from postbell.web.visit import Visit, with_query

HOUR_S = 3600
DAY_S = 86_400


class Span(NamedTuple):
    """A stretch of time that charts show: its length, a bucket's width, a tick's distance."""

    length_s: int
    step_s: int
    tick_s: int


SPANS: Mapping[str, Span] = {
    "1h": Span(HOUR_S, 120, 600),
    "24h": Span(DAY_S, 1800, 6 * HOUR_S),
    "7d": Span(7 * DAY_S, 6 * HOUR_S, DAY_S),
    "30d": Span(30 * DAY_S, DAY_S, 7 * DAY_S),
}
DEFAULT = "24h"
YOUNG = "1h"
SPARK = Span(DAY_S, HOUR_S, 0)

FAILURES = (EventType.HARD_BOUNCE, EventType.DROPPED, EventType.FAILED)


class LegendLine(NamedTuple):
    """A line of a legend."""

    swatch: Markup
    label: str
    figure: str
    link: str = ""


class FigureLine(NamedTuple):
    """A line of the table of figures."""

    at: Markup
    figures: Sequence[str]
    link: str


class Picture(NamedTuple):
    """A chart with everything around it, for the macro `picture` (picture.html)."""

    svg: Markup
    legend: Sequence[LegendLine]
    columns: Sequence[str]
    rows: Sequence[FigureLine]


def span_of(visit: Visit, known_from: datetime) -> str:
    """Return the name of the span that the address asks for; else the last day, or the last hour
    where nothing is older."""
    asked = visit.query("span")
    if asked in SPANS:
        return asked
    is_young = (visit.format.now - known_from).total_seconds() < HOUR_S
    return YOUNG if is_young else DEFAULT


async def grid_of(visit: Visit, span: Span, known_from: datetime | None = None) -> Grid:
    """Return the buckets of *span* up to now, days and hours as the viewer's clock has them."""
    now = visit.format.now
    offset = now.astimezone(visit.format.zone).utcoffset() or timedelta(0)
    since = now - timedelta(seconds=span.length_s - span.step_s)
    return await visit.site.reports.stats.grid(
        since=since, step_s=span.step_s, known_from=known_from, offset=offset
    )


def events_picture(visit: Visit, grid: Grid, span: Span, found: EventStats) -> Picture:
    """Return events by type over time; a bar leads to its events."""
    say, number = visit.say, visit.format.number
    layers = [
        Layer(name, say(f"type.{name}"), values, is_striped=EventType(name) in FAILURES)
        for name, values in found.types.items()
    ]
    total = sum(found.totals.values())
    links = [_events_link(grid, at) for at in range(grid.size)]
    frame = Frame(
        "events",
        say("chart.events"),
        say("chart.events_said", n=total, count=number(total)),
        _ticks(visit, grid, span),
        _hints(visit, grid, layers),
        links,
        say("chart.no_events"),
    )
    if not layers:
        layers = [Layer("unknown", "", found.known)]
    legend = [
        LegendLine(
            charts.swatch(layer, frame.key),
            layer.label,
            number(found.totals[layer.name]),
            with_query("/events", {"type": layer.name, "since": rfc3339(grid.since)}),
        )
        for layer in layers
        if layer.label
    ]
    svg = charts.bars(frame, layers, number)
    rows = _rows(visit, grid, layers, links=links)
    return Picture(svg, legend, [layer.label for layer in layers], rows)


def deliveries_picture(visit: Visit, grid: Grid, span: Span, found: WebhookStats) -> Picture:
    """Return a webhook's events delivered, and events in failed attempts, over time."""
    say, number = visit.say, visit.format.number
    series, totals = found.series, found.totals
    layers = [
        Layer("delivered", say("chart.delivered"), series["delivered"]),
        Layer("failed", say("chart.failed"), series["failed"], is_striped=True),
    ]
    frame = Frame(
        "deliveries",
        say("chart.deliveries"),
        say(
            "chart.deliveries_said",
            delivered=number(totals["delivered"]),
            failed=number(totals["failed"]),
        ),
        _ticks(visit, grid, span),
        _hints(visit, grid, layers),
        empty=say("chart.no_deliveries"),
    )
    legend = [
        LegendLine(charts.swatch(layer, frame.key), layer.label, number(totals[layer.name]))
        for layer in layers
    ]
    svg = charts.bars(frame, layers, number)
    return Picture(svg, legend, [x.label for x in layers], _rows(visit, grid, layers))


def latency_picture(visit: Visit, grid: Grid, span: Span, found: WebhookStats) -> Picture:
    """Return how long a webhook's successes took: the half, and nineteen of twenty."""
    say = visit.say

    def length(ms: float | None) -> str:
        return "–" if ms is None else visit.format.duration(ms / 1000)

    shares = {"p50": found.latency_p50_ms, "p95": found.latency_p95_ms}
    layers = [Layer(name, say(f"chart.{name}"), found.latency_ms[name]) for name in ("p95", "p50")]
    frame = Frame(
        "latency",
        say("chart.latency"),
        say(
            "chart.latency_said",
            p50=length(shares["p50"]),
            p95=length(shares["p95"]),
        ),
        _ticks(visit, grid, span),
        _hints(visit, grid, layers, length),
        empty=say("chart.no_success"),
    )
    legend = [
        LegendLine(
            charts.swatch(layer, frame.key, is_line=True),
            layer.label,
            length(shares[layer.name]),
        )
        for layer in reversed(layers)
    ]
    svg = charts.lines(frame, layers, length)
    return Picture(svg, legend, [x.label for x in layers], _rows(visit, grid, layers, length))


async def webhook_picture(visit: Visit, view: WebhookView) -> Markup:
    """Draw a webhook's deliveries and latency."""
    name = span_of(visit, view.created_at)
    span = SPANS[name]
    grid = await grid_of(visit, span, view.created_at)
    found = await visit.site.reports.stats.webhook(view.id, grid)
    text = visit.text(
        "webhook_picture.html",
        deliveries=deliveries_picture(visit, grid, span, found),
        latency=latency_picture(visit, grid, span, found),
        spans=SPANS,
        span=name,
    )
    return Markup(text)  # noqa: S704 - a rendered template


async def webhook_sparks(visit: Visit, rows: Sequence[WebhookView]) -> dict[int, Markup]:
    """Draw the last 24 hours of each webhook, by its id."""
    grid = await grid_of(visit, SPARK)
    return {row.id: await _spark(visit, grid, row.id) for row in rows}


async def _spark(visit: Visit, grid: Grid, webhook_id: int) -> Markup:
    found = await visit.site.reports.stats.webhook(webhook_id, grid)
    series, totals = found.series, found.totals
    label = visit.say(
        "chart.deliveries_said",
        delivered=visit.format.number(totals["delivered"]),
        failed=visit.format.number(totals["failed"]),
    )
    return charts.spark(label, series["delivered"], series["failed"], f"spark{webhook_id}")


PICTURES: Mapping[str, site.Picture] = {
    "webhook_picture": webhook_picture,
    "webhook_sparks": webhook_sparks,
}


def _ticks(visit: Visit, grid: Grid, span: Span) -> list[AxisTick]:
    found = []
    for at, start in enumerate(grid.starts):
        local = start.astimezone(visit.format.zone)
        if span.tick_s > DAY_S:
            is_tick = local.toordinal() % (span.tick_s // DAY_S) == 0
        else:
            seconds = local.hour * HOUR_S + local.minute * 60
            is_tick = seconds % span.tick_s == 0
        if is_tick:
            text = f"{local:%H:%M}" if span.tick_s < DAY_S else f"{local:%m-%d}"
            found.append(AxisTick(at / grid.size, text))
    return found


def _clock(visit: Visit, grid: Grid, start: datetime) -> str:
    local = start.astimezone(visit.format.zone)
    if grid.step_s >= DAY_S:
        return f"{local:%Y-%m-%d}"
    return f"{local:%m-%d %H:%M}" if grid.size * grid.step_s > DAY_S else f"{local:%H:%M}"


def _hints(
    visit: Visit, grid: Grid, layers: Sequence[Layer], figure: charts.Numbers | None = None
) -> list[str]:
    write = figure or visit.format.number
    found = []
    for at, start in enumerate(grid.starts):
        parts = [f"{layer.label} {write(value)}" for layer in layers if (value := layer.values[at])]
        found.append(f"{_clock(visit, grid, start)} · {', '.join(parts)}" if parts else "")
    return found


def _rows(
    visit: Visit,
    grid: Grid,
    layers: Sequence[Layer],
    figure: charts.Numbers | None = None,
    links: Sequence[str] = (),
) -> list[FigureLine]:
    """Return the figures of each bucket that has any, the newest first."""
    write = figure or visit.format.number
    found = []
    for at, start in enumerate(grid.starts):
        values = [layer.values[at] for layer in layers]
        if any(values):
            figures = ["–" if value is None else write(value) for value in values]
            link = links[at] if links else ""
            found.append(FigureLine(visit.format.moment(start), figures, link))
    return found[::-1]


def _events_link(grid: Grid, at: int) -> str:
    start = grid.starts[at]
    end = start + timedelta(seconds=grid.step_s)
    return f"/events?since={start:%Y-%m-%dT%H:%MZ}&until={end:%Y-%m-%dT%H:%MZ}"
