"""The write side: everything that a customer or an operator changes, for the CLI and every API.

One object with one method for each thing that can be done, so that no two faces disagree.  Methods
take `account_id` first; None is the operator, who reaches the webhooks of every account.
"""

from postbell.desk.auth import Client
from postbell.desk.cases import Cases
from postbell.desk.core import Core
from postbell.desk.isolating import Isolating
from postbell.desk.people import People
from postbell.desk.replays import Replays
from postbell.desk.second_factor import SecondFactors
from postbell.desk.sessions import Sessions
from postbell.desk.webhooks import Webhooks
from postbell.directory import Caller


class Desk(Sessions, SecondFactors, People, Webhooks, Isolating, Replays, Cases):
    """The desk of one installation; `Core` says what it is made of."""


__all__ = ["Caller", "Client", "Core", "Desk"]
