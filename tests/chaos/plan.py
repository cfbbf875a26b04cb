"""What a seed decides before anything runs: the events, the batches posted, the disturbances.

All of it is a pure function of the seed, so that a run that failed can be made again; only the
moments at which two processes meet are chance.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
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
FIRST = ("kill", "freeze", "fill", "kills", "fill-kill", "kill-all", "jump", "restore")
"""The phases that every run has that is not brief, however slow the machine is."""
BRIEF = ("kills", "freeze", "fill-kill", "kill-all", "jump", "restore")
"""All phases of a run that is brief: each kind of FIRST, once."""
TO_A_PROCESS = ("kill", "freeze", "stop", "jump-one", "cut", "slow", "silence", "refuse")
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


def phases(
    chance: random.Random,
    others: int,
    first: Sequence[str] = FIRST,
    makers: "Makers | None" = None,
) -> Iterator[Phase]:
    """Yield disturbances of the first process and so many *others* without end; those that come
    *first* are in every run."""
    makers = makers or MAKERS
    yield from (_aimed(makers[name][1], chance, others) for name in first)
    weights = [weight for weight, _ in makers.values()]
    while True:
        yield _aimed(chance.choices(list(makers.values()), weights)[0][1], chance, others)


def _aimed(make: "Maker", chance: random.Random, others: int) -> Phase:
    """Make a phase, and aim what it does to a process at one: half of the time at the first."""
    phase = make(chance)
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


Maker = Callable[[random.Random], Phase]
Makers = Mapping[str, tuple[int, Maker]]
"""How often, beside the others, and what."""

MAKERS: Makers = {
    "calm": (2, _calm),
    "kill": (5, _kill),
    "kills": (4, _kills),
    "kill-all": (2, _kill_all),
    "jump": (3, _jump),
    "freeze": (4, _freeze),
    "freezes": (3, _freezes),
    "long-freeze": (1, _long_freeze),
    "freeze-kill": (3, _freeze_kill),
    "stop": (2, _stop),
    "fill": (3, _fill),
    "long-fill": (1, _long_fill),
    "fill-kill": (3, _fill_kill),
    "customer": (4, _customer),
    "fill-stop": (1, _fill_stop),
    "fill-freeze": (2, _fill_freeze),
    "restore": (2, _restore),
}
