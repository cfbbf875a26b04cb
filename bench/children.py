"""The bench's own processes: load, sink and floors, each ended with its context."""

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bench.service import AUTHORIZATION

LIMIT_S = 120.0


class Child:
    """A module of the bench as a process."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """Return the next line that it prints; it is killed after LIMIT_S without one."""
        assert self._process.stdout is not None
        timer = threading.Timer(LIMIT_S, self._process.kill)
        timer.start()
        text = self._process.stdout.readline()
        timer.cancel()
        if not text:
            command = " ".join(map(str, self._process.args[2:]))  # type: ignore[index]  # a list
            raise SystemExit(f"{command}: no answer within {LIMIT_S:g} s, or it failed")
        return text

    def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()


class Loaded(msgspec.Struct):
    """What a load reports when all its requests are answered."""

    accepted: int
    refused: dict[str, int]
    seconds: float
    sent_at: dict[str, float]


class Load(Child):
    """Posts *events* in requests of *size*; entering waits until its bodies are built."""

    def __init__(
        self,
        url: str,
        events: int,
        size: int,
        *,
        connections: int = 8,
        rate: float = 0.0,
        run: str = "main",
        first: int = 0,
    ) -> None:
        self._events = events // size * size
        super().__init__(
            "load",
            url,
            f"--authorization={AUTHORIZATION}",
            f"--requests={events // size}",
            f"--size={size}",
            f"--connections={connections}",
            f"--rate={rate}",
            f"--run={run}",
            f"--first={first}",
            f"--limit={LIMIT_S}",
        )

    def __enter__(self) -> Self:
        self.line()
        return self

    def go(self) -> Loaded:
        """Send everything; end the bench where an event was not accepted."""
        self.say("go")
        report = msgspec.json.decode(self.line(), type=Loaded)
        if report.accepted != self._events:
            raise SystemExit(
                f"{report.accepted} of {self._events} events accepted; others: {report.refused}"
            )
        return report


class Arrived(msgspec.Struct):
    """What the sink saw: times are seconds of the machine's monotonic clock."""

    events: int
    requests: int
    first: float
    last: float
    arrivals: dict[str, float]


class Sink(Child):
    """Answers 200 and counts *marker* until *events* of them came."""

    def __init__(self, events: int, marker: str, *, arrivals: bool = False) -> None:
        super().__init__("sink", str(events), marker, *(["--arrivals"] if arrivals else []))
        self.url = f"http://127.0.0.1:{self.line().strip()}/"

    def result(self) -> Arrived:
        return msgspec.json.decode(self.line(), type=Arrived)


class Broken(Child):
    """Receivers that are out of order."""

    def __init__(self) -> None:
        super().__init__("broken")
        self._urls = msgspec.json.decode(self.line(), type=dict[str, str])

    def urls(self, each: int) -> list[str]:
        """Return *each* URLs that hang, refuse and fail, and as many with names of no address."""
        unknown = [f"http://receiver-{n}.invalid/" for n in range(each)]  # RFC 6761 section 6.4
        return [url for url in self._urls.values() for _ in range(each)] + unknown


class Waited(msgspec.Struct):
    """Seconds until each answer of a steady client, and what was not 202 in time."""

    took_s: list[float]
    failed: dict[str, int]


class Steady(Child):
    """A client that posts *requests* events, *rate* a second; `go` waits for all answers."""

    def __init__(self, url: str, requests: int, rate: float, run: str) -> None:
        super().__init__(
            "steady",
            url,
            f"--authorization={AUTHORIZATION}",
            f"--requests={requests}",
            f"--rate={rate}",
            f"--run={run}",
        )

    def go(self) -> Waited:
        return msgspec.json.decode(self.line(), type=Waited)


class Did(msgspec.Struct):
    """What became of connections that misbehave."""

    opened: int
    refused: int
    closed: int
    held: int
    answered: int


class Mob(Child):
    """Clients that misbehave in one way; entering waits until all have connected."""

    def __init__(
        self, url: str, way: str, connections: int, networks: int, authorization: str
    ) -> None:
        super().__init__(
            "hostile",
            url,
            way,
            f"--connections={connections}",
            f"--networks={networks}",
            f"--authorization={authorization}",
        )

    def __enter__(self) -> Self:
        self.line()
        return self

    def now(self) -> Did:
        self.say("how is it")
        return msgspec.json.decode(self.line(), type=Did)


class Floor(Child):
    """A floor that serves ingest."""

    def __init__(self, work: str, blobs: Path, forward_to: str = "") -> None:
        super().__init__("floor", work, str(blobs), *([forward_to] if forward_to else []))
        self.url = f"http://127.0.0.1:{self.line().strip()}"


class FloorDelivery(Child):
    """A floor that posts what *blobs* holds, and ends.

    Everything is read and rendered *rounds* times; each body is signed and sent *copies* times.
    """

    def __init__(self, blobs: Path, url: str, dialect: str, rounds: int, copies: int) -> None:
        super().__init__("floor", "deliver", str(blobs), url, dialect, str(rounds), str(copies))

    def cpu_us(self) -> float:
        return float(self.line())
