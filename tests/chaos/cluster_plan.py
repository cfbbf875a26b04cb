"""What a seed lets happen on PostgreSQL: to processes, to servers, and on the way between them."""

import random

from postbell.ports import LEASE_S
from tests.chaos.plan import MAKERS, Action, Maker, Makers, Phase

FIRST = (
    "kill", "crash", "cut", "freeze", "fail-over", "silence", "server-kill", "jump-one", "fill",
    "server-freeze", "slow", "standby-freeze", "kills", "crash-kill", "kill-all", "jump",
    "past-lease",
)  # fmt: skip
"""The phases that every run has that is not brief."""
BRIEF = ("kill", "cut", "fail-over")
"""All phases of a run that is brief."""
OF_FILES = ("fill", "long-fill", "restore")


def _one_or_all(chance: random.Random) -> int:
    """Say whom it is to meet: 1 for every process."""
    return int(chance.random() < 0.4)


def _server(verb: str, longest_s: float) -> Maker:
    """Do something to the primary for a while, sometimes around the kill of a process."""

    def make(chance: random.Random) -> Phase:
        at_s, for_s = chance.uniform(0.2, 2), chance.uniform(0.3, longest_s)
        actions = [Action(at_s, verb, for_s)]
        if chance.random() < 0.25:
            actions.append(Action(at_s + chance.uniform(0, for_s), "kill"))
        return Phase(verb, at_s + for_s + 3, tuple(actions))

    return make


def _crash_kill(chance: random.Random) -> Phase:
    """Kill a process while the server is gone."""
    at_s, for_s = chance.uniform(0.2, 2), chance.uniform(1, 3)
    actions = (Action(at_s, "crash", for_s), Action(at_s + chance.uniform(0, for_s), "kill", 0))
    return Phase("crash-kill", at_s + for_s + 3, actions)


def _way(verb: str, longest_s: float) -> Maker:
    """Do something to the way between one process, or all, and the servers."""

    def make(chance: random.Random) -> Phase:
        at_s, for_s = chance.uniform(0.1, 1), chance.uniform(0.5, longest_s)
        many = chance.randint(1, 6) if verb == "cut" else chance.randint(1, 3)
        action = Action(at_s, verb, for_s, amount=many * 2 + _one_or_all(chance))
        return Phase(verb, at_s + for_s + 3, (action,))

    return make


def _cut_and_crash(chance: random.Random) -> Phase:
    """Let a process hear nothing while the primary is lost."""
    at_s, for_s = chance.uniform(0.1, 1), chance.uniform(3, 8)
    actions = (
        Action(at_s, "silence", for_s, amount=chance.randint(1, 3) * 2),
        Action(at_s + chance.uniform(0, for_s), "fail-over", chance.uniform(0, 1)),
    )
    return Phase("silence-over", at_s + for_s + 4, actions)


def _jump_one(chance: random.Random) -> Phase:
    """Put one process's clock ahead or back while the others' go on evenly."""
    at_s, for_s = chance.uniform(0.1, 1), chance.uniform(2, 8)
    ahead_s = chance.choice((-1, 1)) * chance.choice((70, 90, 3600, 3 * 86_400))
    return Phase("jump-one", at_s + for_s + 2, (Action(at_s, "jump-one", for_s, amount=ahead_s),))


def _past_lease(chance: random.Random) -> Phase:
    """Freeze a process until others have what it held, and let something else happen meanwhile."""
    for_s = LEASE_S + chance.uniform(2, 12)
    actions = [Action(0.5, "freeze", for_s)]
    verb = chance.choice(("none", "crash", "fail-over", "server-freeze"))
    if verb != "none":
        actions.append(Action(chance.uniform(1, for_s), verb, chance.uniform(0, 2)))
    return Phase("past-lease", for_s + 4, tuple(actions))


ON_SERVERS: Makers = {
    **{name: row for name, row in MAKERS.items() if not name.startswith(OF_FILES)},
    "crash": (3, _server("crash", 3)),
    "crash-kill": (2, _crash_kill),
    "server-kill": (3, _server("server-kill", 3)),
    "server-freeze": (3, _server("server-freeze", 8)),
    "standby-freeze": (2, _server("standby-freeze", 8)),
    "fail-over": (3, _server("fail-over", 3)),
    "fill": (2, _server("fill", 4)),
    "cut": (4, _way("cut", 2)),
    "slow": (2, _way("slow", 5)),
    "silence": (4, _way("silence", 8)),
    "refuse": (2, _way("refuse", 5)),
    "silence-over": (2, _cut_and_crash),
    "jump-one": (3, _jump_one),
    "past-lease": (1, _past_lease),
}
