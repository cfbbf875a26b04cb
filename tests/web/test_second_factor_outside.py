"""Signing in with a code from outside, on the real service: what is used once is used once."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from html import unescape
from itertools import islice
from pathlib import Path

import httpx
import pyotp
import pytest

from tests.cli.prepared import prepare
from tests.cli.running import LIMIT_S, Postbell
from tests.web.proving import PATH, recovery_on, secret_on
from tests.web.walking import serving

PASSWORD, NEW = "correct horse battery", "an entirely new one"
OWNER = "owner@acme.example"
SESSIONS = "/settings/account/sessions"
DASHBOARD = "/webhooks"
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Service:
    """A real `postbell serve` with its command line, and an owner who adds further people."""

    def __init__(self, postbell: Postbell, base_url: str, stack: ExitStack) -> None:
        self.postbell = postbell
        self.base_url = base_url
        self._stack = stack
        self._people = 0

    def browser(self) -> "Browser":
        browser = Browser(self.base_url)
        self._stack.callback(browser.client.close)
        return browser

    def person(self) -> str:
        """Return the address of somebody new."""
        self._people += 1
        email = f"person{self._people}@acme.example"
        owner = self.browser()
        owner.sign_in(OWNER)
        owner.get("/settings/account")
        owner.send("/settings/account/users", email=email, user_password=PASSWORD)
        assert "The user can sign in now." in owner.page.text
        return email


class Browser:
    """Sends forms as a browser without scripts does."""

    def __init__(self, base_url: str) -> None:
        self.client = httpx.Client(base_url=base_url, follow_redirects=True, timeout=LIMIT_S)
        self.page: httpx.Response

    def get(self, path: str) -> str:
        self.page = self.client.get(path)
        return unescape(self.page.text)

    def send(self, path: str, **fields: str) -> str:
        found = CSRF.search(self.page.text)
        assert found, "the page has no form"
        self.page = self.client.post(path, data={"csrf": found[1], **fields})
        return unescape(self.page.text)

    def sign_in(self, email: str, password: str = PASSWORD) -> str:
        self.get("/login")
        return self.send("/login", email=email, password=password)

    @property
    def is_in(self) -> bool:
        return self.client.get(DASHBOARD).url.path == DASHBOARD

    def set_up(self) -> tuple["Codes", list[str]]:
        self.get(PATH)
        codes = Codes(secret_on(self.send(f"{PATH}/begin", present=PASSWORD)))
        shown = self.send(f"{PATH}/confirm", code=codes.fresh())
        assert self.page.status_code == 200, shown
        return codes, recovery_on(shown)


class Codes:
    """An authenticator that never shows a code twice; two of them need no wait."""

    def __init__(self, secret: str) -> None:
        self._codes = pyotp.TOTP(secret)
        self._last = 0

    def fresh(self) -> str:
        """Return the code of now, or of the next step where that of now was shown before."""
        self._last = max(int(time.time()) // 30, self._last + 1)
        return self.shown()

    def shown(self, steps: int = 0) -> str:
        """Return the code that was shown last, or of so many steps after it."""
        return self._codes.generate_otp(self._last + steps)

    def wrong(self, count: int) -> list[str]:
        """Return six digits, so often, that are no code in these minutes."""
        near = {self.shown(steps) for steps in range(-5, 20)}
        guesses = (each for each in map("{:06}".format, range(1000)) if each not in near)
        return list(islice(guesses, count))


@contextmanager
def started(folder: Path, **settings: str) -> Iterator[Service]:
    postbell = Postbell(folder, **settings)
    words = ("accounts", "create", "acme", "--owner", OWNER, "--password-file", "-")
    prepare(postbell.folder, words, given=PASSWORD)
    with ExitStack() as stack:
        yield Service(postbell, stack.enter_context(serving(postbell)), stack)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with started(tmp_path_factory.mktemp("codes") / "data") as service:
        yield service


@pytest.fixture
def ada(service: Service) -> str:
    """The address of somebody who has no second factor yet."""
    return service.person()


def test_a_code_opens_one_session_however_many_send_it_at_once(service: Service, ada: str) -> None:
    here = service.browser()
    here.sign_in(ada)
    codes, (recovery, *_) = here.set_up()
    browsers = [service.browser() for _ in range(4)]
    for browser in browsers:
        browser.sign_in(ada)
        assert browser.page.url.path == "/login/code"

    def of_two(code: str) -> list[int]:
        pair = [browsers.pop(), browsers.pop()]
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda one: one.send("/login/code", code=code), pair))
        return sorted(one.page.status_code for one in pair)

    by_code, by_recovery = of_two(codes.fresh()), of_two(recovery)

    assert by_code == by_recovery == [200, 422]


def test_codes_that_were_used_or_are_older_open_nothing(service: Service, ada: str) -> None:
    here, there = service.browser(), service.browser()
    here.sign_in(ada)
    codes, _ = here.set_up()
    there.sign_in(ada)

    of_setting_up = there.send("/login/code", code=codes.shown())
    older = there.send("/login/code", code=codes.shown(-1))
    was_in = there.is_in
    there.send("/login/code", code=codes.fresh())

    assert "was used already" in of_setting_up
    assert "was used already" in older
    assert (was_in, there.is_in) == (False, True)


def test_guessing_codes_ends_after_five_from_wherever(service: Service, ada: str) -> None:
    here = service.browser()
    here.sign_in(ada)
    codes, _ = here.set_up()
    statuses = []
    for guess in codes.wrong(6):
        thief = service.browser()
        thief.sign_in(ada)
        thief.send("/login/code", code=guess)
        statuses.append(thief.page.status_code)

    thief.get("/login/code")
    thief.send("/login/code", code=codes.fresh())

    assert statuses == [422] * 5 + [429]
    assert thief.page.status_code == 429
    assert not thief.is_in
    assert here.is_in


def test_a_new_password_ends_what_the_old_one_began(service: Service, ada: str) -> None:
    here, thief = service.browser(), service.browser()
    here.sign_in(ada)
    codes, (recovery, *_) = here.set_up()
    thief.sign_in(ada)
    here.get("/settings/account")
    here.send("/settings/account/password", present=PASSWORD, password=NEW)

    by_code = thief.send("/login/code", code=codes.fresh())
    thief.sign_in(ada)
    again = thief.page.status_code

    here.sign_in(ada, NEW)
    assert "This took too long" in by_code
    assert (again, thief.is_in, here.is_in) == (422, False, True)
    assert recovery


def test_who_must_have_one_reaches_no_other_page_and_no_stream(tmp_path: Path) -> None:
    with started(tmp_path / "data", POSTBELL_SECOND_FACTOR="required") as service:
        browser = service.browser()
        browser.sign_in(OWNER)
        paths = (
            *("/", DASHBOARD, "/batches", "/events", "/live", "/operator", SESSIONS),
            *("/settings/api", "/settings/account", f"{PATH}/off"),
        )
        led = {path: browser.client.get(path).url.path for path in paths}
        users = browser.client.post(
            "/settings/api/users", data={"csrf": CSRF.findall(browser.get(PATH))[0], "name": "shop"}
        )
        by_cookie = [
            browser.client.get(path).status_code
            for path in ("/api/v1/webhooks", "/v1/webhooks", "/v2/email-service/webhook")
        ]

        codes, _ = browser.set_up()
        other = service.browser()
        other.sign_in(OWNER)
        other.send("/login/code", code=codes.fresh())

        assert set(led.values()) == {PATH}
        assert users.url.path == PATH
        assert by_cookie == [401, 401, 401]
        assert browser.is_in
        assert other.is_in
        assert service.postbell.json("api-users", "list") == []


def test_signing_out_everywhere_ends_others_and_their_streams_at_once(
    service: Service, ada: str
) -> None:
    made = service.postbell.json("api-users", "create", "acme", "shop")
    here, thief, bob = (service.browser() for _ in range(3))
    here.sign_in(ada)
    thief.sign_in(ada)
    bob.sign_in(OWNER)
    here.get(SESSIONS)
    listed = len(re.findall(r'<tr id="session-', here.page.text))

    with thief.client.stream("GET", "/live") as stream:
        lines = stream.iter_lines()
        opened = next(lines)
        here.send(f"{SESSIONS}/others/end")
        event = {"type": "delivered", "recipient": "ada@example.net"}
        sent = httpx.post(
            f"{service.base_url}/api/v1/events",
            auth=("shop", made["api_key"]),
            content=json.dumps([event]),
            headers={"content-type": "application/json"},
        )
        told = [line for line in lines if line]

    assert (listed, opened, sent.status_code) == (2, "retry: 5000", 202)
    assert told == []
    assert (here.is_in, thief.is_in, bob.is_in) == (True, False, True)


def test_the_operators_commands_end_sessions_and_remove_a_lost_factor(
    service: Service, ada: str
) -> None:
    here = service.browser()
    here.client.headers["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0 <evil>"
    here.sign_in(ada)
    here.set_up()
    (shown,) = service.postbell.json("owners", "sessions", ada)
    has_one = {
        row["email"]: row["second_factor"] for row in service.postbell.json("owners", "list")
    }

    reset = service.postbell.json("owners", "reset-second-factor", ada)
    was_in = here.is_in
    here.sign_in(ada)
    is_in = here.is_in
    ended = service.postbell.json("owners", "sign-out", ada)

    assert (shown["device"], shown["place"]) == ("Firefox, Linux", "127.0.0.1")
    assert {each: has_one[each] for each in (ada, OWNER)} == {ada: True, OWNER: False}
    assert reset == {"email": ada, "second_factor": False}
    assert (was_in, is_in) == (False, True)
    assert ended == {"email": ada, "ended": 1}
    assert not here.is_in


def test_the_secret_and_the_recovery_codes_are_not_in_the_database(
    service: Service, ada: str
) -> None:
    here = service.browser()
    here.sign_in(ada)
    here.get(PATH)
    secret = secret_on(here.send(f"{PATH}/begin", present=PASSWORD))
    recovery = recovery_on(here.send(f"{PATH}/confirm", code=pyotp.TOTP(secret).now()))

    stored = b"".join(
        path.read_bytes() for path in service.postbell.folder.glob("postbell.db*") if path.is_file()
    )

    hidden = [secret, *recovery, *(code.replace("-", "") for code in recovery)]
    assert b"second_factors" in stored
    assert [text for text in hidden if text.encode() in stored] == []
    assert [text for text in hidden if text.upper().encode() in stored] == []
