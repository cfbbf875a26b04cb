"""A database of one good account and of one evil one for each hostile value of each column.

The evil accounts are copies of one that has a row in every table; a copy differs in one value,
which no face would have taken.
"""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from postbell.blocks import Position, Range, build_block
from postbell.clock import SystemClock
from postbell.ports import Engine, NewSecret
from postbell.records import (
    Entry,
    EntryKind,
    IdempotencyKey,
    LaneChange,
    OpenBatch,
    Outcome,
    Owner,
    Replay,
    ReplayFilter,
    Reset,
    SecretKind,
    Verdict,
    Webhook,
)
from postbell.sealing import Sealer, hash_key, load_or_create
from postbell.signing import new_secret
from postbell.storage import sqlite
from tests.fakes import KEY

STRIDE = 10
"""Ids of one copy and the next are so far apart."""

TEXTS = (
    "",
    "x" * 100_000,
    "\u202eevil\u2066\x9b31m\0\r\nBcc: eve@beta.example",
    ":;@b.example",
    "from-a-newer-release",
)
JSON = (
    *TEXTS,
    "[" * 50_000,
    '{"max_events": -1, "timeout_s": 1e308, "retry_waits_s": ["x"], "keep_parked_days": 1e300}',
    '{"keep_parked_days": 1e300}',
    '{"max_wait_s": 1e300}',
    '{"rate_per_s": 1e-320, "concurrency": 9999999999999999999999}',
    '["from-a-newer-release"]',
    "null",
    "9" * 5000,
)
INTEGERS = (-1, 0, -(2**63), 2**63 - 1, 253_402_300_800_000_000)
"""The last one is the first microsecond after year 9999."""

REALS = (float("inf"), -1.0, 5e-324)
BLOBS = (b"", b"\0", b"\xff" * 1000)
SEALED = (
    "",
    "no url",
    "http://[::1",
    "https://a.example:99999999/",
    "https://a\0b.example/\x9b",
    "file:///etc/passwd",
    "https://" + "x" * 100_000,
    '[["x-a", "b\\r\\nc: d"]]',
    '[["x-a"]]',
    "null",
)
HOSTILE: dict[str, tuple[Any, ...]] = {
    "TEXT": TEXTS,
    "INTEGER": INTEGERS,
    "REAL": REALS,
    "BLOB": BLOBS,
}
OF_JSON = {"types", "options", "policy", "filter", "ranges"}
IS_SEALED = {("webhooks", "url"), ("webhooks", "headers"), ("secrets", "value")}
"""What was not sealed with the installation's key is an engine error: here stand sealed values."""

OF_ALL = {"meta", "sqlite_sequence", "migrations"}
"""Tables of the installation, which no customer's data gets into."""

OF_THE_ENGINE = {
    ("blocks", "id"),
    ("heads", "next_sequence"),
    ("journal", "id"),
    ("lanes", "epoch"),
    ("lanes", "writes"),
    ("webhooks", "version"),
}
"""Counters that only the engine writes, and what orders all accounts' rows together."""

SHIFTED = {"id", "start_block", "cursor_block", "end_block", "position_block"}
SHIFTED |= {"first_block", "last_block"}
NAMED = {"name", "email", "api_user", "digest", "key"}


class Case(NamedTuple):
    table: str
    column: str
    value: Any


class Built(NamedTuple):
    """Where the database is, and what is wrong in it."""

    folder: Path
    cases: list[Case]
    refused: list[Case]


async def build(folder: Path, *, good_url: str, evil_url: str) -> Built:
    """Make a data folder for `postbell serve`; without *evil_url* with the good account alone."""
    folder.mkdir(parents=True, exist_ok=True)
    sealer = load_or_create(folder / "secret.key")
    engine = await sqlite.open(folder / "postbell.db", sealer, SystemClock())
    try:
        await _account(engine, "good", good_url, is_evil=False)
        if evil_url:
            await _account(engine, "evil", evil_url, is_evil=True)
    finally:
        await engine.close()
    if not evil_url:
        return Built(folder, [], [])
    db = sqlite3.connect(folder / "postbell.db", isolation_level=None)
    try:
        return _corrupt(db, folder, sealer)
    finally:
        db.close()


