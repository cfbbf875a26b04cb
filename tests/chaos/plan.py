"""What a seed decides before anything runs: the events, the batches posted, the disturbances.

All of it is a pure function of the seed, so that a run that failed can be made again; only the
moments at which two processes meet are chance.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

TYPES = ("delivered", "open", "click", "soft_bounce", "deferred", "unsubscribe", "inbound")
API_USERS = ("main", "second")
FIRST_POISON = 196
POISON_EVERY = 9_975
"""Multiples of 7, so that every poison event is a `delivered`, which all dialects carry."""
LARGE_EVERY = 211
APIS = 2
"""Processes that only take events in, beside the one that delivers as well, which is number 0."""
PROCESSES = 5
"""How many there are on PostgreSQL: APIS that only take events in, the others do everything."""
FIRST = ("kill", "freeze", "fill", "kills", "fill-kill", "kill-all", "jump", "restore")
"""The phases that every run has, however slow the machine is."""
FIRST_ON_POSTGRES = ("kill", "crash", "freeze", "kills", "crash-kill", "kill-all", "jump")
TO_A_PROCESS = ("kill", "freeze", "stop")
EPOCH_S = 1_755_856_802
HOUR_S, DAY_S = 3600, 86_400


class Action(NamedTuple):
    """Something done to the service *at_s* seconds after the phase began, for *for_s* seconds.

    *which* picks a webhook or a process, and *amount* is what a verb makes of it.
    """

    at_s: float
    verb: str
    for_s: float = 0.0
    which: int = 0
    amount: int = 0


class Phase(NamedTuple):
    name: str
    seconds: float
    actions: tuple[Action, ...]


def type_of(number: int) -> str:
    return TYPES[number % len(TYPES)]


def api_user_of(number: int) -> str:
    return API_USERS[number % 5 == 0]


def is_poison(number: int) -> bool:
    return number % POISON_EVERY == FIRST_POISON


def event(seed: int, number: int) -> dict[str, Any]:
    """Return event *number*: always the same members; now and then one of some 20 kB."""
    size = 3_000 if number % LARGE_EVERY == 0 else (number * 7919 + seed) % 120
    return {
        "event_id": f"e{number}",
        "type": type_of(number),
        "api_user": api_user_of(number),
        "recipient": f"user{number}@example.net",
        "occurred_at": datetime.fromtimestamp(EPOCH_S + number, UTC).isoformat(),
        "message": {"id": f"m{number}", "from": "noreply@example.com", "subject": "Hello " * size},
        "tags": ["poison"] if is_poison(number) else [],
    }


def phases(chance: random.Random, *, is_on_postgres: bool = False) -> Iterator[Phase]:
    """Yield disturbances without end; the first ones are one of each important kind."""
    first, others = (FIRST_ON_POSTGRES, PROCESSES - 1) if is_on_postgres else (FIRST, APIS)
    yield from (_aimed(name, chance, others) for name in first)
    names = tuple(name for name in _MAKERS if _is_of(name, is_on_postgres))
    weights = tuple(_WEIGHTS[name] for name in names)
    while True:
        yield _aimed(chance.choices(names, weights)[0], chance, others)


def _is_of(name: str, is_on_postgres: bool) -> bool:
    """Say whether a phase is one of the engine: the disk is the server's, and so are backups."""
    is_of_file = name.startswith(("fill", "long-fill", "restore"))
    return not is_of_file if is_on_postgres else not name.startswith("crash")


def _aimed(name: str, chance: random.Random, others: int) -> Phase:
    """Make a phase, and aim what it does to a process at one: half of the time at the first."""
    phase = _MAKERS[name](chance)
    which = chance.choice((0, chance.randint(1, others)))
    return phase._replace(
        actions=tuple(
            action._replace(which=which) if action.verb in TO_A_PROCESS else action
            for action in phase.actions
        )
    )


def _calm(chance: random.Random) -> Phase:
    return Phase("calm", chance.uniform(1, 4), ())


def _kill(chance: random.Random) -> Phase:
    at_s = chance.uniform(0.2, 3)
    return Phase("kill", at_s + 2, (Action(at_s, "kill", chance.uniform(0, 1)),))


def _kills(chance: random.Random) -> Phase:
    """Kill again and again, also while the service is starting."""
    actions, at_s = [], 0.0
    for _ in range(chance.randint(2, 4)):
        at_s += chance.uniform(0.1, 1.6)
        actions.append(Action(at_s, "kill", 0))
    return Phase("kills", at_s + 2, tuple(actions))


def _kill_all(chance: random.Random) -> Phase:
    """Kill all processes in one moment."""
    at_s = chance.uniform(0.2, 3)
    return Phase("kill-all", at_s + 2, (Action(at_s, "kill-all", chance.uniform(0, 1)),))


def _jump(chance: random.Random) -> Phase:
    """Put the wall clock far ahead or back for a while, sometimes around a kill."""
    at_s, for_s = chance.uniform(0.1, 1), chance.uniform(2, 8)
    ahead_s = chance.choice((-1, 1)) * chance.choice((90, HOUR_S, 3 * DAY_S, 31 * DAY_S))
    actions = [Action(at_s, "jump", for_s, amount=ahead_s)]
    if chance.random() < 0.4:
        actions.append(Action(at_s + chance.uniform(0, for_s + 1), "kill"))
    return Phase("jump", at_s + for_s + 3, tuple(actions))


