"""How long a database on a server is waited for: settings too, kept apart as one subject."""

from typing import Annotated

from postbell.settings.limits import PeerLimits
from postbell.settings.values import About


class DatabaseLimits(PeerLimits, frozen=True, kw_only=True):
    """The limits in force; `Settings` has these members, too, as those of the listener."""

    database_connect_timeout_s: Annotated[
        float,
        About(
            "wait for a connection to each host of a database on a server",
            "storage",
            "seconds",
            0.1,
            60,
        ),
    ] = 3.0
    database_statement_timeout_s: Annotated[
        float,
        About(
            "wait for a statement of a database on a server; what it was for is answered 503 then",
            "storage",
            "seconds",
            1,
            3600,
        ),
    ] = 30.0
    bell_url: Annotated[
        str,
        About(
            "where processes on one server tell each other what they committed, where the"
            " database's URL is that of a pooler: the server's own; poll tells nobody, and each"
            " looks four times a second",
            "storage",
        ),
    ] = ""
