"""What tests of a second factor need: an authenticator, and a person who sets it up."""

import re

import pyotp

from tests.web.visiting import ADA, PASSWORD, Browser, House

PATH = "/settings/account/second-factor"


class Authenticator:
    """Shows the codes of a secret, as a phone does."""

    def __init__(self, house: House, secret: str) -> None:
        self._house = house
        self._codes = pyotp.TOTP(secret)

    def code(self, steps: int = 0) -> str:
        """Return the code of now, or of so many steps of 30 s after it."""
        return self._codes.at(self._house.service.clock.now(), counter_offset=steps)

    def wrong(self) -> str:
        """Return six digits that are no code about now."""
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(each for each in map("{:06}".format, range(10)) if each not in near)

    def next(self) -> str:
        """Let a step go by and return the new code."""
        self._house.service.clock.advance(30)
        return self.code()


def secret_on(page: str) -> str:
    """Return the secret that a page shows as text."""
    found = re.search(r'<code class="secret">([A-Z2-7 ]+)</code>', page)
    assert found, "no secret is shown"
    return found[1].replace(" ", "")


def recovery_on(page: str) -> list[str]:
    """Return the recovery codes that a page shows."""
    found = re.search(r'<pre class="codes"[^>]*>([^<]+)</pre>', page)
    assert found, "no recovery codes are shown"
    return found[1].split()


async def set_up(house: House, browser: Browser) -> tuple[Authenticator, list[str]]:
    """Set a factor up on the pages; return the authenticator and the recovery codes."""
    await browser.get(PATH)
    secret = secret_on(await browser.send(f"{PATH}/begin", present=PASSWORD))
    authenticator = Authenticator(house, secret)
    shown = await browser.send(f"{PATH}/confirm", code=authenticator.code())
    assert browser.status == 200
    return authenticator, recovery_on(shown)


async def half_way(house: House, email: str = ADA, **options: str) -> Browser:
    """Return a browser whose password was right and that is asked for a code."""
    browser = house.browser(**options)
    await browser.sign_in(email)
    assert browser.path == "/login/code"
    return browser
