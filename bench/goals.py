"""What the scenarios are to reach on a machine with two cores: the most that a figure may be."""

from typing import NamedTuple

from bench.measuring import POSTGRES, Result


class Goal(NamedTuple):
    """*member* of the scenario's result is to be *limit* at most."""

    scenario: str
    member: str
    limit: float

    def is_met(self, result: Result) -> bool:
        return bool(getattr(result, self.member) <= self.limit)


# a row for each event and webhook would be over 200 bytes, since the WAL and the file get each
NO_WRITE_BYTES = 50
SINGLE_RATIO = 7
"""So many times the floor a single event costs, on a slow or busy machine, too."""
GOALS = (
    Goal("ingest-1", "cpu_us", 150),
    Goal("ingest-1000", "cpu_us", 6),
    Goal("ingest-1000-known", "cpu_us", 6),
    Goal("deliver-native-1000", "cpu_us", 1.5),
    Goal("deliver-sendpulse-1000", "cpu_us", 2.5),
    Goal("deliver-engagelab-1", "cpu_us", 150),
    Goal("deliver-engagelab-1", "ratio", SINGLE_RATIO),
    Goal("deliver-engagelab-1", "write_bytes", 150),
    Goal("deliver-engagelab-1-pinned", "ratio", SINGLE_RATIO),
    Goal("deliver-engagelab-1-busy", "ratio", SINGLE_RATIO),
    Goal("fanout-100", "cpu_us", 0.5),
    Goal("fanout-100", "write_bytes", NO_WRITE_BYTES),
    Goal("source-postfix", "cpu_us", 20),
    Goal("source-postfix", "ratio", 8),
    Goal("latency", "p99_ms", 25),
    Goal("neighbour", "p99_ratio", 1.5),
    Goal("hostile", "p99_ratio", 3),
    Goal("hostile", "failed", 0),
    Goal("growth", "page_ms", 60),
    Goal("backlog", "peak_mib", 300),
)

POSTGRES_GOALS = (
    Goal("ingest-1000", "against", 1.6),
    Goal("ingest-1000", "server_against", 0.8),
    Goal("ingest-1000-known", "start_s", 15),
    Goal("deliver-native-1000", "against", 1.3),
    Goal("deliver-sendpulse-1000", "against", 1.3),
    Goal("deliver-engagelab-1", "against", 1.4),
    Goal("latency-two", "p99_against", 2),
    Goal("shared-apis", "ratio", 1.2),
    Goal("shared-workers", "ratio", 1.2),
    Goal("bell", "ratio", 1.1),
)
"""On PostgreSQL: ratios to SQLite in the same run, but for `start_s` and what has no other engine,
whose ratios are to fewer processes, or to no bell."""


def of(scenario: str) -> list[Goal]:
    """Return the goals of a scenario; some have none."""
    name = scenario.removesuffix(POSTGRES)
    goals = GOALS if name == scenario else POSTGRES_GOALS
    return [goal for goal in goals if goal.scenario == name]