def _freeze(chance: random.Random) -> Phase:
    at_s, for_s = chance.uniform(0.1, 2), chance.uniform(0.3, 3)
    return Phase("freeze", at_s + for_s + 1, (Action(at_s, "freeze", for_s),))


def _freezes(chance: random.Random) -> Phase:
    actions, at_s = [], 0.0
    for _ in range(chance.randint(3, 8)):
        at_s += chance.uniform(0.05, 0.5)
        for_s = chance.uniform(0.05, 0.6)
        actions.append(Action(at_s, "freeze", for_s))
        at_s += for_s
    return Phase("freezes", at_s + 1, tuple(actions))


def _long_freeze(chance: random.Random) -> Phase:
    for_s = chance.uniform(8, 14)
    return Phase("long-freeze", for_s + 2, (Action(0.5, "freeze", for_s),))


def _freeze_kill(chance: random.Random) -> Phase:
    at_s, for_s = chance.uniform(0.1, 2), chance.uniform(0.2, 1.5)
    actions = (Action(at_s, "freeze", for_s), Action(at_s + for_s / 2, "kill", 0.2))
    return Phase("freeze-kill", at_s + for_s + 2, actions)


def _stop(chance: random.Random) -> Phase:
    at_s = chance.uniform(0.2, 2)
    return Phase("stop", at_s + 3, (Action(at_s, "stop"),))


def _fill(chance: random.Random) -> Phase:
    at_s, for_s = chance.uniform(0.1, 1), chance.uniform(1, 5)
    return Phase("fill", at_s + for_s + 1, (Action(at_s, "fill", for_s),))


def _long_fill(chance: random.Random) -> Phase:
    """Fill the disk for longer than any chore of the service waits for its turn."""
    for_s = chance.uniform(22, 30)
    return Phase("long-fill", for_s + 2, (Action(0.2, "fill", for_s),))


def _fill_kill(chance: random.Random) -> Phase:
    at_s, for_s = chance.uniform(0.1, 1), chance.uniform(3, 6)
    actions = (Action(at_s, "fill", for_s), Action(at_s + chance.uniform(0.5, for_s), "kill", 0))
    return Phase("fill-kill", at_s + for_s + 3, tuple(sorted(actions)))


def _customer(chance: random.Random) -> Phase:
    """Pause webhooks, change their policies and types, sometimes around a kill."""
    actions = [
        Action(
            chance.uniform(0, 3),
            chance.choice(("pause", "change", "revise")),
            chance.uniform(0, 2),
            chance.randrange(1000),
            chance.randint(20, 600),
        )
        for _ in range(chance.randint(2, 8))
    ]
    if chance.random() < 0.4:
        actions.append(Action(chance.uniform(0.2, 3), "kill"))
    return Phase("customer", 6, tuple(actions))


def _restore(chance: random.Random) -> Phase:
    """Go on from a backup that is some seconds old."""
    at_s, for_s = chance.uniform(0.1, 1), chance.uniform(0.5, 4)
    return Phase("restore", at_s + for_s + 2, (Action(at_s, "restore", for_s),))


def _crash(chance: random.Random) -> Phase:
    """Let the database's server crash, and come again."""
    at_s, for_s = chance.uniform(0.2, 2), chance.uniform(0, 3)
    return Phase("crash", at_s + for_s + 4, (Action(at_s, "crash", for_s),))


def _crash_kill(chance: random.Random) -> Phase:
    """Kill a process while the server is gone."""
    at_s, for_s = chance.uniform(0.2, 2), chance.uniform(1, 3)
    actions = (Action(at_s, "crash", for_s), Action(at_s + chance.uniform(0, for_s), "kill", 0))
    return Phase("crash-kill", at_s + for_s + 5, actions)


def _fill_stop(chance: random.Random) -> Phase:
    """Ask the service to end while it cannot write."""
    for_s = chance.uniform(3, 8)
    actions = (Action(0.2, "fill", for_s), Action(chance.uniform(1, 3), "stop"))
    return Phase("fill-stop", for_s + 3, actions)


def _fill_freeze(chance: random.Random) -> Phase:
    """Freeze the service around the moment at which the disk has room again."""
    for_s = chance.uniform(2, 4)
    actions = (Action(0.2, "fill", for_s), Action(for_s - 0.3, "freeze", 1.0))
    return Phase("fill-freeze", for_s + 3, actions)


_MAKERS = {
    "calm": _calm,
    "kill": _kill,
    "kills": _kills,
    "kill-all": _kill_all,
    "jump": _jump,
    "freeze": _freeze,
    "freezes": _freezes,
    "long-freeze": _long_freeze,
    "freeze-kill": _freeze_kill,
    "stop": _stop,
    "fill": _fill,
    "long-fill": _long_fill,
    "fill-kill": _fill_kill,
    "customer": _customer,
    "fill-stop": _fill_stop,
    "fill-freeze": _fill_freeze,
    "restore": _restore,
    "crash": _crash,
    "crash-kill": _crash_kill,
}
_WEIGHTS = {
    "calm": 2,
    "kill": 5,
    "kills": 4,
    "kill-all": 2,
    "jump": 3,
    "freeze": 4,
    "freezes": 3,
    "long-freeze": 1,
    "freeze-kill": 3,
    "stop": 2,
    "fill": 3,
    "long-fill": 1,
    "fill-kill": 3,
    "customer": 4,
    "fill-stop": 1,
    "fill-freeze": 2,
    "restore": 2,
    "crash": 4,
    "crash-kill": 3,
}
