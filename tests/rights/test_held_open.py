"""A right that ends while a request is on its way is no right: every write of every face.

Each request is held open (its head is taken, its body awaited), the right is ended elsewhere, the
body is completed: the answer is a refusal, and not a row was written.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.app.test_routes import served, wired
from tests.rights import writes
from tests.rights.world import ADA, ALICE, OPAL, Answer, World, opened
from tests.rights.writes import FORM, JSON, NEW_PASSWORD, PASSWORD, Write, filled

KEY_ENDED = {401}
SESSION_ENDED = {303, 403, 404}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path / "data") as world:
        yield world


class Ending(NamedTuple):
    """How a right ends: what does it."""

    end: Callable[[World], None]


def _revoke(world: World) -> None:
    user_id = world.known["of alice"]
    assert world.other.post(f"/api/v1/api-users/{user_id}/revoke", json={}).status_code == 200


def _rotate(world: World) -> None:
    user_id = world.known["of alice"]
    assert world.other.post(f"/api/v1/api-users/{user_id}/rotate", json={}).status_code == 200


def _revoke_by_command(world: World) -> None:
    assert world.postbell("api-users", "revoke", "alice").returncode == 0
    feed = world.base_url + "/api/v1/feed"
    for _ in range(100):
        if httpx.get(feed, auth=ALICE).status_code == 401:
            return
    raise AssertionError("a revoked key still reads")


KEY_ENDS = {"revoked": _revoke, "rotated": _rotate, "by_command": _revoke_by_command}


def _change_password(world: World) -> None:
    elsewhere = world.visitor(ADA)
    page = "/settings/account"
    done = elsewhere.post(page, page + "/password", present=PASSWORD, password=NEW_PASSWORD)
    assert done.status_code == 303, done.text  # 422 where the password is not changed


def _remove(world: World) -> None:
    assert world.postbell("owners", "remove", ADA).returncode == 0


def _make_operator(world: World) -> None:
    assert world.postbell("owners", "set-role", ADA, "operator").returncode == 0


SESSION_ENDS = {"password": _change_password, "removed": _remove, "other_role": _make_operator}


@pytest.mark.parametrize("ending", KEY_ENDS)
def test_a_key_that_ended_while_the_body_came_writes_nothing(world: World, ending: str) -> None:
    held = [(write, world.hold(write)) for write in writes.OF_KEYS]
    body = filled(writes.GRANT, world.known)[1]
    grant = world.held("POST", writes.GRANT.path, {"Content-Type": JSON}, body)
    KEY_ENDS[ending](world)
    before = world.everything()

    answers = {write.title: request.finish() for write, request in held}
    granted = grant.finish()

    assert {name: one.status for name, one in answers.items() if one.status != 401} == {}
    assert granted.status == 401, granted.text
    assert world.everything() == before


@pytest.mark.parametrize("ending", SESSION_ENDS)
def test_a_session_that_ended_while_the_form_came_writes_nothing(world: World, ending: str) -> None:
    ada = world.visitor(ADA)
    held = [(write, world.hold_form(write, ada)) for write in writes.PAGES]
    SESSION_ENDS[ending](world)
    before = world.everything()

    answers = {write.title: request.finish() for write, request in held}

    assert {name: one for name, one in answers.items() if not is_at_the_door(one)} == {}
    assert world.everything() == before


def test_who_signed_out_while_the_form_came_writes_nothing(world: World) -> None:
    ada = world.visitor(ADA)
    held = [(write, world.hold_form(write, ada)) for write in writes.PAGES]
    assert ada.post("/settings/account", "/logout").status_code == 303
    before = world.everything()

    answers = {write.title: request.finish() for write, request in held}

    assert {name: one for name, one in answers.items() if not is_at_the_door(one)} == {}
    assert world.everything() == before


def test_an_operator_who_is_none_any_more_writes_nothing(world: World) -> None:
    opal = world.visitor(OPAL)
    held = [
        (write, world.hold_form(write, opal)) for write in (*writes.OPERATOR_PAGES, *writes.PAGES)
    ]
    assert world.postbell("owners", "set-role", OPAL, "user").returncode == 0
    before = world.everything()

    answers = {write.title: request.finish() for write, request in held}

    assert {name: one for name, one in answers.items() if not is_at_the_door(one)} == {}
    assert world.everything() == before


def test_a_password_that_was_changed_meanwhile_opens_no_session(world: World) -> None:
    with httpx.Client(base_url=world.base_url) as guest:
        form = guest.get("/login")
        cookies = "; ".join(f"{one.name}={one.value}" for one in guest.cookies.jar)
    body = f"csrf={_token(form.text)}&email={ADA}&password={PASSWORD.replace(' ', '+')}".encode()
    login = world.held("POST", "/login", {"Cookie": cookies, "Content-Type": FORM}, body)
    _change_password(world)
    before = world.everything()

    answer = login.finish()

    assert answer.status == 422
    assert world.everything() == before


def test_the_new_password_stands_after_an_old_form(world: World) -> None:
    ada = world.visitor(ADA)
    change = Write(
        "POST", "/settings/account/password", {"present": PASSWORD, "password": "taken by me"}, 303
    )
    prefer = Write("POST", "/settings/account", {"language": "fr"}, 303)
    body = "csrf={}&present={}&password=taken+by+me".format(
        ada.token(), PASSWORD.replace(" ", "+")
    ).encode()
    headers = {"Cookie": ada.cookies, "Content-Type": FORM}
    held = [
        world.held("POST", change.path, headers, body),
        world.held("POST", prefer.path, headers, body + b"&language=fr"),
    ]
    _change_password(world)

    answers = [request.finish() for request in held]

    assert all(is_at_the_door(answer) for answer in answers), answers
    world.visitor(ADA, NEW_PASSWORD)


def test_what_holds_is_done_by_every_row(world: World) -> None:
    """Without it a mistyped row would look like a refusal."""
    ada, opal = world.visitor(ADA), world.visitor(OPAL)
    ends = [write for write in writes.OF_KEYS if write.method == "DELETE"]
    done: dict[str, Answer] = {}
    rows = [
        *((write, world.hold) for write in writes.OF_KEYS if write not in ends),
        *((write, partial(world.hold_form, visitor=opal)) for write in writes.OPERATOR_PAGES),
        *((write, partial(world.hold_form, visitor=ada)) for write in writes.PAGES),
        *((write, world.hold) for write in ends),
    ]
    for write, hold in rows:
        done[write.title] = hold(write).finish()

    expected = {write.title: write.done for write, _ in rows}
    assert {name: one.status for name, one in done.items()} == expected, done


async def test_every_write_that_is_served_is_in_a_table(tmp_path: Path) -> None:
    found = served(await wired(tmp_path / "data"))

    known = {
        (write.method, write.path)
        for write in (*writes.OF_KEYS, *writes.PAGES, *writes.OPERATOR_PAGES, writes.GRANT)
    }
    known |= set(writes.OPEN_PAGES)
    served_writes = {(method, path) for method, path in found if method not in READS}
    assert served_writes - known == set(), "a new write; put it into a table of tests/rights/writes"
    assert known - served_writes == set(), "no such route any more"


READS = {"GET", "any method"}


def is_at_the_door(answer: Answer) -> bool:
    """Return whether a page sent its visitor to sign in."""
    return answer.status == 303 and answer.location.startswith("/login")


def _token(page: str) -> str:
    return page.split('name="csrf" value="')[1].split('"')[0]