async def _account(engine: Engine, name: str, url: str, *, is_evil: bool) -> None:
    """Make an account with a row in every table; an evil one's webhook fails."""
    now = datetime.now(UTC)
    account = await engine.registry.add_account(name, now)
    user = await engine.registry.add_api_user(account.id, f"{name}-mail", hash_key(KEY), now)
    webhook = await engine.registry.add_webhook(
        Webhook(
            id=0,
            account_id=account.id,
            account=name,
            url=url,
            api_user=f"{name}-mail",
            headers=(("x-mine", "yes"),),
            policy={} if is_evil else {"max_wait_s": 0},
            created_at=now,
            updated_at=now,
        ),
        [NewSecret(SecretKind.SYMMETRIC, new_secret(SecretKind.SYMMETRIC), now)],
    )
    if not is_evil:
        return
    await engine.registry.add_secrets(
        [NewSecret(SecretKind.APP_KEY, new_secret(SecretKind.APP_KEY), now)], account_id=account.id
    )
    raws = [
        json.dumps(
            {
                "event_id": f"e{number}",
                "type": "delivered",
                "occurred_at": "2026-11-01T00:00:00Z",
                "api_user": f"{name}-mail",
                "recipient": "ada@example.net",
                "message": {"id": "m1"},
            }
        ).encode()
        for number in range(4)
    ]
    blocks = [build_block(account.id, user.id, raws, b"\x03" * 4, b"\1" * 32)]
    key = IdempotencyKey(account.id, "k", b"d", b'{"accepted":1,"duplicates":0,"rejected":[]}', now)
    (header,), _ = await engine.log.append(blocks, [key], head=await engine.log.head(), now=now)
    claim = await engine.ledger.lane(webhook.id)
    assert claim is not None

    def at(offset: int) -> Position:
        return Position(header.id, offset)

    def entry(kind: EntryKind, **members: Any) -> Entry:
        return Entry(
            kind=kind,
            at=now,
            account_id=account.id,
            webhook_id=webhook.id,
            revision=1,
            batch_id="b",
            range=Range(at(0), at(1)),
            count=1,
            **members,
        )

    failed = {"verdict": Verdict.RETRY, "outcome": Outcome(error="connect"), "attempt": 1}
    batch = OpenBatch(
        id="b",
        webhook_id=webhook.id,
        revision=1,
        range=Range(at(0), at(1)),
        count=1,
        cut_at=now,
        next_at=now,
        attempts=3,
        last_error="connect",
    )
    change = LaneChange(
        webhook_id=webhook.id,
        epoch=claim.lane.epoch,
        lane=msgspec.structs.replace(
            claim.lane, cursor=at(2), failures=5, failing_since=now - timedelta(hours=3)
        ),
        put=(batch, msgspec.structs.replace(batch, id="p", range=Range(at(1), at(2)))),
        entries=(entry(EntryKind.ATTEMPT, **failed), entry(EntryKind.EXPIRED)),
    )
    assert await engine.ledger.intervene(change)
    await engine.ledger.add_replay(
        Replay(
            id=0,
            account_id=account.id,
            webhook_id=webhook.id,
            revision=1,
            ranges=(Range(at(0), at(2)),),
            filter=ReplayFilter(),
            created_at=now,
        )
    )
    owner = await engine.owners.add(
        Owner(
            id=0,
            account_id=account.id,
            email=f"{name}@evil.example",
            password_hash="",
            created_at=now,
            language="fr",
            time_zone="Europe/Paris",
        )
    )
    await engine.owners.add_reset(Reset(b"r" * 32, owner.id, now + timedelta(hours=1)))


def _corrupt(db: sqlite3.Connection, folder: Path, sealer: Sealer) -> Built:
    """Copy the evil account once for each hostile value."""
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("BEGIN")
    tables = [
        name
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if name not in OF_ALL
    ]
    rows = {table: list(_evil_rows(db, table)) for table in tables}
    cases = [
        Case(table, column, value)
        for table in tables
        if rows[table]
        for column, kind in _columns(db, table)
        if (table, column) not in OF_THE_ENGINE
        for value in _values(table, column, kind, sealer)
    ]
    refused = []
    for number, case in enumerate(cases, 1):
        for table in tables:
            for row in rows[table]:
                copied = _copied(table, row, number)
                if table == case.table:
                    try:
                        _insert(db, table, copied | {case.column: case.value})
                        continue
                    except (sqlite3.IntegrityError, OverflowError):
                        refused.append(case)
                _insert(db, table, copied)
    newest = db.execute("SELECT max(id) FROM blocks WHERE id < 1000000").fetchone()[0]
    db.execute("UPDATE heads SET next_sequence = ? + 1 WHERE account_id = 0", (newest,))
    db.execute("UPDATE meta SET value = value + 1 WHERE name = 'registry_version'")
    db.execute("COMMIT")
    return Built(folder, cases, refused)


def _columns(db: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info({table})")]


def _values(table: str, column: str, kind: str, sealer: Sealer) -> Iterator[Any]:
    if (table, column) in IS_SEALED:
        yield from (sealer.seal(value) for value in SEALED)
    elif column in OF_JSON:
        yield from JSON
    else:
        yield from HOSTILE[kind]


def _evil_rows(db: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the second account, its webhook, its owner and its journal."""
    names = [name for name, _ in _columns(db, table)]
    for row in db.execute(f"SELECT * FROM {table}"):
        found = dict(zip(names, row, strict=True))
        mine = next((m for m in ("account_id", "webhook_id", "owner_id") if m in found), "id")
        of_webhook = found.get("webhook_id") == 2 or found.get("account_id") == 2
        is_evil = of_webhook or (
            mine != "account_id" and found[mine] == (1 if _of_one(table) else 2)
        )
        if is_evil:
            yield found


def _of_one(table: str) -> bool:
    """Say whether only the evil account has rows of a table, numbered from 1."""
    return table in ("journal", "resets", "sessions")


def _copied(table: str, row: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a row with ids and names of its own."""
    shift = number * STRIDE
    copied = dict(row)
    for column, value in row.items():
        is_id = column in SHIFTED or column.endswith("_id")
        if isinstance(value, int) and is_id:
            copied[column] = value + shift
        elif isinstance(value, str) and (column in NAMED or column == "id"):
            copied[column] = f"{number}-{value}"
        elif isinstance(value, bytes) and column in NAMED and table != "keys":
            copied[column] = value + str(number).encode()
    if table == "journal":
        copied["body"] = msgspec.msgpack.encode(
            [
                msgspec.structs.replace(
                    entry,
                    account_id=entry.account_id + shift,
                    webhook_id=entry.webhook_id + shift,
                    batch_id=f"{number}-b",
                )
                for entry in msgspec.msgpack.decode(row["body"], type=list[Entry])
            ]
        )
    return copied


def _insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    columns = ", ".join(f'"{column}"' for column in row)
    marks = ", ".join("?" * len(row))
    db.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({marks})",
        tuple(row.values()),
    )
