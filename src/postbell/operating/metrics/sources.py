"""What `/metrics` says of the sources of events."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client.metrics_core import Metric

from postbell.operating.metrics.shapes import Counter, gauge
from postbell.reports.sources import OperatorSourceView

_OF_SOURCE = (
    ("taken", "Events that came in by a source."),
    ("duplicates", "Events of a source that had come in before."),
    ("refused", "Facts that a source read and that make no event."),
    ("unmatched", "Facts about mail that no rule of a source gives to anybody."),
    ("crowded_out", "Facts that newer ones made leave the quarantine of a source."),
)
_SINCE_OF_SOURCE = (
    ("behind", "For how long a source has had something unread, without a moment of none."),
    ("ill", "For how long a source has waited, failed, was held or did not run."),
)


def source_families(sources: Sequence[OperatorSourceView], now: datetime) -> Iterator[Metric]:
    """Tell of the installation's sources, whichever process runs them."""
    for member, help_text in _OF_SOURCE:
        family = Counter(f"postbell_source_{member}", help_text, ("source", "account"))
        for each in sources:
            family.add((each.name, each.account), getattr(each, member))
        yield family.family()
    yield gauge(
        "postbell_source_quarantined",
        "Facts in the quarantine of a source.",
        ("source", "account"),
        [((each.name, each.account), each.quarantined) for each in sources],
    )
    yield gauge(
        "postbell_source_lag_bytes",
        "What a source has yet to read; nothing where nobody can say.",
        ("source", "account"),
        [
            ((each.name, each.account), each.lag_bytes)
            for each in sources
            if each.lag_bytes is not None
        ],
    )
    yield gauge(
        "postbell_source_facts_per_second",
        "Facts that a source read a second, over the last minute.",
        ("source", "account"),
        [((each.name, each.account), each.per_s) for each in sources],
    )
    yield gauge(
        "postbell_source_last_read_timestamp_seconds",
        "When a source read something last; nothing where it never did.",
        ("source", "account"),
        [
            ((each.name, each.account), each.moved_at.timestamp())
            for each in sources
            if each.moved_at is not None
        ],
    )
    for since, help_text in _SINCE_OF_SOURCE:
        yield gauge(
            f"postbell_source_{since}_seconds",
            help_text,
            ("source", "account"),
            [
                ((each.name, each.account), _for_s(getattr(each, f"{since}_since"), now))
                for each in sources
            ],
        )
    yield gauge(
        "postbell_source_state",
        "1 for the state that a source is in.",
        ("source", "account", "state"),
        [((each.name, each.account, each.state.value), 1) for each in sources],
    )


def _for_s(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
