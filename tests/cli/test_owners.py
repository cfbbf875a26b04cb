"""Who signs in, from the command line: the first owner, further ones, a reset."""

import asyncio
from pathlib import Path

import pytest

from postbell.cli.office import opened
from postbell.clock import SystemClock
from postbell.desk.throttle import Throttle
from postbell.errors import TooMany, Unauthorized
from postbell.settings.members import Settings
from postbell.settings.values import Address
from tests.cli.running import Postbell

PASSWORD = "correct horse battery"


def sign_in(postbell: Postbell, email: str, password: str) -> bool:
    """Return whether the pair opens a session."""

    async def work() -> bool:
        settings = Settings(data_dir=postbell.folder, listen=Address("127.0.0.1", 0))
        async with opened(settings) as office:
            try:
                await office.desk.sign_in(email, password)
            except Unauthorized:
                return False
            return True

    return asyncio.run(work())


def test_an_account_is_created_with_its_owner(postbell: Postbell, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")

    made = postbell.json(
        "accounts", "create", "acme", "--owner", "Ada@Example.com", "--password-file", str(file)
    )

    assert made["owner"] == "ada@example.com"
    assert "password" not in made
    assert sign_in(postbell, "ada@example.com", PASSWORD)


def test_without_a_file_a_password_is_made_and_shown_once(postbell: Postbell) -> None:
    made = postbell.json("accounts", "create", "acme", "--owner", "ada@example.com")
    listed = postbell("owners", "list")

    assert len(made["password"]) >= 20
    assert sign_in(postbell, "ada@example.com", made["password"])
    assert made["password"] not in listed.stdout
    assert "ada@example.com" in listed.stdout


@pytest.mark.parametrize(
    ("owner", "password", "said"),
    [("nobody", PASSWORD, "e-mail address"), ("ada@example.com", "short", "10 to 256")],
)
def test_nothing_is_created_where_the_owner_is_wrong(
    postbell: Postbell, owner: str, password: str, said: str
) -> None:
    done = postbell(
        "accounts", "create", "acme", "--owner", owner, "--password-file", "-", given=password
    )

    assert done.returncode == 2
    assert said in done.stderr
    assert postbell.json("accounts", "list") == []


def test_an_address_that_signs_in_creates_no_second_account(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme", "--owner", "ada@example.com")

    done = postbell("accounts", "create", "beta", "--owner", "ada@example.com")

    assert done.returncode == 2
    assert [row["name"] for row in postbell.json("accounts", "list")] == ["acme"]


def test_an_operators_reset_replaces_the_password(postbell: Postbell) -> None:
    made = postbell.json("accounts", "create", "acme", "--owner", "ada@example.com")

    reset = postbell.json("owners", "reset-password", "ada@example.com")

    assert not sign_in(postbell, "ada@example.com", made["password"])
    assert sign_in(postbell, "ada@example.com", reset["password"])


def test_owners_are_added_and_removed_but_the_last_user_stays(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme", "--owner", "ada@example.com")
    added = postbell.json("owners", "add", "acme", "bob@example.com")
    postbell.json("owners", "remove", "ada@example.com")

    last = postbell("owners", "remove", "bob@example.com")

    assert added["is_operator"] is False
    assert last.returncode == 2
    assert "last user" in last.stderr
    assert [row["email"] for row in postbell.json("owners", "list", "acme")] == ["bob@example.com"]


def try_to_sign_in(postbell: Postbell, address: str, count: int) -> list[bool]:
    """Return for each of *count* tries for ada whether it was admitted."""

    async def work() -> list[bool]:
        settings = Settings(data_dir=postbell.folder, listen=Address("127.0.0.1", 0))
        async with opened(settings) as office:
            throttle, admitted = Throttle(office.engine.tries, SystemClock()), []
            for _ in range(count):
                try:
                    await throttle.admit("sign-in", address, "ada@example.com")
                except TooMany:
                    admitted.append(False)
                else:
                    admitted.append(True)
            return admitted

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (("Ada@example.com",), {"email": "ada@example.com"}),
        (("--network", "2001:db8::7"), {"network": "2001:db8::/64"}),
    ],
)
def test_an_operator_lifts_a_lock(
    postbell: Postbell, chosen: tuple[str, ...], named: dict[str, str]
) -> None:
    postbell("accounts", "create", "acme", "--owner", "ada@example.com")
    before = try_to_sign_in(postbell, "2001:db8::1", 11)

    lifted = postbell.json("owners", "unlock", *chosen)

    assert before == [True] * 10 + [False]
    assert lifted == named | {"lifted": 2}
    assert try_to_sign_in(postbell, "2001:db8::1", 1) == [True]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ((), "EMAIL or --network"),
        (("ada@example.com", "--network", "::1"), "EMAIL or --network"),
        (("--network", "home"), "not an IP address"),
        (("bob@example.com",), "nobody signs in as"),
    ],
)
def test_a_lock_of_nobody_is_not_lifted(
    postbell: Postbell, chosen: tuple[str, ...], said: str
) -> None:
    postbell("accounts", "create", "acme", "--owner", "ada@example.com")

    done = postbell("owners", "unlock", *chosen)

    assert done.returncode == 2
    assert said in done.stderr


