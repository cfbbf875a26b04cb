"""What the demo shows: batches as they arrive, live on a terminal, else a line each."""

import contextlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from postbell.cli import verify
from postbell.cli.receiver import Reaction, Received
from postbell.text.printable import one_line

SHOWN = 12


class BoardRow(NamedTuple):
    """A row of the table: a batch, or several of one event each that came after another."""

    time: str
    dialect: str
    batch_id: str
    batches: int
    events: int
    signature: str


class Board:
    """The demo's receiver: verifies, answers, and shows each delivery."""

    def __init__(self) -> None:
        self.secrets: Mapping[str, str] = {}
        self.sent = 0
        self._totals: dict[str, list[int]] = {}
        self._latest: deque[BoardRow] = deque(maxlen=SHOWN)
        self._console = Console(highlight=False)
        self._live: Live | None = None

    async def answer(self, delivery: Received) -> Reaction:
        """Take a delivery whose signature is right; refuse others with 401."""
        dialect = delivery.path.lstrip("/").partition("?")[0]
        if delivery.method != "POST":
            return Reaction()
        looked_at = verify.delivery_of(delivery)
        checked = verify.check(looked_at, self.secrets.get(dialect, ""), dialect)
        events = verify.event_count(looked_at, dialect)
        batch_id = one_line(verify.batch_id_of(delivery.headers))
        if checked.is_good is False:
            self.say(f"refused {batch_id} {dialect}: {checked.reason}")
            return Reaction(401)
        total = self._totals.setdefault(dialect, [0, 0])
        total[0] += 1
        total[1] += events
        if self._live is None:
            print(f"delivered {batch_id} {dialect} {events} events", flush=True)
        else:
            clock = delivery.at.astimezone().strftime("%H:%M:%S")
            self._note(BoardRow(clock, dialect, batch_id, 1, events, checked.reason))
            self._live.update(self._picture())
        return Reaction()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if self._live is None:
            print(line, flush=True)
        else:
            self._console.print(Text(line), soft_wrap=True)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the live table inside the block, where there is a terminal."""
        if not sys.stdout.isatty():
            yield
            return
        with Live(self._picture(), console=self._console, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def _note(self, row: BoardRow) -> None:
        last = self._latest[-1] if self._latest else None
        is_more = last and last.dialect == row.dialect and last.events == last.batches
        if last and is_more and row.events == 1:
            self._latest.pop()
            row = row._replace(batches=last.batches + 1, events=last.events + 1)
        self._latest.append(row)

    def _picture(self) -> Group:
        totals = "   ".join(
            f"{dialect} {batches:,} batches, {events:,} events"
            for dialect, (batches, events) in sorted(self._totals.items())
        )
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("TIME", style="dim")
        table.add_column("DIALECT", style="cyan")
        table.add_column("NEWEST BATCH", overflow="fold")
        table.add_column("BATCHES", justify="right")
        table.add_column("EVENTS", justify="right")
        table.add_column("SIGNATURE", style="green")
        for row in self._latest:
            table.add_row(*(Text(str(cell)) for cell in row))
        summary = Text(f"{self.sent:,} events accepted   {totals or 'waiting for batches'}")
        return Group(summary, Text(), table, Text("Ctrl-C ends it", style="dim"))
