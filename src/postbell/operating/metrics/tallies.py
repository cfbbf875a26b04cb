"""What parts of this process count by themselves, as families."""

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric

from postbell import fences
from postbell.mta import lookup
from postbell.operating.metrics.shapes import Counter, Labels
from postbell.sources.mail import listener
from postbell.suppressing import telling


def tallies() -> Iterator[Metric]:
    """Yield their families; but for changes, everything is there from the start, as 0."""
    yield _family(
        "postbell_fenced_errors",
        "Errors of ours with one item of a background loop; the item was skipped.",
        ("loop",),
        {(loop,): fences.failed[loop] for loop in fences.LOOPS},
    )
    yield _family(
        "postbell_mail_turned_away",
        "Connections of mail servers that were not taken or ended early, by reason.",
        ("reason",),
        {(reason,): listener.turned_away[reason] for reason in listener.REASONS},
    )
    yield _family(
        "postbell_suppression_changes",
        "Changes of suppression lists that this process told as events.",
        ("change", "reason"),
        telling.changed,
    )
    yield _family(
        "postbell_lookups",
        "Questions of mail servers whether an address is suppressed, by the answer.",
        ("answer",),
        {(answer,): lookup.answered[answer] for answer in lookup.ANSWERS},
    )
    yield _family(
        "postbell_lookup_refused",
        "Connections of mail servers with such questions that were not taken, by reason.",
        ("reason",),
        {(reason,): lookup.refused[reason] for reason in lookup.REASONS},
    )


def _family(
    name: str, help_text: str, labels: tuple[str, ...], counts: Mapping[Labels, int]
) -> Metric:
    counter = Counter(name, help_text, labels)
    for each, count in counts.items():
        counter.add(each, count)
    return counter.family()
