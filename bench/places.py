"""Where a service under measure keeps what it is told: in its own folder, or on a PostgreSQL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.postgres import Server

from bench import proc

NOTHING: Mapping[str, str] = {}
NOTHING_MORE: Mapping[str, float] = {}


class Folder:
    """SQLite, in the folder that each service has of its own."""

    def settings(self) -> Mapping[str, str]:
        """Return the settings of a service that is new there."""
        return NOTHING

    def cpu_us(self) -> float:
        """Return what processes of the place itself used so far."""
        return 0.0

    def server_us(self, before: float, events: int) -> Mapping[str, float]:
        """Return what its processes used for each of *events*, where it has any."""
        return NOTHING_MORE

    def transactions(self, settings: Mapping[str, str]) -> int:
        """Return how many transactions a server committed for a service with these settings."""
        return 0


class Postgres(Folder):
    """A server of this run, on which each service has a database of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def settings(self) -> Mapping[str, str]:
        return {"DATABASE_URL": self._server.url(self._server.database())}

    def cpu_us(self) -> float:
        return proc.cpu_us(self._server.process.pid)

    def server_us(self, before: float, events: int) -> Mapping[str, float]:
        return {"server_us": round((self.cpu_us() - before) / events, 3)}

    def transactions(self, settings: Mapping[str, str]) -> int:
        name = settings["DATABASE_URL"].rpartition("/")[2]
        told = self._server.psql(
            f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{name}'"
        )
        return int(told)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server that makes durable what it is told, as SQLite does."""
    server = Server("fsync=on", "full_page_writes=on", "shared_buffers=256MB")
    try:
        yield Postgres(server)
    finally:
        server.stop()
