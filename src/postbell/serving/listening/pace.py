"""How fast a peer has to be: the least rate of a body that comes and of an answer that is taken.

Both are buckets of seconds: what arrives (or is taken) adds to them at the least rate, waiting
empties them, and only waiting for the peer counts.
"""

import time

from postbell.settings.limits import PeerLimits

FIRST_READ_BYTES = 2 << 10
MOST_READ_BYTES = 34 << 10
"""Two records and what frames them: what OpenSSL was given at once it keeps room for, as long as
the connection is there; of 64 KiB each, ten thousand that do nothing would hold 2 GiB."""
GRACE_S = 0.002
READ_S = 100e-6
BYTE_S = 50e-9
"""What unsealing a request may cost in CPU time: so much, for each read so much more, and for each
byte.  A record that comes alone, as where a client sends each event when it has it, costs half a
read's on a busy machine; a byte costs a fortieth in large records, forty times as much in one of
its own."""


class ExchangePace:
    """The pace of one request's body and of its answer."""

    __slots__ = ("_limits", "_stalled_s", "_written_bytes", "body_s", "unsealing")

    def __init__(self, limits: PeerLimits) -> None:
        self._limits = limits
        self.unsealing: Unsealing | None = None
        self.begin()

    def begin(self) -> None:
        """Begin with another request."""
        self.body_s = self._limits.http_body_grace_s
        """For how long the body may still be waited for."""
        self._written_bytes = 0
        self._stalled_s = 0.0
        if self.unsealing is not None:
            self.unsealing.begin()

    def has_read(self, size_bytes: int) -> bool:
        """Count a read, and return whether TLS, if there is any, took few enough records."""
        return self.unsealing is None or self.unsealing.has_read(size_bytes)

    def came(self, size_bytes: int) -> None:
        """Count what came of the body."""
        more_s = size_bytes / self._limits.http_body_bytes_s
        self.body_s = min(self.body_s + more_s, self._limits.http_body_grace_s)

    def wrote(self, size_bytes: int) -> None:
        """Count what was written of the answer."""
        self._written_bytes += size_bytes

    def stalled(self, seconds: float) -> None:
        """Count a wait for the peer to take what was written."""
        self._stalled_s += seconds

    def write_s(self, left_bytes: int, grace_s: float) -> float:
        """Return how long the peer's taking of the answer may be waited for from the beginning
        of this wait on, *left_bytes* being what was not taken yet and *grace_s* for how long it
        may stay behind the least rate."""
        taken_bytes = self._written_bytes - left_bytes
        may_s = grace_s + taken_bytes / self._limits.http_body_bytes_s
        return may_s - self._stalled_s


class Unsealing:
    """What TLS costs of what a peer sends, which chooses how many records it makes of it.

    A read is small at first and twice as large after each that was cheap enough, so that what
    one turn of the loop spends on a connection before it is found out is small, too.
    """

    __slots__ = ("_began_s", "_left_s", "_read_bytes")

    def __init__(self) -> None:
        self._read_bytes = FIRST_READ_BYTES
        self.begin()

    def begin(self) -> None:
        """Begin with another request."""
        self._left_s = GRACE_S

    def reads(self) -> int:
        """Take the time of a read that begins; return how many bytes it may have."""
        self._began_s = time.thread_time()
        return self._read_bytes

    def has_read(self, size_bytes: int) -> bool:
        """Count a read, and return whether the peer's records are large enough."""
        self._left_s += READ_S + size_bytes * BYTE_S - (time.thread_time() - self._began_s)
        self._left_s = min(self._left_s, GRACE_S)
        self._read_bytes = min(2 * self._read_bytes, MOST_READ_BYTES)
        return self._left_s >= 0
