"""The source `postfix` at work over a real file: what comes in, and what it remembers."""

import json
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from postbell import sources
from postbell.errors import BadInput
from postbell.ports import Fact, Recall, SourceState
from tests.delivery.rig import Rig, running
from tests.sources.postfix.reading import log_of
from tests.sources.postfix.test_reader import EXPIRED, FULL, QID, QUEUED, REMOVED, SENT
from tests.sources.test_running import reading, row_of, stands, until

SECOND = count()
OWNER = {"account": "acme", "api_user": "main"}


def open_one(log: Path) -> Any:
    return sources.open({"kind": "postfix", "path": str(log), **OWNER})


def append(log: Path, *texts: str) -> None:
    """Append lines, each text a second after the one before."""
    with log.open("a") as file:
        for text in texts:
            minute, second = divmod(next(SECOND), 60)
            at = f"2026-11-30T10:{minute:02}:{second:02}Z"
            file.writelines(f"{line}\n" for line in log_of(text, at=at))


async def stored(rig: Rig) -> list[dict[str, Any]]:
    headers = await rig.engine.log.tail(0, 1000)
    blocks = await rig.engine.log.load([header.id for header in headers])
    return [json.loads(raw) for block in blocks for raw in block.events()]


def kinds(events: Iterable[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def test_lines_come_in_with_their_mail_over_restarts_and_rotation(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    async with running() as rig:
        append(log, QUEUED, FULL)
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=2))
        log.rename(tmp_path / "mail.log.1")
        append(log, FULL)
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=3))
            append(log, SENT, REMOVED)
            await until(stands(rig, "mail", taken=4))

        found = await row_of(rig, "mail")
        events = await stored(rig)
        assert kinds(events) == ["request", "deferred", "deferred", "delivered"]
        assert [event["message"]["subject"] for event in events] == ["Reçu"] * 4
        assert events[-1]["attempt"]["n"] == 3
        assert (found.position, found.refused, found.duplicates) == ("line 3", 0, 0)
        key = f"mx1/postfix/{QID}"
        assert await rig.engine.checkpoints.recall("mail", [key], rig.clock.now()) == {}


async def test_a_log_that_is_read_again_gives_the_same_events(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    async with running() as rig:
        append(log, QUEUED, FULL, FULL, EXPIRED, REMOVED)
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=4))
        (tmp_path / "other.log").write_text("\n" + log.read_text())
        async with reading(rig, again=open_one(tmp_path / "other.log")):
            await until(stands(rig, "again", duplicates=4))

        assert len(await stored(rig)) == 4


async def test_what_is_damaged_is_counted_and_clients_turned_away_are_told(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    async with running() as rig:
        log.write_bytes(b"no log\n" + b"x" * (1 << 18) + b"\n")
        append(log, "postscreen: NOQUEUE: reject: RCPT from [192.0.2.66]:5011: 550 5.7.1 no", SENT)
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", taken=1, state=SourceState.UP_TO_DATE))
        append(log, "smtpd: NOQUEUE: reject: RCPT from x[192.0.2.66]: 554 5.7.1 no")
        async with reading(rig, mail=open_one(log)):
            await until(stands(rig, "mail", position="line 5, 2 clients turned away"))

        assert (await row_of(rig, "mail")).refused == 2


async def test_a_line_is_read_again_wherever_the_source_stands(tmp_path: Path) -> None:
    async with running() as rig:
        facts = [Fact("line 1", line.encode()) for line in [*log_of(SENT), "damaged"]]

        found = await open_one(tmp_path / "mail.log").read(facts, recall_of(rig))

        assert [draft.type.value for draft in found.drafts] == ["delivered"]
        assert (found.facts, [each.fact for each in found.refused]) == (facts[:1], facts[1:])


async def test_recipients_that_are_too_many_to_remember_are_counted(tmp_path: Path) -> None:
    async with running() as rig:
        far = "x" * 240
        many = [FULL.replace("ada@", f"{n}{far}@") for n in range(6000)]
        facts = [Fact("line 1", line.encode()) for text in many for line in log_of(text)]

        found = await open_one(tmp_path / "mail.log").read(facts, recall_of(rig))

        [refusal] = found.refused
        assert (len(found.drafts), refusal.code) == (6000, "too_many")
        assert 0 < int(refusal.fact.place.split()[0]) < 6000


def recall_of(rig: Rig) -> Recall:
    return lambda keys: rig.engine.checkpoints.recall("mail", keys, rig.clock.now())


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"path": "mail.log"}, "an absolute path expected"),
        ({}, "name either the log in 'path' or 'journal = true'"),
        ({"path": "/x", "journal": True}, "name either the log in 'path' or 'journal = true'"),
        ({"path": "/x", "zone": "Europe/Paris2"}, "no time zone 'Europe/Paris2'"),
        ({"path": "/x", "zone": "/etc/passwd"}, "no time zone"),
        ({"path": "/x", "relays": "smart"}, "relays"),
        ({"path": "/x", "relays": ["10.0.0.1/8"]}, "relays: .* write 10.0.0.0/8 for all of that"),
        ({"path": "/x", "relay": ["smart"]}, "unknown field `relay`; members: .*relays"),
    ],
)
def test_a_source_that_is_said_wrong_is_refused(members: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        sources.open({"kind": "postfix", **OWNER, **members})


@pytest.mark.parametrize(
    "texts",
    [(QUEUED, SENT), (QUEUED, FULL, SENT), (QUEUED, FULL, FULL), (QUEUED, FULL, FULL, EXPIRED)],
    ids=["sent", "sent-late", "deferred", "expired"],
)
async def test_a_line_of_the_quarantine_is_read_with_its_mail_that_is_gone(
    texts: tuple[str, ...], tmp_path: Path
) -> None:
    rule = {"sasl_login": "shop", "account": "shop", "api_user": "bulk"}
    source = sources.open(
        {"kind": "postfix", "path": str(tmp_path / "mail.log"), "rule": [rule], **OWNER}
    )

    async def forgotten(_: Iterable[str]) -> dict[str, bytes]:
        return {}

    lines = [line for text in texts for line in log_of(text)]
    came = await source.read([Fact("line 1", line.encode()) for line in lines], forgotten)

    kept = [came.facts[-1]._replace(kept=7)]
    again = await source.read(kept, forgotten)

    of_last = [
        draft for draft, fact in zip(came.drafts, came.facts, strict=True) if fact == came.facts[-1]
    ]
    assert (again.drafts, again.rules) == (of_last, came.rules[-len(of_last) :])
    assert {draft.account for draft in again.drafts} == {"shop"}
    assert (again.facts, again.forget, again.remember) == (kept * len(of_last), [], [])


async def test_a_damaged_line_is_kept_with_its_mail(tmp_path: Path) -> None:
    source = open_one(tmp_path / "mail.log")
    damaged = SENT.replace("to=<ada@", "to=<a > da@")
    facts = [Fact("line 1", line.encode()) for text in (QUEUED, damaged) for line in log_of(text)]

    async def forgotten(_: Iterable[str]) -> dict[str, bytes]:
        return {}

    (first,) = (await source.read(facts, forgotten)).refused
    (again,) = (await source.read([first.fact._replace(kept=7)], forgotten)).refused

    assert first.fact.raw.startswith(facts[-1].raw + b"\n") and b'"shop"' in first.fact.raw
    assert again == first._replace(fact=first.fact._replace(kept=7))
