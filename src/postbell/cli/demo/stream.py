"""Realistic events without end: messages that are sent, arrive or bounce, are read and clicked."""

import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from postbell.clock import rfc3339

ACTIVE_MESSAGES = 12

Extra = dict[str, Any]


class StoryStep(NamedTuple):
    """The event that comes next for a message, and with which chance the message goes on."""

    type: str
    extra: Extra
    chance: float = 1.0


class DemoMail(NamedTuple):
    """A message under way, with the steps that are left."""

    message: Extra
    recipient: str
    tags: list[str]
    steps: list[StoryStep]


class Stream:
    """Events in a plausible mixture; the same *seed* gives the same ones, times apart."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._made = 0
        self._active: list[DemoMail] = []

    def take(self, count: int, now: datetime) -> list[Extra]:
        """Return the next *count* events, as they happen at *now*."""
        at = rfc3339(now)
        return [self._next() | {"occurred_at": at} for _ in range(count)]

    def _next(self) -> Extra:
        if not self._active or len(self._active) < self._random.randint(1, ACTIVE_MESSAGES):
            self._active.append(self._mail())
        place = self._random.randrange(len(self._active))
        mail = self._active[place]
        step = mail.steps.pop(0)
        if not mail.steps or self._random.random() > mail.steps[0].chance:
            self._active.pop(place)
        return {
            "type": step.type,
            "recipient": mail.recipient,
            "message": mail.message,
            "tags": mail.tags,
            **step.extra,
        }

    def _mail(self) -> DemoMail:
        self._made += 1
        chance = self._random
        name, domain = chance.choice(_NAMES), chance.choice(_DOMAINS)
        recipient = f"{name}@{domain}"
        sender, subject, tag = chance.choice(_MAILS)
        number = 1000 + self._made
        message = {
            "id": f"demo-{self._seed}-{number}",
            "from": sender,
            "subject": subject.format(number=number),
        }
        return DemoMail(message, recipient, [tag], list(self._steps(recipient, domain)))

    def _steps(self, recipient: str, domain: str) -> Iterator[StoryStep]:
        chance = self._random
        mx = f"mx{chance.randint(1, 3)}.{domain}"
        yield StoryStep("request", {})
        yield StoryStep("sent", {}, 0.99)
        fate = chance.random()
        if fate < 0.10:
            reply = {"code": 451, "enhanced": "4.7.1", "text": "try again later", "mx": mx}
            yield StoryStep("deferred", {"smtp": reply, "attempt": {"n": 1}})
        if fate < 0.03:
            text = f"550 5.1.1 <{recipient}>: user unknown"
            yield StoryStep(
                "hard_bounce",
                {
                    "smtp": {"code": 550, "enhanced": "5.1.1", "text": text, "mx": mx},
                    "bounce": {"class": "userunknown", "type": "hard"},
                },
            )
            return
        if fate < 0.06:
            text = f"552 5.2.2 <{recipient}>: mailbox full"
            yield StoryStep(
                "soft_bounce",
                {
                    "smtp": {"code": 552, "enhanced": "5.2.2", "text": text, "mx": mx},
                    "bounce": {"class": "mailboxfull", "type": "soft"},
                },
            )
            return
        reply = {"code": 250, "enhanced": "2.0.0", "text": "2.0.0 OK", "mx": mx, "tls": True}
        yield StoryStep("delivered", {"smtp": reply})
        client = self._client()
        yield StoryStep(
            "open", {"client": client, "actor": {"kind": "human", "confidence": 0.9}}, 0.45
        )
        page = chance.choice(_PAGES)
        yield StoryStep("click", {"client": client, "link": {"url": page, "index": 0}}, 0.35)
        if chance.random() < 0.6:
            yield StoryStep(
                "unsubscribe", {"client": client, "unsubscribe": {"method": "link"}}, 0.12
            )
        else:
            yield StoryStep("spam_report", {"complaint": {"feedback_type": "abuse"}}, 0.05)

    def _client(self) -> Extra:
        agent, name, version, system = self._random.choice(_CLIENTS)
        return {
            "ip": f"203.0.113.{self._random.randint(1, 254)}",
            "ua": agent,
            "name": name,
            "name_version": version,
            "os": system,
        }


_NAMES = ("ada", "grace", "alan", "edsger", "barbara", "donald", "радия", "niklaus", "margaret")
_DOMAINS = ("example.net", "example.org", "mail.example.com")
_MAILS = (
    ("shop@mail.example.com", "Your order № {number}", "receipts"),
    ("shop@mail.example.com", "Ваш заказ № {number}", "receipts"),
    ("news@mail.example.com", "Weekly news, issue {number}", "newsletter"),
    ("accounts@mail.example.com", "Confirm your address", "accounts"),
    ("accounts@mail.example.com", "パスワードの再設定", "accounts"),
)
_PAGES = (
    "https://shop.example.com/orders?utm_source=mail",
    "https://shop.example.com/sale",
    "https://news.example.com/unread",
)
_CLIENTS = (
    ("Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Firefox/141.0", "Firefox", "141.0", "Linux"),
    ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Safari/605.1.15", "Safari", "18.5", "macOS"),
    ("Mozilla/5.0 (Linux; Android 15) Chrome/139.0", "Chrome", "139.0", "Android"),
)
