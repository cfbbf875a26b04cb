"""Every command that changes something leaves its entry, of the machine's user."""

import asyncio
import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import apsw
import click

from postbell.blocks import Position, Range
from postbell.cli.root import root
from postbell.clock import SystemClock
from postbell.desk.throttle import Throttle
from postbell.ports import Fact, Progress, Proof, RefusedFact, SourceState
from postbell.records import LaneChange, OpenBatch, Owner, Session
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.cli.running import Postbell
from tests.contract.making import block
from tests.reports.test_sources import standing

ADA, EVE = "ada@acme.example", "eve@acme.example"


class Deed(NamedTuple):
    """A command's words, and the entries that it leaves."""

    words: tuple[str, ...]
    actions: tuple[str, ...]


def deed(words: str, *actions: str) -> Deed:
    return Deed(tuple(words.split()), actions)


DEEDS = (
    deed(f"accounts create acme --owner {ADA}", "account.created", "owner.added"),
    deed("accounts create ops --owner opal@ops.example --operator",
         "account.created", "owner.added"),
    deed("app-key acme", "secret.created"),
    deed("app-key acme --rotate", "secret.rotated"),
    deed("accounts app-key acme"),
    deed("api-users create acme alice", "api_user.created"),
    deed("api-users rotate alice", "key.rotated"),
    deed("api-users add-key alice", "key.created"),
    deed("api-users revoke-key 3", "key.revoked"),
    deed("api-users revoke-key 3"),
    deed("webhooks create acme URL --dialect native", "webhook.created"),
    deed("webhooks update 1 --type open", "webhook.changed"),
    deed("webhooks update 1 --type open"),
    deed("webhooks update 1 --type all", "webhook.changed"),
    deed("webhooks pause 1", "webhook.paused"),
    deed("webhooks resume 1", "webhook.resumed"),
    deed("webhooks rotate 1", "secret.rotated"),
    deed("webhooks test 1", "webhook.tested"),
    deed("batches retry b1", "batch.retried"),
    deed("batches bisect b1", "batch.bisected"),
    deed("batches park b1", "batch.parked"),
    deed("batches park b1"),
    deed("batches split b1", "batch.split"),
    deed("batches skip b2 e2", "batch.event_skipped"),
    deed("replay 1", "replay.started"),
    deed("webhooks delete 1", "webhook.deleted"),
    deed("api-users revoke alice", "api_user.revoked"),
    deed(f"owners add acme {EVE}", "owner.added"),
    deed(f"owners reset-password {EVE}", "owner.password_changed"),
    deed(f"owners sign-out {ADA}", "session.ended"),
    deed(f"owners unlock {ADA}", "lock.lifted"),
    deed(f"owners reset-second-factor {ADA}", "second_factor.removed"),
    deed(f"owners remove {EVE}", "owner.removed"),
    deed(f"owners set-role {ADA} operator", "owner.changed"),
    deed("sources quarantine retry mail 2", "source.retried"),
    deed("sources quarantine drop mail 1", "source.discarded"),
    deed("sources quarantine drop mail", "source.discarded"),
    deed("sources quarantine drop mail"),
    deed("sources forget mail", "source.forgotten"),
    deed("suppressions add acme ada@example.net", "suppression.added"),
    deed("suppressions add acme ada@example.net"),
    deed("suppressions export acme FILE"),
    deed("suppressions remove acme ada@example.net", "suppression.removed"),
    deed("suppressions import acme FILE", "suppression.imported"),
    deed("suppressions import acme FILE"),
    deed("suppressions rules acme"),
    deed("suppressions rules acme --on", "suppression.rules_changed"),
    deed("suppressions rebuild", "suppression.rebuilt"),
    deed("index rebuild", "index.cleared"),
)  # fmt: skip
"""In this order, each on what those before it left."""

BY_THE_SERVER = {"serve", "demo", "listen", "events send", "health"}
"""They talk to a server or are one: what is changed comes in through its faces."""

