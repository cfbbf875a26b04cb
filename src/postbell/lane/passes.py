"""Replays of a lane in a worker's hands: which may take its next step, when.  Part of `held`."""

from collections.abc import Iterable
from datetime import datetime

from postbell.records import Replay, ReplayState


class Passes:
    """Replays that run, by id; each takes one step at a time, and some not before a time."""

    def __init__(self) -> None:
        self.running: dict[int, Replay] = {}
        self._under_way: set[int] = set()
        self._not_before: dict[int, datetime] = {}

    def reload(self, replays: Iterable[Replay]) -> None:
        """Take over what the ledger says now; steps under way go on."""
        self.running = {r.id: r for r in replays if r.state is ReplayState.RUNNING}
        for gone in self._not_before.keys() - self.running.keys():
            del self._not_before[gone]

    def next(self, now: datetime) -> Replay | None:
        """Return one that may take a step now."""
        for replay in self.running.values():
            is_time = self._not_before.get(replay.id, now) <= now
            if is_time and replay.id not in self._under_way:
                return replay
        return None

    def begin(self, replay: Replay) -> None:
        """Note that a step is under way."""
        self._under_way.add(replay.id)

    def stepped(self, replay: Replay) -> None:
        """Note that a step is over, whatever came of it."""
        self._under_way.discard(replay.id)

    def slow_down(self, replay: Replay, until: datetime) -> None:
        """Let the replay's next step wait."""
        self._not_before[replay.id] = until

    def reread(self) -> None:
        """Let none wait: the clock was set."""
        self._not_before.clear()

    def moved(self, replay: Replay) -> None:
        """Take in how far a replay came, or forget one that is done."""
        if replay.state is ReplayState.RUNNING:
            self.running[replay.id] = replay
        else:
            self.running.pop(replay.id, None)
            self._not_before.pop(replay.id, None)

    def moments(self) -> Iterable[datetime]:
        """Return when those that wait may step again."""
        return self._not_before.values()
