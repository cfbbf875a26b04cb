"""`postbell verp`: addresses are made and read on the command line, and what comes back to one is
an event of whom it names."""

import json
import smtplib
import time
from pathlib import Path

import pytest

from tests.cli.running import LIMIT_S, Postbell, line_with
from tests.crash.harness import free_port
from tests.sources.mail.samples import FAILED, dsn

DOMAIN = "bounces.example.com"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def postbell(tmp_path: Path, port: int) -> Postbell:
    members = {
        "kind": "mail",
        "listen": f"127.0.0.1:{port}",
        "account": "acme",
        "api_user": "mailer",
        "only_signed": True,
    }
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN="127.0.0.1:0",
        POSTBELL_SOURCE_BOUNCES=json.dumps(members),
    )
    for account, user in (("acme", "mailer"), ("other", "theirs")):
        assert postbell("accounts", "create", account).returncode == 0
        assert postbell("api-users", "create", account, user).returncode == 0
    return postbell


def test_an_address_is_made_and_read(postbell: Postbell) -> None:
    words = ("verp", "make", "theirs", "ada@example.net", "--domain", DOMAIN, "--message-id", "m1")

    (made,) = postbell.json(*words)
    read = [postbell.json("verp", "read", made[name]) for name in ("return_path", "unsubscribe")]

    told = {"account": "other", "api_user": "theirs", "message_id": "m1"}
    told["recipient"] = "ada@example.net"
    assert read == [{"for": "bounces", **told}, {"for": "unsubscribe", **told}]
    assert made["return_path"].endswith(f"@{DOMAIN}") and made["holds"] == "message"
    name, header = made["header"].split(": ")
    assert name == "X-Postbell-Trace"
    assert postbell.json("verp", "read", header) == {"for": "header", **told}
    assert made["return_path"] in postbell(*words).stdout


def test_lines_are_addresses_of_many_mails(postbell: Postbell) -> None:
    lines = "ada@example.net m1\n\njörg@example.org\n"
    found = postbell("verp", "make", "mailer", "--domain", DOMAIN, given=lines)

    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [(row["recipient"], row["message_id"]) for row in rows] == [
        ("ada@example.net", "m1"),
        ("jörg@example.org", ""),
    ]


def test_a_wrong_line_keeps_no_other_out_and_is_named(postbell: Postbell) -> None:
    """And neither a mark of the file nor a blank in quotes makes another recipient."""
    lines = (
        '\ufeffada@example.net\tm1\r\nBob <bob@example.net>\n\n"x y"@example.net m2\n'
        f"carol@example.net {'m' * 300}\neve@example.net\n"
    )

    found = postbell("verp", "make", "mailer", "--domain", DOMAIN, given=lines)

    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [(row["recipient"], row["message_id"]) for row in rows] == [
        ("ada@example.net", "m1"),
        ('"x y"@example.net', "m2"),
        ("eve@example.net", ""),
    ]
    assert found.returncode == 1
    assert [line.partition(": ")[0] for line in found.stderr.splitlines()] == ["line 2", "line 5"]


def test_no_line_fills_the_memory_and_a_wrong_domain_is_told_at_once(postbell: Postbell) -> None:
    endless = postbell("verp", "make", "mailer", "--domain", DOMAIN, given="a" * 100_000)
    nowhere = postbell("verp", "make", "mailer", "--domain", "b ad", given="")

    assert endless.returncode == 2 and "line 1 of standard input has over 8192" in endless.stderr
    assert nowhere.returncode == 2 and "domain is 'b ad'" in nowhere.stderr


def test_what_was_not_made_here_is_said(postbell: Postbell) -> None:
    for wrong in ("b-aaaa@x", "ada@example.net", "xyz"):
        found = postbell("verp", "read", wrong)
        assert found.returncode != 0 and "was not made here" in found.stderr
    found = postbell("verp", "make", "nobody", "ada@example.net", "--domain", DOMAIN)
    assert found.returncode != 0 and "nobody" in found.stderr
    found = postbell("verp", "make", "mailer", "ada", "--domain", DOMAIN)
    assert found.returncode != 0 and "'ada' is no address" in found.stderr


def test_what_comes_back_is_an_event_of_whom_it_names(postbell: Postbell, port: int) -> None:
    (made,) = postbell.json("verp", "make", "theirs", "ada@example.net", "--domain", DOMAIN)
    alias = FAILED.replace("bob@example.org", "alias@elsewhere.example")
    with postbell.running("serve") as service:
        line_with(service, "postbell is (ready)")
        until_seen(postbell, state="up_to_date")
        with smtplib.LMTP("127.0.0.1", port, timeout=LIMIT_S) as server:
            assert server.sendmail("<>", [made["return_path"]], dsn(alias)) == {}
            assert server.sendmail("<>", [f"b-forged@{DOMAIN}"], dsn()) == {}
        row = until_seen(postbell, quarantined=1)

    assert (row["taken"], row["refused"], row["quarantined"]) == (1, 1, 1)
    assert "only_signed" in row["refusal"]


def until_seen(postbell: Postbell, **members: object) -> dict[str, object]:
    """Return the source once it stands so."""
    ends_s = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_s:
        for row in postbell.json("sources", "list"):
            if row | members == row and (row["refusal"] or not row["refused"]):
                return dict(row)
        time.sleep(0.1)
    raise AssertionError(members)
