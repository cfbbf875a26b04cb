"""Reads lines as the source does, with what it remembers in a dictionary; and writes lines."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from postbell.events import Draft
from postbell.ports import Fact, Progress
from postbell.sources.postfix.mails import Mails
from postbell.sources.postfix.reader import Findings, LogReader
from postbell.sources.postfix.relays import Relays
from postbell.sources.whose import Owned, Whose
from postbell.storage.bounds import check_progress

OWN = Whose(Owned("acme", "mail"))
WRITTEN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def log_of(text: str, host: str = "mx1", at: str = "2026-11-30T10:00:00.123456+00:00") -> list[str]:
    """Return whole lines of `program: text` ones; blank lines are left out."""
    lines = (line.strip().partition(": ") for line in text.splitlines() if line.strip())
    return [
        f"{at} {host} {program if '/' in program else 'postfix/' + program}[7]: {said}"
        for program, _, said in lines
    ]


class Kept:
    """A source and all that it remembers; *size* lines are read at once."""

    def __init__(
        self,
        relays: Sequence[str] = (),
        zone: str = "UTC",
        size: int = 1000,
        whose: Whose = OWN,
    ) -> None:
        self.relays, self.size, self.whose = list(relays), size, whose
        self.values: dict[str, bytes] = {}
        self.findings = Findings()
        self.restart()

    def restart(self) -> None:
        """Forget what is only in memory."""
        self.reader = LogReader(Relays(self.relays), UTC, self.whose)

    def read(self, lines: Iterable[str | bytes], written_at: datetime = WRITTEN) -> list[Draft]:
        """Return the events of some lines."""
        raws = [line if isinstance(line, bytes) else line.encode() for line in lines]
        before = len(self.findings.drafts)
        for at in range(0, len(raws), self.size):
            numbered = [
                Fact(f"line {at + n}", raw) for n, raw in enumerate(raws[at : at + self.size], 1)
            ]
            self._read(numbered, written_at)
        return self.findings.drafts[before:]

    def _read(self, lines: list[Fact], written_at: datetime) -> None:
        seen = self.reader.look(lines, self.findings)
        mails = Mails(self._recall(self.reader.keys(seen)), self.reader.asked)
        mails.add_pages(self._recall(self.reader.page_keys(seen, mails)))
        self.reader.fold(seen, mails, written_at, self.findings)
        gone, new = mails.changes(written_at)
        check_progress([Progress("mail", 1, b"", remember=new)])
        for key in gone:
            self.values.pop(key, None)
        self.values |= {one.key: one.value for one in new}

    def _recall(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: self.values[key] for key in keys if key in self.values}


def kinds(drafts: Iterable[Draft]) -> list[tuple[str, str]]:
    return [(draft.type.value, draft.recipient) for draft in drafts]


def told(drafts: Iterable[Draft]) -> list[tuple[object, ...]]:
    """Return what is to be the same of events, however their lines were read."""
    return [
        (each.event_id, each.type, each.message, each.metadata, each.attempt) for each in drafts
    ]
