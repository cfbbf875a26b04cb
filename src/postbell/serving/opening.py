"""Opening what the settings name: the storage engine, the guard, the sender."""

from collections.abc import Collection
from pathlib import Path

from postbell import sealing
from postbell.clock import Clock
from postbell.errors import ServiceError, StorageError, TakenOver, Unavailable, UsageError
from postbell.ports import Database, Engine
from postbell.settings.members import Settings
from postbell.storage.engines import POLL, Reach, named
from postbell.storage.folders import lacks_room, make_folder
from postbell.text import small_files
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from postbell.wire.sender import CurlSender

PROBE_BYTES = 64 << 10
"""What is written when a service starts: the secret key file, and some."""


async def open_engine(
    settings: Settings,
    clock: Clock,
    *,
    worker: bool,
    serves: bool = False,
    dialects: Collection[str] | None = None,
) -> Engine:
    """Open the database, made on the first start with its folder and key; the caller closes it.

    *worker* delivers, one that *serves* acknowledges.
    """
    sealer = open_sealer(settings)
    return await database(settings).open(
        sealer, clock, worker=worker, serves=serves, dialects=dialects
    )


def database(settings: Settings, url: str = "") -> Database:
    """Return the database that the settings name, or another *url*, reached as they say."""
    reach = Reach(
        settings.database_connect_timeout_s,
        settings.database_statement_timeout_s,
        POLL if url else settings.bell_url,
    )
    return named(url or settings.database_url, settings.data_dir, reach)


def open_sealer(settings: Settings) -> sealing.Sealer:
    """Return the sealer of the database that is there or will be made; the data folder is made.

    Raises ServiceError for a database whose key file is gone: a new one would not open it.
    """
    make_folder(settings.data_dir)
    there, key = database(settings), settings.secret_key_path
    if not key.exists() and there.exists():
        raise ServiceError(
            f"the database {there.place} was made with a secret key file, but {key} is not there;"
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


def may_open_later(failure: StorageError, settings: Settings) -> bool:
    """Say whether the database may open a moment later, as it is: its server is gone or another one
    by now, or a disk or quota is too full for it or the key; blocks."""
    is_full = lacks_room(settings.data_dir, PROBE_BYTES) or database(settings).lacks_room()
    return is_full or isinstance(failure, (Unavailable, TakenOver))


def require_database(settings: Settings) -> Database:
    """Return the database; raise UsageError where there is none yet."""
    there = database(settings)
    if not there.exists():
        raise UsageError(
            f"there is no database {there.place}; name its folder with --data-dir, or make it with"
            " 'postbell accounts create'"
        )
    return there
