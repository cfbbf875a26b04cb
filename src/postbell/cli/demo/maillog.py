"""A log as Postfix writes it, of mail that nobody sent: mails come in, wait, arrive and bounce, a
line after the other of several at once."""

import random
from collections.abc import Iterator
from datetime import datetime

from postbell.clock import rfc3339

ACTIVE_MAILS = 12
HOST = "mx1.mail.example.com"


class MailLog:
    """Lines in a plausible mixture; the same *seed* gives the same ones, times apart."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._made = 0
        self._active: list[Iterator[str]] = []

    def take(self, count: int, now: datetime) -> list[str]:
        """Return the next *count* lines, as they are written at *now*."""
        at = rfc3339(now)
        return [f"{at} {HOST} postfix/{self._next()}" for _ in range(count)]

    def _next(self) -> str:
        while True:
            if len(self._active) < ACTIVE_MAILS:
                self._active.append(self._mail())
            place = self._random.randrange(len(self._active))
            line = next(self._active[place], None)
            if line is not None:
                return line
            self._active.pop(place)

    def _mail(self) -> Iterator[str]:
        """Yield the lines of one mail, each `program[pid]: text`."""
        self._made += 1
        chance, number = self._random, self._made
        sender, subject = chance.choice(_MAILS)
        domain = chance.choice(_DOMAINS)
        address = f"{chance.choice(_NAMES)}{number}@{domain}"
        relay = f"mx{chance.randint(1, 3)}.{domain}[198.51.100.{chance.randint(1, 254)}]"
        qid = _queue_id(self._seed, number)
        client = "app.mail.example.com[192.0.2.9]"
        said = f"from {client}; from=<{sender}> to=<{address}> proto=ESMTP helo=<app>"
        queued = f"qmgr[5]: {qid}: from=<{sender}>, size=2811, nrcpt=1 (queue active)"
        yield f"smtpd[3]: connect from {client}"
        yield f"smtpd[3]: {qid}: client={client}, sasl_method=PLAIN, sasl_username=shop"
        yield f"cleanup[4]: {qid}: message-id=<{self._seed}.{number}@mail.example.com>"
        yield f"cleanup[4]: {qid}: info: header Subject: {subject} {number} {said}"
        yield queued
        yield f"smtpd[3]: disconnect from {client} ehlo=1 auth=1 mail=1 rcpt=1 data=1 quit=1"
        fate = chance.random()
        refused = f"host {relay} said:"
        if fate < 0.1:
            yield _result(qid, address, relay, 1, "4.2.0", f"deferred ({refused} {_LATER})")
            yield queued
        if fate < 0.03:
            yield _result(qid, address, relay, 300, "5.1.1", f"bounced ({refused} {_UNKNOWN})")
        elif fate < 0.05:
            yield _result(qid, address, relay, 300, "5.2.2", f"bounced ({refused} {_FULL})")
        else:
            delay = round(chance.uniform(0.2, 3), 1)
            yield _result(qid, address, relay, delay, "2.0.0", f"sent ({_TAKEN} {number:X}A7)")
        yield f"qmgr[5]: {qid}: removed"


def _queue_id(seed: int, number: int) -> str:
    """Return a long queue id, of digits alone before its `z`."""
    return f"4{seed % 1000:03}{number:08}z{number % 1000:03}"


def _result(qid: str, address: str, relay: str, delay: float, status: str, told: str) -> str:
    delays = f"delay={delay}, delays=0.05/0.01/0.1/{delay}"
    return (
        f"smtp[6]: {qid}: to=<{address}>, relay={relay}:25, {delays}, dsn={status}, status={told}"
    )


_RCPT = "(in reply to RCPT TO command)"
_LATER = f"450 4.2.0 greylisted, try again later {_RCPT}"
_UNKNOWN = f"550 5.1.1 user unknown {_RCPT}"
_FULL = f"552 5.2.2 mailbox full {_RCPT}"
_TAKEN = "250 2.0.0 Ok: queued as"
_NAMES = ("ada", "grace", "alan", "edsger", "barbara", "donald", "niklaus", "margaret")
_DOMAINS = ("example.net", "example.org", "mail.example.com")
_MAILS = (
    ("shop@mail.example.com", "Your order"),
    ("news@mail.example.com", "Weekly news, issue"),
    ("accounts@mail.example.com", "=?utf-8?q?Votre_re=C3=A7u?="),
)
