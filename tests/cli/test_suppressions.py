"""`postbell suppressions`: an account's list from the command line."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.directory import Directory
from postbell.ingest.ingest import Ingest
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from tests.cli.running import Postbell


@pytest.fixture
def postbell(tmp_path: Path) -> Postbell:
    """The command on a database with an account and an api user."""
    command = Postbell(tmp_path)
    command("accounts", "create", "acme")
    command("api-users", "create", "acme", "alice")
    return command


async def ingest(folder: Path, *raws: bytes) -> None:
    sealer = load_or_create(folder / "secret.key")
    engine = await sqlite.open(folder / "postbell.db", sealer, SystemClock())
    directory = Directory(engine.registry)
    await directory.refresh()
    taking = Ingest(engine, SystemClock(), directory)
    await taking.start()
    task = asyncio.create_task(taking.run())
    account, user = directory.known.accounts[1], directory.known.users["alice"]
    await taking.submit(account, user, raws)
    task.cancel()
    await engine.close()


def test_an_address_is_added_checked_and_removed(postbell: Postbell) -> None:
    added = postbell.json("suppressions", "add", "acme", "Ada@Example.net", "--note", "by phone")
    checked = postbell("suppressions", "check", "acme", "ADA@example.net", "bob@example.net")
    clear = postbell("suppressions", "check", "acme", "bob@example.net")
    removed = postbell.json("suppressions", "remove", "acme", "ada@EXAMPLE.net")
    again = postbell("suppressions", "remove", "acme", "ada@example.net")

    assert (added["address"], added["reason"], added["note"]) == (
        "Ada@Example.net", "manual", "by phone",
    )  # fmt: skip
    assert (checked.returncode, clear.returncode) == (1, 0)
    assert "ADA@example.net  yes         manual" in checked.stdout
    assert [row["address"] for row in removed] == ["Ada@Example.net"]
    assert again.returncode == 2
    assert "is not suppressed" in again.stderr


def test_what_is_for_one_api_user_is_not_for_the_whole_account(postbell: Postbell) -> None:
    postbell("suppressions", "add", "acme", "ada@example.net", "--api-user", "alice")

    checked = [
        postbell("suppressions", "check", "acme", "ada@example.net", *whose).returncode
        for whose in ((), ("--api-user", "alice"), ("--api-user", "all"))
    ]

    assert checked == [1, 1, 0]


def test_a_table_goes_out_and_comes_in(postbell: Postbell, tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_text("address,api_user,reason\na@x.example,alice,complaint\nno,,\nb@x.example,,\n")

    done = postbell("suppressions", "import", "acme", str(table))
    table.write_text("a@x.example,left out\nB@X.example\n")
    again = postbell.json("suppressions", "import", "acme", str(table))
    out = tmp_path / "out.csv"
    written = postbell("suppressions", "export", "acme", str(out))
    twice = postbell("suppressions", "export", "acme", str(out))

    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "2 added, 0 known, 1 refused")
    assert "line 3: 'no' is not an e-mail address" in done.stdout
    assert (again["added"], again["known"]) == (1, 1)
    assert "3 addresses written" in written.stdout
    lines = out.read_text().splitlines()
    assert [line.split(",")[:3] for line in lines] == [
        ["address", "api_user", "reason"],
        ["a@x.example", "all", "manual"],
        ["a@x.example", "alice", "complaint"],
        ["b@x.example", "all", "manual"],
    ]
    assert twice.returncode == 2


def test_an_export_that_the_disk_has_no_room_for_leaves_nothing_behind(
    postbell: Postbell, tmp_path: Path
) -> None:
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    note = "n" * 200
    table.write_text("address,note\n" + "".join(f"a{n}@x.example,{note}\n" for n in range(2000)))
    postbell("suppressions", "import", "acme", str(table))
    words = [sys.executable, "-m", "postbell", "suppressions", "export", "acme", str(out)]
    limited = ["sh", "-c", f'ulimit -f {200 * 2}; exec "$@"', "sh", *words]

    done = subprocess.run(limited, env=postbell.environ, capture_output=True, text=True)

    assert (done.returncode, out.exists()) == (2, False)
    assert f"cannot write {out}: file too large" in done.stderr


def test_a_table_that_breaks_off_is_refused_as_a_whole(postbell: Postbell, tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_text("".join(f"a{n}@x.example\n" for n in range(10_000)) + '"b@x.example')

    done = postbell("suppressions", "import", "acme", str(table))

    assert done.returncode != 0
    assert "line 10001 of the table cannot be read" in done.stderr
    assert postbell.json("suppressions", "list", "acme") == []


def test_a_rebuild_reads_the_whole_log_by_the_rules_of_now(
    postbell: Postbell, tmp_path: Path
) -> None:
    asyncio.run(ingest(tmp_path, b'{"type":"hard_bounce","recipient":"ada@example.net"}'))
    rules = postbell.json("suppressions", "rules", "acme", "--on", "--set", "soft_bounce.after=2")
    before = postbell.json("suppressions", "list", "acme")

    done = postbell("suppressions", "rebuild")

    after = postbell.json("suppressions", "list", "acme", "--reason", "hard_bounce")
    assert (rules["is_on"], rules["soft_bounce"]["after"]) == (True, 2)
    assert before == []
    assert done.stdout == "the suppression lists are up to block 1\n"
    assert [row["address"] for row in after] == ["ada@example.net"]


def test_a_rule_that_there_is_not_is_refused(postbell: Postbell) -> None:
    for words in ("soft_bounce.after=x", "after=3", "hard.after=3", "complaint.after=101"):
        assert postbell("suppressions", "rules", "acme", "--set", words).returncode != 0
