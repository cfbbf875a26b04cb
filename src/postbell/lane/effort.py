"""How much work a lane is: what its requests cost, in events.

Of CPU time, a request costs about as much as 40 more events in one (decision 0020's figures: 141 us
for one of one event, 2.8 us for each of a thousand); a lane that stands still, next to nothing.
"""

from collections.abc import Iterable

from postbell.records import Entry

POST = 40.0
IDLE = 0.1
"""The work of a lane that has none, a second: they are shared, too."""


def effort_of(entries: Iterable[Entry]) -> float:
    """Return the work that these entries of the journal tell of."""
    return sum(each.posts * POST + each.count for each in entries if each.posts)
