"""Whether a database is whole: looked at before the first process opens it after an unclean end.

SQLite takes any WAL beside a database for its own: a file that was put in the place of another
one, with that one's WAL left beside it, is mixed with foreign pages.  A backup is told apart by its
header.  Other mixtures are found by what they break: trees and indices (`integrity_check`), and
what one table says of another, which no index knows.
"""

import time
from pathlib import Path

import apsw

from postbell.errors import DamagedDatabase
from postbell.signals import log
from postbell.storage.sql.statements import load
from postbell.storage.sqlite.connecting import connect, rows
from postbell.storage.sqlite.faults import FAULTS, as_storage_error, is_damage
from postbell.storage.sqlite.locking import beside, has_content

CHECK_S = 30.0
"""A start looks so long at what grows.  A GB takes 0.3 (blocks of 1000 events) to 1.5 (of one) CPU
seconds, 0.6 to 4 where it is read from a disk."""
CHECKING_SQL = load(__package__, "checking.sql")

_WAL_MODE = 2
_READ_VERSION_AT = 19
_LOOK_EVERY = 1000
"""Pages between two looks at the clock."""

_FACTS = {
    "head_behind": "the log ends with block {}, and its head says {}",
    "suppressed_ahead": "the suppression list has read up to block {}, and the log ends with {}",
    "index_ahead": "the index has read up to block {}, and the log ends with {}",
}
"""What one table says of another, by the statement that finds where that is not so.  Only what
holds for the installation: one row that is wrong is no reason to serve nobody."""


def refuse_broken(database: Path) -> None:
    """Raise DamagedDatabase where *database* and what lies beside it are not one whole database.

    Blocks, CHECK_S at most; what was not looked at by then is told in the log.  Nothing is written.
    For who holds its files alone.
    """
    _refuse_foreign_wal(database)
    if not has_content(database):
        return
    began = time.monotonic()
    try:
        problem = first_problem(database, until=began + CHECK_S)
    except TimeoutError:
        log("database_check_cut", file=str(database), seconds=CHECK_S)
        return
    if problem:
        raise DamagedDatabase(
            f"the database {database} is damaged ({problem}); was it, or its -wal, put there by"
            " hand? Restore a backup with 'postbell restore', which keeps what is there now"
        )
    log("database_checked", file=str(database), seconds=round(time.monotonic() - began, 3))


def first_problem(database: Path, *, until: float | None = None) -> str:
    """Return what is wrong in the database, empty where it is whole.

    First what is small and decides what is served, then everything; raises TimeoutError where that
    is not done at *until* (monotonic seconds).
    """
    # What a rollback left half done can only be finished by who may write.
    connection = connect(database, readonly=not has_content(beside(database, "-journal")))
    try:
        connection.execute("BEGIN")
        problem = _said(connection, "small_tables") or _apart(connection)
        if problem:
            return problem
        if until is not None:
            connection.set_progress_handler(lambda: time.monotonic() > until, _LOOK_EVERY)
        return _said(connection, "whole")
    except apsw.InterruptError:
        raise TimeoutError from None
    except FAULTS as error:
        if is_damage(error):
            return str(error)
        raise as_storage_error(error, f"cannot read the database {database}") from error
    finally:
        connection.close()


def _said(connection: apsw.Connection, name: str) -> str:
    found = (str(problem) for (problem,) in rows(connection, CHECKING_SQL[name]))
    return next((" ".join(problem.split()) for problem in found if problem != "ok"), "")


def _apart(connection: apsw.Connection) -> str:
    tables = {name for (name,) in rows(connection, CHECKING_SQL["tables"])}
    if not {"heads", "lanes", "meta"} <= tables:
        return ""
    for name, sentence in _FACTS.items():
        for found in rows(connection, CHECKING_SQL[name]):
            return sentence.format(*found)
    return ""


def _refuse_foreign_wal(database: Path) -> None:
    """Refuse a WAL beside a file that says of itself that it has none, as every backup does.

    Before the first page goes to a WAL, SQLite writes into the database's header that there is one.
    """
    wal = beside(database, "-wal")
    if not has_content(wal):
        return
    try:
        with database.open("rb") as file:
            header = file.read(_READ_VERSION_AT + 1)
    except FileNotFoundError:
        header = b""
    if len(header) <= _READ_VERSION_AT or header[_READ_VERSION_AT] != _WAL_MODE:
        raise DamagedDatabase(
            f"{wal} does not belong to the database {database}, which was put there by hand or is"
            " gone; 'postbell restore' puts a backup in place whole and keeps what is there now"
        )
