"""How fast a peer has to be: the least rate of a body that comes and of an answer that is taken.

Both are buckets of seconds: what arrives (or is taken) adds to them at the least rate, waiting
empties them, and only waiting for the peer counts.
"""

from postbell.limits import Limits


class Pace:
    """The pace of one request's body and of its answer."""

    __slots__ = ("_limits", "_stalled_s", "_written_bytes", "body_s")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.begin()

    def begin(self) -> None:
        """Begin with another request."""
        self.body_s = self._limits.http_body_grace_s
        """For how long the body may still be waited for."""
        self._written_bytes = 0
        self._stalled_s = 0.0

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

    def write_s(self, left_bytes: int) -> float:
        """Return how long the peer's taking of the answer may be waited for from the beginning
        of this wait on, *left_bytes* being what was not taken yet."""
        taken_bytes = self._written_bytes - left_bytes
        may_s = self._limits.http_write_s + taken_bytes / self._limits.http_body_bytes_s
        return may_s - self._stalled_s
