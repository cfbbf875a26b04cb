"""What a server answers a notice: read for so long, and so much of it, at most.

A timeout of a socket is that of each read: who sends a byte now and then would never be done.
"""

import io
import socket
from typing import Any

from postbell.clock import Clock

MAX_BYTES = 1 << 16


class BoundedAnswer(io.RawIOBase):
    """What comes from *peer*, which has a timeout for each read, until *ends_s*, in seconds of the
    monotonic clock.  Later, and beyond MAX_BYTES, reading raises OSError."""

    def __init__(self, peer: socket.socket, clock: Clock, ends_s: float) -> None:
        super().__init__()
        self._peer = peer
        self._clock = clock
        self._each_s = peer.gettimeout() or 0.0
        self._ends_s = ends_s
        self._left_bytes = MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self._ends_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise TimeoutError("its answer takes too long")
        if not self._left_bytes:
            raise OSError(f"its answer has over {MAX_BYTES} bytes")
        self._peer.settimeout(min(left_s, self._each_s))
        size = self._peer.recv_into(memoryview(buffer)[: self._left_bytes])
        self._left_bytes -= size
        return size
