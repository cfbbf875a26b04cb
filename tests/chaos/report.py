"""What a chaos run came to, as its last lines say it."""

from collections import Counter, defaultdict
from typing import NamedTuple


class Report(NamedTuple):
    """It holds where there are no *problems*.

    *troubles*: how often each thing was done, and to what.  *heals*: the seconds from the end of
    a phase until every process was ready again, by the phase's name.  *moves*: how often a webhook
    was seen with another holder than before.
    """

    seed: int
    seconds: float
    troubles: Counter[str]
    heals: defaultdict[str, list[float]]
    full_starts: int
    moves: int
    events: int
    arrived: int
    parked: int
    batches: int
    duplicates: int
    problems: list[str]

    def of(self, verb: str) -> int:
        """Return how often something was done, to whatever."""
        return sum(count for name, count in self.troubles.items() if name.split()[0] == verb)

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} PROBLEMS" if self.problems else "all held"
        troubles = ", ".join(f"{count} {name}" for name, count in sorted(self.troubles.items()))
        every = [seconds for each in self.heals.values() for seconds in each]
        slowest = sorted(((max(each), name) for name, each in self.heals.items()), reverse=True)
        healed = ", ".join(f"{seconds:.1f} {name}" for seconds, name in slowest[:5])
        return (
            f"seed {self.seed}: {verdict}; {self.events} events accepted, {self.arrived} deliveries"
            f" of one arrived, {self.parked} parked, {self.batches} batches,"
            f" {self.duplicates} duplicates, {self.seconds:.0f} s\n"
            f"troubles: {troubles}; {self.full_starts} starts on a full disk;"
            f" {self.moves} webhooks moved\n"
            f"seconds to heal: {sum(every) / max(1, len(every)):.1f} on average over {len(every)}"
            f" phases; at most {healed}"
        )
