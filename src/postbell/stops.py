"""That somebody is about to change a batch, or a lane: a value of `records`."""

from datetime import datetime, timedelta

import msgspec

STOPPED_FOR = timedelta(seconds=20)
"""So long at most a batch or a lane is stopped by somebody who may have died of it."""


class Stop(msgspec.Struct, frozen=True):
    """Somebody wants to change a batch, or all that waits of a lane, by *until* at the latest: no
    request of it is begun.

    *is_still* is said by its worker, once none is under way either.
    """

    until: datetime
    is_still: bool = False
