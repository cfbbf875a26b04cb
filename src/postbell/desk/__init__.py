"""The write side: everything that a customer or an operator changes, for the CLI and every API.

One object with one method for each thing that can be done, so that no two faces disagree.  Methods
take `account_id` first; None is the operator, who reaches the webhooks of every account.
"""

from postbell.desk.auth import ClientAddress
from postbell.desk.cases import Cases
from postbell.desk.core import Core
from postbell.desk.isolating import Isolating
from postbell.desk.people import People
from postbell.desk.replays import ReplaysDesk
from postbell.desk.second_factor import SecondFactorsDesk
from postbell.desk.sessions import Sessions
from postbell.desk.sources import SourcesDesk
from postbell.desk.suppressions import SuppressionsDesk
from postbell.desk.webhooks import WebhooksDesk
from postbell.directory import Caller


class Desk(
    Sessions,
    SecondFactorsDesk,
    People,
    WebhooksDesk,
    Isolating,
    ReplaysDesk,
    Cases,
    SourcesDesk,
    SuppressionsDesk,
):
    """The desk of one installation; `Core` says what it is made of."""


__all__ = ["Caller", "ClientAddress", "Core", "Desk"]
