"""Counters and histograms that cost a fraction of a microsecond, and their Prometheus families.

They are kept on the event loop, so they need no locks; `prometheus_client` writes them out.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

OTHER = "other"
Labels = tuple[str, ...]


class Counter:
    """Counts by labels; from *max_series* on, new labels count as `other`."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str] = (), max_series: int = 1000
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.labels = tuple(labels)
        self._max_series = max_series
        self.counts: dict[Labels, float] = {}

    def add(self, labels: Labels, count: float = 1) -> None:
        """Add *count* to the series of *labels*."""
        known = self.counts.get(labels)
        if known is None and len(self.counts) >= self._max_series:
            labels = (OTHER,) * len(self.labels)
            known = self.counts.get(labels)
        self.counts[labels] = (known or 0) + count

    def family(self) -> Metric:
        """Return what a scrape gets."""
        family = CounterMetricFamily(self.name, self.help_text, labels=self.labels)
        for labels, count in self.counts.items():
            family.add_metric(_told(labels), count)
        return family


class Histogram:
    """Durations in buckets, by labels."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], bounds_s: Sequence[float]
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.labels = tuple(labels)
        self._bounds_s = tuple(bounds_s)
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, labels: Labels, seconds: float) -> None:
        """Count one duration."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = ([0] * (len(self._bounds_s) + 1), [0.0])
        series[0][bisect_left(self._bounds_s, seconds)] += 1
        series[1][0] += seconds

    def family(self) -> Metric:
        """Return what a scrape gets."""
        family = HistogramMetricFamily(self.name, self.help_text, labels=self.labels)
        for labels, (counts, (total_s,)) in self._series.items():
            family.add_metric(_told(labels), self._buckets(counts), total_s)
        return family

    def _buckets(self, counts: Sequence[int]) -> list[tuple[str, float]]:
        below = 0
        buckets = []
        for bound, count in zip((*map(str, self._bounds_s), "+Inf"), counts, strict=True):
            below += count
            buckets.append((bound, float(below)))
        return buckets


def gauge(
    name: str, help_text: str, labels: Sequence[str], rows: Iterable[tuple[Labels, float]]
) -> Metric:
    """Return the family of values as they are now."""
    family = GaugeMetricFamily(name, help_text, labels=tuple(labels))
    for values, value in rows:
        family.add_metric(_told(values), value)
    return family


def _told(labels: Labels) -> Labels:
    """Return labels that can be written, whatever names customers gave."""
    return tuple(str(each).encode("utf-8", "replace").decode() for each in labels)
