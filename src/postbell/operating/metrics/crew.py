"""What `/metrics` says of the processes of the installation."""

from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric

from postbell.duties import Duty
from postbell.operating.metrics.shapes import gauge
from postbell.presence import Doing
from postbell.reports.crew import ProcessView

_OF_PROCESS = (
    ("webhooks", "webhooks", "Webhooks that a process delivers to."),
    ("work", "work", "Work of these a second, in events, a request for 40 more."),
    ("behind_s", "behind_seconds", "For how long the oldest due event there waits."),
)


def crew_families(doing: Doing, processes: Sequence[ProcessView], unheld: int) -> Iterator[Metric]:
    """Yield what this process does for all, and, where it tells figures, what each holds."""
    yield gauge(
        "postbell_duty_held",
        "1 where this process does what one process does for all.",
        ("duty",),
        [((duty.value,), float(doing.term(duty) is not None)) for duty in Duty],
    )
    if doing.term(Duty.FIGURES) is None:
        return
    yield gauge(
        "postbell_webhooks_unheld",
        "Webhooks that no process delivers to.",
        (),
        [((), unheld)],
    )
    for member, name, help_text in _OF_PROCESS:
        rows = [
            ((each.machine, str(each.pid), each.role), float(getattr(each, member)))
            for each in processes
        ]
        yield gauge(f"postbell_process_{name}", help_text, ("machine", "pid", "role"), rows)
