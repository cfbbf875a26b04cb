"""`postbell trail`: what commands change is there with who gave them."""

import os
import pwd

from tests.cli.running import Postbell


def test_a_commands_change_is_listed_with_the_machines_user_and_host(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    postbell("accounts", "create", "bolt")
    postbell("api-users", "create", "acme", "alice")

    entries = postbell.json("trail", "list", "--account", "acme")
    table = postbell("trail", "list", "--action", "api_user.created").stdout

    user = pwd.getpwuid(os.getuid()).pw_name
    assert [entry["action"] for entry in entries] == ["api_user.created", "account.created"]
    assert {entry["account"] for entry in entries} == {"acme"}
    assert entries[0]["actor"]["kind"] == "command"
    assert entries[0]["actor"]["name"].startswith(user)
    assert entries[0]["actor"]["address"] == os.uname().nodename
    assert entries[0]["new"]["name"] == "alice"
    assert len(table.splitlines()) == 2
    assert "name: -> alice" in table


def test_the_list_narrows(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    postbell("accounts", "create", "bolt")

    newest = postbell.json("trail", "list", "--limit", "1")
    nobody = postbell("trail", "list", "--actor", "guest")
    later = postbell.json("trail", "list", "--since", "2999-01-01T00:00:00Z")
    one = postbell.json("trail", "list", "--subject", "account:1")
    wrong = postbell("trail", "list", "--action", "no.such")

    assert [entry["subject"]["name"] for entry in newest] == ["bolt"]
    assert nobody.stdout == "nothing that fits was changed\n"
    assert later == []
    assert [entry["subject"]["name"] for entry in one] == ["acme"]
    assert wrong.returncode == 2
