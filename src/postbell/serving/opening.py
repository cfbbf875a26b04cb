"""Opening what the settings name: the storage engine, the guard, the sender."""

from collections.abc import Collection
from pathlib import Path

from postbell import sealing
from postbell.clock import Clock
from postbell.errors import ServiceError, UsageError
from postbell.settings.members import Settings
from postbell.storage import sqlite
from postbell.text import small_files
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from postbell.wire.sender import CurlSender

PROBE_BYTES = 64 << 10
"""Twice what SQLite needs to open a database."""


async def open_engine(
    settings: Settings,
    clock: Clock,
    *,
    worker: bool,
    serves: bool = False,
    dialects: Collection[str] | None = None,
) -> sqlite.SqliteEngine:
    """Open the database, made on the first start with its folder and key; the caller closes it.

    *worker* takes the lock of the one process that delivers; one that *serves* acknowledges.
    """
    sealer = open_sealer(settings)
    return await sqlite.open(
        settings.database_path,
        sealer,
        clock,
        worker=worker,
        serves=serves,
        dialects=dialects,
    )


def open_sealer(settings: Settings) -> sealing.Sealer:
    """Return the sealer of the database that is there or will be made, in folders that are made.

    Raises ServiceError for a database whose key file is gone: a new one would not open it.
    """
    make_folder(settings.data_dir)
    database, key = settings.database_path, settings.secret_key_path
    make_folder(database.parent)
    is_there = database.exists() and database.stat().st_size > 0
    if is_there and not key.exists():
        raise ServiceError(
            f"the database {database} was made with a secret key file, but {key} is not there;"
            " put it back from your backup, or name it with --secret-key-file"
        )
    return sealing.load_or_create(key)


def open_sender(settings: Settings, clock: Clock) -> tuple[Guard, CurlSender]:
    """Return the address rules and what sends under them; the caller closes the sender.

    Raises ServiceError where the certificates to trust cannot be read.
    """
    if settings.ca_file:
        try:
            small_files.read(Path(settings.ca_file), small_files.CERTIFICATES_BYTES)
        except OSError as error:
            raise ServiceError(
                f"cannot read the certificates in {settings.ca_file}: {error.strerror or error}"
            ) from None
    guard = Guard(settings.allow_networks, Resolver(clock=clock))
    return guard, CurlSender(
        guard,
        max_connections=settings.max_connections,
        max_per_host=settings.max_connections_per_host,
        max_per_account=settings.max_connections_per_account,
        ca_file=settings.ca_file or None,
        clock=clock,
    )


def lacks_space(folder: Path) -> bool:
    """Say whether nothing can be written to *folder* because its disk or quota is full; blocks."""
    return sqlite.lacks_room(folder, PROBE_BYTES)


def require_database(settings: Settings) -> Path:
    """Return the database's file; raise UsageError where there is none yet."""
    path = settings.database_path
    if not path.is_file():
        raise UsageError(
            f"there is no database {path}; name its folder with --data-dir, or make it with"
            " 'postbell accounts create'"
        )
    return path


def make_folder(folder: Path) -> None:
    """Make *folder*, for its owner only, and those above it, unless they exist; durably."""
    try:
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                each.mkdir(mode=0o700 if each == folder else 0o777, exist_ok=True)
                sealing.sync_folder(each.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ServiceError(
            f"cannot make the folder {folder}: {reason}; choose another with --data-dir"
        ) from None
