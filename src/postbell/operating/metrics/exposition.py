"""`/metrics`: what a Prometheus server reads of this process and of the installation.

Counts of events and attempts follow the log and the journal, states of webhooks come from
`standings`, of the one process that looks at them; the library `prometheus_client` writes the text.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from postbell import __version__
from postbell.clock import Clock
from postbell.directory import Directory
from postbell.duties import Duty
from postbell.errors import Overloaded, StorageError
from postbell.fences import fence
from postbell.operating.metrics.crew import crew_families
from postbell.operating.metrics.following import Following
from postbell.operating.metrics.requests import MetricsApp, Requests, Scrape
from postbell.operating.metrics.shapes import OTHER, Counter, Histogram, Labels, gauge
from postbell.operating.metrics.sources import source_families
from postbell.operating.metrics.tallies import tallies
from postbell.operating.standings import Standing, Standings
from postbell.ports import Engine, Space
from postbell.presence import ALONE, Doing
from postbell.reports.crew import CrewReport, ProcessView
from postbell.reports.sources import OperatorSourceView, SourcesReport
from postbell.signals import heard
from postbell.suppressions import AccountRules

MAX_WEBHOOKS = 100
"""Webhooks with values of their own, the worst first; of all others there are sums."""
MAX_LISTS = 100
"""Suppression lists with a value of their own, the longest; the others are one sum."""
LOOP_EVERY_S = 0.5
LOOP_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
HEALTHS = ("up_to_date", "behind", "failing", "paused")


class PoolUse(NamedTuple):
    """How full one pool of connections to receivers is."""

    pool: str
    in_use: int
    waiting: int
    limit: int


Pools = Callable[[], Iterable[PoolUse]]


class DoorCounts(Protocol):
    """What is counted of a listener: its connections by state, and why some were refused or
    ended."""

    @property
    def name(self) -> str: ...

    @property
    def refused(self) -> Mapping[str, int]: ...

    @property
    def ended(self) -> Mapping[str, int]: ...

    def states(self) -> Iterable[tuple[str, int]]: ...


class Metrics:
    """Everything that is measured; `run` follows, `write` tells."""

    def __init__(
        self,
        engine: Engine,
        directory: Directory,
        standings: Standings,
        clock: Clock,
        *,
        role: str,
        region: str,
        pools: Pools,
        doors: Sequence[DoorCounts] = (),
        doing: Doing = ALONE,
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._space = Space()
        self._sources: list[OperatorSourceView] = []
        self._lists: dict[int, AccountRules] = {}
        self._crew = CrewReport(engine.crew)
        self._processes: list[ProcessView] = []
        self._unheld = 0
        self._reported = SourcesReport(engine.checkpoints, engine.quarantine, clock)
        self._following = Following(engine, directory, tells=role != "api", doing=doing)
        self._doing = doing
        self._standings = standings
        self._clock = clock
        self._pools = pools
        self._doors = doors
        self._about = {"version": __version__, "role": role, "region": region}
        self.requests = Requests()
        self._damaged: set[int] = set()
        self._loop = Histogram(
            "postbell_loop_delay_seconds",
            "How late the event loop wakes up.",
            (),
            LOOP_BOUNDS_S,
        )

    async def run(self) -> None:
        """Follow log, journal and loop until cancelled."""
        with heard("block_damaged", lambda fields: self._damaged.add(fields["block"])):
            await self._follow()

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._following.run(), name="metrics-following")
            tasks.create_task(self._watch_loop(), name="metrics-loop")

    async def read(self) -> None:
        """Count what is new of the log and the journal, now."""
        await self._following.read()

    def scrape(self, token: str | None) -> Scrape:
        """Return the endpoint for those who bring *token*: nobody for "", everybody for None."""
        return Scrape(self.write, token=token)

    def listener(self) -> MetricsApp:
        """Return the application of a listener of its own."""
        return MetricsApp(self.scrape(None))

    async def write(self, accept: str) -> tuple[str, bytes]:
        """Return content type and text in the best form that *accept* names."""
        with suppress(StorageError, Overloaded):
            self._space = await self._engine.space()
            self._sources = await self._reported.all()
            self._lists = await self._engine.suppressions.rules()
            self._processes = await self._crew.all()
            self._unheld = await self._crew.unheld()
        return await asyncio.to_thread(_encode, list(self.families()), accept)

    def families(self) -> Iterator[Metric]:
        """Yield everything but what the libraries know of the process; what cannot be told is left
        out, and keeps nothing else away."""
        following = self._following
        about = InfoMetricFamily("postbell", "What runs here.")
        about.add_metric((), self._about)
        yield about
        kept = (
            following.accepted,
            following.attempts,
            following.delivered,
            following.lost,
            following.answers,
            following.delays,
            self.requests.counted,
            self.requests.times,
            self._loop,
        )
        for each in kept:
            with fence("metrics", item=each.name):
                yield each.family()
        for made in (
            self._webhooks,
            self._connections,
            self._clients,
            self._disk,
            self._read,
            self._suppressed,
            self._held,
            tallies,
        ):
            found: list[Metric] = []
            with fence("metrics", item=made.__name__):
                found = list(made())
            yield from found
        yield gauge(
            "postbell_damaged_blocks",
            "Blocks of the log found damaged since the start of the process.",
            (),
            [((), len(self._damaged))],
        )
        yield gauge(
            "postbell_clock_sure",
            "1, or 0 after a jump of the clock or a start, while nothing is dropped for its age.",
            (),
            [((), float(self._clock.is_sure))],
        )

    def _webhooks(self) -> Iterator[Metric]:
        if self._doing.term(Duty.FIGURES) is None:
            return  # they are another process's to tell
        seen = list(self._standings.seen.values())
        counts = dict.fromkeys(HEALTHS, 0)
        for each in seen:
            counts[_health(each)] += 1
        yield gauge(
            "postbell_webhooks",
            "Webhooks by health.",
            ("health",),
            [((health,), count) for health, count in counts.items()],
        )
        for name, help_text in _SUMS:
            total = sum(getattr(each, name) for each in seen)
            yield gauge(f"postbell_{name}_events", help_text, (), [((), total)])
        worst_s = max((each.lag_s for each in seen), default=0.0)
        yield gauge(
            "postbell_lag_seconds",
            "Longest wait of an event since it could be sent.",
            (),
            [((), worst_s)],
        )
        shown = sorted(seen, key=_badness, reverse=True)[:MAX_WEBHOOKS]
        for member, name, help_text in _OF_WEBHOOK:
            rows = [
                ((str(each.webhook_id), each.account), float(getattr(each, member)))
                for each in shown
            ]
            yield gauge(name, help_text, ("webhook", "account"), rows)

    def _connections(self) -> Iterator[Metric]:
        uses = list(self._pools())
        rows: list[tuple[tuple[str, ...], float]] = []
        for use in uses:
            rows += [((use.pool, "in_use"), use.in_use), ((use.pool, "waiting"), use.waiting)]
        yield gauge(
            "postbell_connections", "Requests to receivers, by pool.", ("pool", "state"), rows
        )
        yield gauge(
            "postbell_connections_limit",
            "Requests to receivers at once, at most.",
            ("pool",),
            [((use.pool,), use.limit) for use in uses],
        )

    def _disk(self) -> Iterator[Metric]:
        for member, name, help_text in _OF_DISK:
            yield gauge(name, help_text, (), [((), getattr(self._space, member))])

    def _read(self) -> Iterator[Metric]:
        """Tell of the installation's sources, whichever process runs them."""
        return source_families(self._sources, self._clock.now())

    def _held(self) -> Iterator[Metric]:
        return crew_families(self._doing, self._processes, self._unheld)

    def _suppressed(self) -> Iterator[Metric]:
        entries: dict[Labels, int] = {}
        longest = sorted(self._lists.items(), key=lambda each: each[1].entries, reverse=True)
        for number, (account_id, of) in enumerate(longest):
            account = self._directory.known.accounts.get(account_id)
            name = OTHER if account is None or number >= MAX_LISTS else account.name
            entries[(name,)] = entries.get((name,), 0) + of.entries
        yield gauge(
            "postbell_suppressions",
            "Addresses on suppression lists: the longest by account, and of all others.",
            ("account",),
            entries.items(),
        )

    def _clients(self) -> Iterator[Metric]:
        yield gauge(
            "postbell_http_connections",
            "Connections of clients, by listener and state.",
            ("listener", "state"),
            [((door.name, state), count) for door in self._doors for state, count in door.states()],
        )
        for member, label, help_text in _OF_DOOR:
            family = Counter(f"postbell_http_{member}", help_text, ("listener", label))
            for door in self._doors:
                for name, count in getattr(door, member).items():
                    family.add((door.name, name), count)
            yield family.family()

    async def _watch_loop(self) -> None:
        while True:
            due_s = time.monotonic() + LOOP_EVERY_S
            await asyncio.sleep(LOOP_EVERY_S)
            self._loop.observe((), max(time.monotonic() - due_s, 0.0))


