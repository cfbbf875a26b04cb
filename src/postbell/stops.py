"""That somebody is about to change a batch: a value of `records`."""

from datetime import datetime, timedelta

import msgspec

STOPPED_FOR = timedelta(minutes=1)
"""So long at most a batch is stopped by somebody who may have died of it."""


class Stop(msgspec.Struct, frozen=True):
    """Somebody wants to change a batch, by *until* at the latest: no request of it is begun.

    *is_still* is said by its worker, once none is under way either.
    """

    until: datetime
    is_still: bool = False
