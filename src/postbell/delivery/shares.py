"""Who works for which webhooks: even by work, not by count.

Each worker looks at itself alone: it knows the work of each of its lanes, and of every other worker
what all of his are together (`ports.crew`).  Pure: no clock, no storage.
"""

import heapq
from collections.abc import Mapping

TOLERANCE = 1.2
"""A worker gives nothing while it has at most so many times what each would have."""
WORTH = 0.9
"""One lane alone goes only where the worker with more of the two then has so much at most of what
the giver had."""
ROUNDING = 1e-6
Shares = dict[str, list[int]]


def to_hand_over(me: str, mine: Mapping[int, float], others: Mapping[str, float]) -> Shares:
    """Return which of my lanes go to whom, so that everybody has about as much work.

    *mine* is the work of each of my lanes (I am *me*), *others* that of each other worker.  Who has
    more than the mean fills up those who have less, up to it, in proportion to what he has too
    much: however many give at once, nobody gets too much.  Where no lane is small enough for that,
    who has the most of all gives the one that helps most.  What goes leaves the mean as it is, so
    it does not come back.
    """
    total = sum(mine.values())
    mean = (total + sum(others.values())) / (len(others) + 1)
    if not others or total <= mean * TOLERANCE:
        return {}
    too_much = total - mean
    part = too_much / (too_much + sum(max(work - mean, 0.0) for work in others.values()))
    left = sorted(mine, key=lambda lane: (-mine[lane], lane))
    found: Shares = {}
    for name in sorted(others, key=lambda name: (others[name], name)):
        room, kept = (mean - others[name]) * part, []
        for lane in left:
            if mine[lane] <= room + ROUNDING:
                room -= mine[lane]
                found.setdefault(name, []).append(lane)
            else:
                kept.append(lane)
        left = kept
    return found or _one(me, mine, others)


def share_out(mine: Mapping[int, float], others: Mapping[str, float]) -> Shares:
    """Return to whom each of my lanes goes when I leave: the heaviest first, to who has least."""
    found: Shares = {}
    least = [(work, name) for name, work in others.items()]
    heapq.heapify(least)
    for lane in sorted(mine, key=lambda lane: (-mine[lane], lane)) if least else ():
        work, name = least[0]
        heapq.heapreplace(least, (work + mine[lane], name))
        found.setdefault(name, []).append(lane)
    return found


def _one(me: str, mine: Mapping[int, float], others: Mapping[str, float]) -> Shares:
    """Return the lane after whose going the two who are concerned are the most alike."""
    total = sum(mine.values())
    if any((work, name) > (total, me) for name, work in others.items()):
        return {}
    name = min(others, key=lambda name: (others[name], name))

    def more(lane: int) -> float:
        return max(total - mine[lane], others[name] + mine[lane])

    best = min(mine, key=lambda lane: (more(lane), lane))
    return {name: [best]} if more(best) <= total * WORTH else {}
