"""What every page works with."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from postbell.desk import Desk
from postbell.reports import Reports
from postbell.web.pages import Pages
from postbell.web.throttle import Throttle

SendMail = Callable[[str, str, str], Awaitable[None]]
"""Sends a mail: to whom, its subject, its text."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The pages of one installation.

    *public_url* is how customers reach it, "" to go by each request; *sign_in* False makes
    everybody an operator (trusted networks only); *send_mail* is None without SMTP; *extras* is
    what pages need beside desk and reports, by name.
    """

    desk: Desk
    reports: Reports
    public_url: str = ""
    region: str = ""
    retention_days: float = 30.0
    sign_in: bool = True
    support: str = ""
    send_mail: SendMail | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    pages: Pages = field(default_factory=Pages)
    throttle: Throttle = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "throttle", Throttle(self.desk.clock))