def _health(standing: Standing) -> str:
    return "paused" if standing.state == "paused" else standing.health


def _badness(standing: Standing) -> tuple[float, int, int]:
    return standing.lag_s, standing.waiting, standing.webhook_id


_SUMS = (
    ("waiting", "Events that wait, over all webhooks; one event counts for each of them."),
    ("parked", "Events that were given up on, over all webhooks."),
)
_OF_WEBHOOK = (
    (
        "lag_s",
        "postbell_webhook_lag_seconds",
        "Longest wait of an event for a webhook, since it could be sent.",
    ),
    ("waiting", "postbell_webhook_waiting_events", "Events that wait for a webhook."),
    ("parked", "postbell_webhook_parked_events", "Events of a webhook that were given up on."),
    ("failures", "postbell_webhook_failures", "Failed attempts since a webhook's last success."),
)


_OF_DISK = (
    ("database_bytes", "postbell_database_bytes", "Size of the database file."),
    ("free_bytes", "postbell_database_free_bytes", "What nothing lies in, of the database file."),
    ("wal_bytes", "postbell_database_wal_bytes", "Size of the WAL beside the database file."),
)
_OF_DOOR = (
    ("refused", "reason", "Connections and requests that were refused unheard, by reason."),
    ("ended", "limit", "Connections ended by a limit, by the state or limit that ended them."),
)


class _Given(Collector):
    """Hands over families that were made before."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _encode(families: Sequence[Metric], accept: str) -> tuple[str, bytes]:
    registry = CollectorRegistry()
    registry.register(_Given(families))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    encoder, content_type = choose_encoder(accept)
    return content_type, encoder(registry)
