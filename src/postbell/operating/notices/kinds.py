"""What a notice can be about: one row each; its words are in the catalogues (`wording`)."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec


class Kind(NamedTuple):
    """*counted* names the field that the sentence counts, empty for none."""

    name: str
    counted: str = ""


KINDS = (
    Kind("webhook_failing", "failures"),
    Kind("webhook_paused"),
    Kind("webhook_recovered"),
    Kind("webhook_behind", "waiting"),
    Kind("webhook_caught_up"),
    Kind("webhook_parked", "parked"),
    Kind("events_expiring", "events"),
    Kind("account_silent", "hours"),
    Kind("account_heard"),
    Kind("source_still"),
    Kind("source_moving"),
    Kind("source_behind"),
    Kind("source_caught_up"),
    Kind("clock_doubted"),
    Kind("clock_sure"),
    Kind("durability_weak"),
    Kind("durability_whole"),
)
BY_NAME = {kind.name: kind for kind in KINDS}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that changed; *fields* fill the kind's sentences.  What concerns no account has
    an empty one, and the id 0: it is for the operator.  *subject* is what was told to be otherwise
    before, empty where that is not remembered."""

    kind: str
    at: datetime
    account_id: int
    account: str
    fields: dict[str, Any] = {}
    subject: str = ""