def test_operators_are_listed_and_removed_but_the_last_one_stays(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme", "--owner", "ada@example.com")
    for email in ("root@example.com", "more@example.com"):
        postbell.json("owners", "add", "acme", email, "--operator")
    listed = postbell.json("owners", "list", "--operators")
    gone = postbell.json("owners", "remove", "more@example.com")

    last = postbell("owners", "remove", "root@example.com")

    assert [row["email"] for row in listed] == ["root@example.com", "more@example.com"]
    assert gone == {"removed": "more@example.com", "is_operator": True}
    assert last.returncode == 2
    assert "last operator" in last.stderr


def test_a_role_is_given_and_taken_back(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme", "--owner", "ada@example.com")
    postbell.json("owners", "add", "acme", "root@example.com", "--operator")
    raised = postbell.json("owners", "set-role", "ada@example.com", "operator")
    lowered = postbell.json("owners", "set-role", "root@example.com", "user")

    last = postbell("owners", "set-role", "ada@example.com", "user")

    assert (raised["is_operator"], lowered["is_operator"]) == (True, False)
    assert last.returncode == 2
    assert "last operator" in last.stderr


def test_a_password_file_needs_an_owner(postbell: Postbell) -> None:
    done = postbell("accounts", "create", "acme", "--operator")

    assert done.returncode == 2
    assert "--owner" in done.stderr


def test_sessions_are_listed_and_ended(postbell: Postbell) -> None:
    made = postbell.json("accounts", "create", "acme", "--owner", "ada@example.com")
    for _ in range(2):
        sign_in(postbell, "ada@example.com", made["password"])

    listed = postbell.json("owners", "sessions", "ada@example.com")
    ended = postbell.json("owners", "sign-out", "ada@example.com")
    after = postbell("owners", "sessions", "ada@example.com")

    assert len({each["id"] for each in listed}) == 2
    assert set(listed[0]) == {"id", "device", "place", "seen_at", "created_at"}
    assert ended == {"email": "ada@example.com", "ended": 2}
    assert after.stdout == "no session of ada@example.com\n"


def test_a_second_factor_that_is_not_there_cannot_be_reset(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme", "--owner", "ada@example.com")

    done = postbell("owners", "reset-second-factor", "ada@example.com")
    unknown = postbell("owners", "sessions", "nobody@example.com")

    assert (done.returncode, unknown.returncode) == (2, 2)
    assert "has no second factor" in done.stderr
    assert "nobody signs in" in unknown.stderr
    assert postbell.json("owners", "list")[0]["second_factor"] is False
