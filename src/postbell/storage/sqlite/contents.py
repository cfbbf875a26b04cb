"""Whether what a database holds can be read: its texts, and rows that the service makes values of.

SQLite's own check looks at trees and indices, the checksums at blocks.  Neither knows of a text
that is no UTF-8 any more, of JSON that ends early, or of a state that there is not.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import apsw
import msgspec

from postbell.records import SecretKind, WebhookState
from postbell.storage.sql import rows as to
from postbell.storage.sql import suppressions
from postbell.storage.sqlite.checking import CHECKING_SQL
from postbell.storage.sqlite.connecting import Row, row, rows
from postbell.storage.sqlite.transaction import SQL
from postbell.trail import ActorKind


class Made(NamedTuple):
    """Rows that values are made of: a statement for some of them, whose first column names a row,
    and what makes a value of one."""

    what: str
    statement: str
    make: Callable[[Row], object]


def first_unreadable(connection: apsw.Connection) -> str:
    """Return what cannot be read first, empty where everything can; blocks.

    Needs the schema of this release.  Holds one row at a time; what was sealed is not opened, and
    blocks of the log are left to their checksums.
    """
    for table, _, parent, _ in rows(connection, CHECKING_SQL["orphans"]):
        return f"a row of {table} belongs to one of {parent} that is not there"
    for table, statement in rows(connection, CHECKING_SQL["texts"]):
        try:
            deque(connection.execute(statement), maxlen=0)
        except UnicodeDecodeError:
            return f"a text in {table} is not UTF-8"
    if not all(row(connection, statement) for statement in _ALWAYS):
        return "it lacks a row that is there always"
    for what, statement, make in _MADE:
        for found in connection.execute(_of_all(statement)):
            try:
                make(found)
            except (ValueError, msgspec.MsgspecError) as error:
                return f"{what} {found[0]} cannot be read: {error}"
    return ""


def _of_all(statement: str) -> str:
    """Return a statement that reads some rows of a table as one that reads all of them."""
    return statement.partition("WHERE")[0]


def _webhook(found: Row) -> tuple[Any, ...]:
    return (
        to.types_of(found[5]),
        to.members_of(found[7]),
        to.members_of(found[8]),
        WebhookState(found[10]),
    )


def _trail_entry(found: Row) -> tuple[Any, ...]:
    return ActorKind(found[1]), to.members_of(found[2]), to.members_of(found[3])


_ALWAYS = (
    SQL["read_head"],
    SQL["read_version"],
    SQL["read_marks"],
    SQL["followed"],
)
_MADE = (
    Made("key of api user", SQL["api_key"], to.api_key),
    Made("webhook", SQL["webhook"], _webhook),
    Made("revision", SQL["revisions"], to.revision),
    Made("secret", SQL["secrets_of_webhook"], lambda found: SecretKind(found[1])),
    Made("lane", SQL["read_lane"], to.lane),
    Made("batch", SQL["batch"], to.batch),
    Made("replay", SQL["replay"], to.replay),
    Made("journal row", SQL["scan_journal"], lambda found: to.entries_of_body(found[1])),
    Made("source", SQL["sources"], to.source),
    Made("fact in quarantine", SQL["quarantined_one"], to.quarantined),
    Made("suppression", SQL["suppression"], suppressions.entry),
    Made("rules", SQL["suppression_rules_of"], suppressions.account_rules),
    Made("change of a suppression", SQL["suppression_changes"], suppressions.change),
    Made("entry of the audit trail", CHECKING_SQL["trail"], _trail_entry),
)
