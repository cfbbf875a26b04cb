"""How a server that has a database is reached."""

from typing import NamedTuple


class Reach(NamedTuple):
    """Waits in seconds: for a connection to one of the server's hosts, and for a statement's end.

    *bell_url* is where one process tells the others what it committed: "" for the database's own
    URL, POLL for nowhere.  A file is not reached by any of these.
    """

    connect_s: float = 3.0
    statement_s: float = 30.0
    bell_url: str = ""


POLL = "poll"
USUAL = Reach()
"""Where nothing else is said."""
