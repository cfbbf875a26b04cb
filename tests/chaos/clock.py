"""The wall clock of the service's processes, which a test can put ahead and back while they run."""

import struct
from pathlib import Path

from tests.powerloss.calls import library


class WallClock:
    """In force in every process that is started with *env*; their monotonic clocks go on evenly."""

    def __init__(self, folder: Path, name: str = "clock") -> None:
        self._file = folder / name
        self._file.write_bytes(bytes(8))
        self.env = {
            "LD_PRELOAD": str(library()),
            "POWERLOSS_CLOCK": str(self._file),
        }

    def put(self, ahead_s: int) -> None:
        """Let it be *ahead_s* seconds ahead of the machine's, or behind it below 0."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", ahead_s))
