"""What happened, line by line: the same seed tells the same, byte for byte."""

from hashlib import blake2b

from tests.simulation.loop import Time

TOLD = 400
"""So many of the last lines are kept for who reads of a failure."""


class Trace:
    """Lines of what happened, at which moment; all of them make up the *digest*."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._digest = blake2b(digest_size=16)
        self.lines: list[str] = []
        self.count = 0

    def say(self, *words: object) -> None:
        line = f"{self._time.passed_s:.6f} {' '.join(map(str, words)).rstrip()}"
        self._digest.update(line.encode() + b"\n")
        self.count += 1
        self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()
