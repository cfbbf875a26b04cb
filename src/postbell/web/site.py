"""What every page works with."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from postbell.desk import Desk
from postbell.desk.forms import DEFAULT_DIALECT
from postbell.desk.throttle import Throttle
from postbell.records import Owner
from postbell.reports import Reports
from postbell.reports.live import Live
from postbell.serving.arriving import Hosts
from postbell.web.pages import Pages

Picture = Callable[..., Awaitable[Any]]
"""Draws a part of a page: gets the visit and what the page shows; returns markup."""

SendMail = Callable[[str, str, str], Awaitable[None]]
"""Sends a mail: to whom, its subject, its text."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The pages of one installation.

    *public_url* is how customers reach it, "" to go by each request; *sign_in* False makes
    everybody an operator (trusted networks only); *second_factor* says who must have one:
    "optional" nobody, "operators", or "required" everybody; *hosts* are further names that lead
    here: only those, addresses and names without a dot are answered to where they are given or
    *sign_in* is False; *default_dialect* is the format of an account's first form;
    *send_mail* is None without SMTP; *pictures* draw parts of pages, by name: `webhook_picture`
    (a webhook's view), `webhook_sparks` (the list's rows, returns markup by webhook id); *live*
    tells pages that stay open of news; *unnamed_proxy* says who passed requests on lately without
    being named as a proxy, "" for nobody.
    """

    desk: Desk
    reports: Reports
    public_url: str = ""
    region: str = ""
    retention_days: float = 30.0
    sign_in: bool = True
    second_factor: str = "optional"
    hosts: tuple[str, ...] = ()
    support: str = ""
    default_dialect: str = DEFAULT_DIALECT
    send_mail: SendMail | None = None
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    live: Live | None = None
    unnamed_proxy: Callable[[], str] = str
    pages: Pages = field(default_factory=Pages)
    throttle: Throttle = field(init=False)
    guarded_hosts: Hosts | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "throttle", Throttle(self.desk.engine.tries, self.desk.clock))
        is_guarded = bool(self.hosts) or not self.sign_in
        guarded = Hosts(self.public_url, self.hosts) if is_guarded else None
        object.__setattr__(self, "guarded_hosts", guarded)

    def demands_second_factor(self, owner: Owner) -> bool:
        """Return whether this person may do nothing without a second factor."""
        if self.second_factor == "operators":
            return owner.is_operator
        return self.second_factor == "required"

    @property
    def can_mail_links(self) -> bool:
        """Return whether a link can be mailed: its host comes from the settings, never from a
        request, or a forged Host header would send somebody's token elsewhere."""
        return self.send_mail is not None and bool(self.public_url)

    async def picture(self, name: str, *about: Any) -> Any:
        """Return what the picture of this name draws, "" where there is none."""
        draw = self.pictures.get(name)
        return await draw(*about) if draw is not None else ""