READ_ONLY = {
    "audit", "accounts list", "owners list", "owners sessions", "api-users list", "api-users keys",
    "webhooks list",
    "webhooks show", "batches list", "batches show", "index status", "sources list", "trail list",
    "sources check", "sources quarantine list", "sources quarantine show",
    "suppressions list", "suppressions check", "verp make", "verp read", "workers",
}  # fmt: skip
OF_THE_FILE = {"migrate copy", "backup", "restore", "compact"}
"""They make, copy or exchange the file that the trail is in, and touch nobody's things."""


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the words of every command there is."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, (*path, name))


def test_every_command_that_changes_something_is_tried_here() -> None:
    known = set(commands(root))

    tried = {name for name in known for each in DEEDS if " ".join(each.words).startswith(name)}

    assert tried == known - BY_THE_SERVER - READ_ONLY - OF_THE_FILE


async def fill(folder: Path) -> None:
    """Leave events, two batches, and what ada has: a session, a lock, a second factor."""
    clock = SystemClock()
    engine = await sqlite.open(folder / "postbell.db", load_or_create(folder / "secret.key"), clock)
    now = clock.now()
    await engine.log.append([block(4)], [], head=0, now=now)
    claim = await engine.ledger.lane(1)
    assert claim is not None
    batches = [
        OpenBatch(
            id=name,
            webhook_id=1,
            revision=1,
            range=Range(Position(1, first), Position(1, first + 2)),
            count=2,
            cut_at=now,
        )
        for name, first in (("b1", 0), ("b2", 2))
    ]
    change = LaneChange(webhook_id=1, epoch=claim.lane.epoch, put=tuple(batches))
    assert await engine.ledger.record([change]) == []
    stopped = standing(clock, state=SourceState.STOPPED)
    revisions = await engine.checkpoints.tell({"mail": stopped})
    refused = [RefusedFact(Fact("here", b"no event"), "malformed", "no JSON")] * 2
    progress = [Progress("mail", revisions["mail"], b"", quarantine=refused)]
    await engine.log.append([], [], head=1, now=now, progress=progress)
    owner = await engine.owners.find(email=ADA)
    assert owner is not None
    await _with_factor(engine, owner)
    await engine.close()


async def _with_factor(engine: sqlite.SqliteEngine, owner: Owner) -> None:
    clock = SystemClock()
    now = clock.now()
    await Throttle(engine.tries, clock).admit("sign-in", "192.0.2.7", owner.email)
    session = Session(
        digest=b"here",
        owner_id=owner.id,
        account_id=owner.account_id,
        created_at=now,
        seen_at=now,
    )
    assert await engine.owners.open_session(session, expect=owner.password_hash)
    begun = await engine.second_factors.begin(
        owner.id, "JBSWY3DPEHPK3PXP", password_hash=owner.password_hash, now=now
    )
    assert begun is not None
    assert await engine.second_factors.put_in_force(
        Proof(begun.id, step=1),
        [b"c"],
        begun_after=now - timedelta(minutes=5),
        keep=b"here",
        now=now,
    )


def noted(folder: Path, after: int) -> list[tuple[int, str, str, str, str]]:
    """Return id, action, kind, host and face of the entries after *after*."""
    database = apsw.Connection(str(folder / "postbell.db"))
    found = database.execute(
        "SELECT id, action, actor_kind, address, face FROM trail WHERE id > ? ORDER BY id",
        (after,),
    ).fetchall()
    database.close()
    return found


def test_every_command_leaves_its_entries(tmp_path: Path) -> None:
    postbell = Postbell(tmp_path)
    newest = 0
    failed = []
    nobody = socket.socket()
    nobody.bind(("127.0.0.1", 0))  # and does not listen
    url = f"http://127.0.0.1:{nobody.getsockname()[1]}/in"
    file = str(tmp_path / "suppressions.csv")
    for words, actions in DEEDS:
        if words[:2] == ("batches", "retry"):
            asyncio.run(fill(tmp_path))
        done = postbell(*({"URL": url, "FILE": file}.get(word, word) for word in words))
        entries = noted(tmp_path, newest)
        newest = entries[-1][0] if entries else newest
        told = [action for _, action, *_ in entries]
        sources = {(kind, host, face) for _, _, kind, host, face in entries}
        if told != list(actions) or done.returncode not in (0, 1):
            failed.append((words, told, done.returncode, done.stderr[-300:]))
        assert sources <= {("command", os.uname().nodename, "cli")}

    nobody.close()
    assert failed == []
