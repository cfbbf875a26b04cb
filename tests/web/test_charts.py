"""Charts: zero-based, honest about gaps, readable without colour and without eyes."""

import re
from xml.etree import ElementTree

import pytest

from postbell.web.charts import PLOT, UNIT, AxisTick, Frame, Layer, bars, ceiling, lines, spark

NAME = "{http://www.w3.org/2000/svg}"


def tree(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f'<html xmlns="http://www.w3.org/2000/svg">{markup}</html>')[0]


def frame(**members: object) -> Frame:
    return Frame("k", "Events", "Five events.")._replace(**members)


def number(value: float) -> str:
    return f"{value:g}"


def boxes(path: str) -> list[tuple[float, float, float]]:
    """Return x, top and bottom of each bar of a path."""
    found = re.findall(r"M([\d.]+) ([\d.]+)h[\d.]+V([\d.]+)h-[\d.]+z", path)
    return [(float(x), float(top), float(bottom)) for x, top, bottom in found]


def paths(svg: ElementTree.Element, name: str) -> list[str]:
    return [e.attrib["d"] for e in svg.iter(f"{NAME}path") if name in e.attrib["class"].split()]


def test_bars_stand_on_zero_and_on_one_another() -> None:
    layers = [Layer("delivered", "Delivered", [5, 10]), Layer("open", "Opened", [5, None])]

    svg = tree(bars(frame(), layers, number))

    [delivered], [opened] = paths(svg, "k-delivered"), paths(svg, "k-open")
    assert boxes(delivered) == [(1, PLOT / 2, PLOT), (UNIT + 1, 0, PLOT)]
    assert boxes(opened) == [(1, 0, PLOT / 2)]


def test_a_bucket_of_which_nothing_is_known_is_shaded() -> None:
    layers = [Layer("delivered", "", [None, 0, 5]), Layer("open", "", [None, 0, None])]

    svg = tree(bars(frame(), layers, number))

    assert paths(svg, "gap") == [f"M0 0h{UNIT}v{PLOT}h-{UNIT}z"]
    assert len(boxes(paths(svg, "k-delivered")[0])) == 1


def test_failures_are_striped_not_only_coloured() -> None:
    layers = [Layer("delivered", "", [1]), Layer("failed", "", [1], is_striped=True)]

    svg = tree(bars(frame(), layers, number))

    [pattern] = svg.iter(f"{NAME}pattern")
    fills = {e.attrib.get("fill") for e in svg.iter(f"{NAME}path")}
    assert f"url(#{pattern.attrib['id']})" in fills


def test_a_screen_reader_is_told_what_the_chart_says() -> None:
    svg = tree(bars(frame(), [Layer("delivered", "", [5])], number))

    labels = svg.attrib["aria-labelledby"].split()
    told = {e.attrib["id"]: e.text for e in svg if e.tag in (f"{NAME}title", f"{NAME}desc")}
    assert svg.attrib["role"] == "img"
    assert [told[label] for label in labels] == ["Events", "Five events."]


def test_the_axis_names_its_top_its_half_and_the_times() -> None:
    ticks = [AxisTick(0.0, "00:00"), AxisTick(0.5, "12:00")]

    svg = tree(bars(frame(ticks=ticks), [Layer("delivered", "", [100, 120])], number))

    assert [e.text for e in svg.iter(f"{NAME}text")] == ["120", "60", "00:00", "12:00"]


def test_a_pointed_bucket_tells_its_figures_and_leads_on() -> None:
    told = frame(hints=["12:00 · 5", ""], links=["/events?since=1", "/events?since=2"])

    svg = tree(bars(told, [Layer("delivered", "", [5, 0])], number))

    [bar] = [e for e in svg.iter(f"{NAME}rect") if "data-href" in e.attrib]
    assert bar.attrib["data-href"] == "/events?since=1"
    assert [e.text for e in bar.iter(f"{NAME}title")] == ["12:00 · 5"]
    assert list(svg.iter(f"{NAME}a")) == []


def test_a_line_breaks_where_there_is_a_gap() -> None:
    svg = tree(lines(frame(), [Layer("p50", "", [5, None, 10, 10])], number))

    [path] = paths(svg, "k-p50")
    assert path == f"M0 75h{UNIT}M{2 * UNIT} 0h{UNIT}V0h{UNIT}"


def test_words_are_escaped_and_nothing_is_styled_inline() -> None:
    evil = '"><script>alert(1)</script>'

    drawn = bars(
        Frame("k", evil, evil, [AxisTick(0.5, evil)], [evil], ["/?" + evil]),
        [Layer("delivered", evil, [1], is_striped=True)],
        lambda value: evil,
    )

    assert "<script" not in drawn
    assert "style=" not in drawn
    assert tree(drawn).tag == f"{NAME}svg"


def test_nothing_at_all_is_a_chart_without_bars() -> None:
    svg = tree(bars(frame(), [], number))

    assert paths(svg, "k-delivered") == []


@pytest.mark.parametrize(("value", "is_said"), [(None, True), (0, True), (3, False)])
def test_a_plot_without_a_value_says_so(value: float | None, is_said: bool) -> None:
    told = frame()._replace(empty="No success")

    svg = tree(lines(told, [Layer("p50", "", [None, value])], number))

    assert ("No success" in [e.text for e in svg.iter(f"{NAME}text")]) is is_said


def test_a_spark_shows_good_and_bad() -> None:
    svg = tree(spark("5 delivered; 2 failed", [5, 0, None], [0, 2, None], "s1"))

    assert svg.attrib["aria-label"] == "5 delivered; 2 failed"
    assert len(paths(svg, "k-delivered")) == len(paths(svg, "k-failed")) == 1


@pytest.mark.parametrize(
    ("value", "top"),
    [
        (0, 2),
        (1, 2),
        (3, 4),
        (10, 10),
        (11, 12),
        (101, 120),
        (120, 120),
        (1999, 2000),
        (9.5e6, 1e7),
    ],
)
def test_the_top_of_an_axis_is_round_and_never_below(value: float, top: float) -> None:
    assert ceiling(value) == pytest.approx(top)
