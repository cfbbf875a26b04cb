"""`postbell` in processes that are forked off one that has everything imported.

Most of what a command takes is the start of the interpreter and its imports, and the tests run a
thousand of them.  What is forked is a process like any other, with its own arguments, environment,
streams and end; where a variable matters to the start itself, the command is started anew.  A
library that is loaded before all others (LD_PRELOAD) is told when a process was forked off where it
has a function `begin_anew`; then it may take its orders from the environment as when it was loaded.
"""

import atexit
import contextlib
import ctypes
import functools
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn
from unittest.mock import Mock

AT_START = ("LD_", "PYTHON", "LC_", "LANG", "TZ", "FAKETIME", "MALLOC_", "OPENSSL_", "SSL_")
"""Variables that begin so are read when a process starts, or when a library is loaded."""
_MAX_CALL = 1 << 20


COMMAND = (sys.executable, "-m", "postbell")
PIPE = subprocess.PIPE


def start(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdin: int | None = None,
    stdout: int | IO[Any] | None = PIPE,
    stderr: int | IO[Any] | None = PIPE,
) -> "subprocess.Popen[str] | Forked":
    """Start `postbell` with *words*; what is returned is used as a `subprocess.Popen` of text."""
    make = Forked if _can_fork(environ) else start_anew
    return make(words, environ, stdin=stdin, stdout=stdout, stderr=stderr)


def start_anew(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdin: int | None = None,
    stdout: int | IO[Any] | None = PIPE,
    stderr: int | IO[Any] | None = PIPE,
) -> "subprocess.Popen[str]":
    """The same, as a user starts it: an interpreter that imports what the command needs."""
    return subprocess.Popen(
        (*COMMAND, *words), env=environ, stdin=stdin, stdout=stdout, stderr=stderr, text=True
    )


def _can_fork(environ: Mapping[str, str]) -> bool:
    """Return whether a process that was forked off would do what one with *environ* does."""
    wanted, ours = _at_start(environ), _at_start(os.environ)
    if wanted == ours:
        return True
    preloaded = wanted.get("LD_PRELOAD", "")
    return wanted == ours | {"LD_PRELOAD": preloaded} and _can_begin_anew(preloaded)


@functools.cache
def _can_begin_anew(library: str) -> bool:
    return library != "" and b"begin_anew" in Path(library).read_bytes()


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(AT_START)}


def prepare_starts() -> None:
    """Do here what the start of every command and every service does."""
    from postbell.cli.root import COMMANDS

    modules = [f"postbell.cli.{row.module}" for row in COMMANDS.values()]
    for name in ("postbell.app", "uvloop", "opentelemetry.trace", *modules):
        importlib.import_module(name)

    from postbell import web
    from postbell.ingest import user_agents
    from postbell.web import words

    user_agents.tables()
    words.read()
    web.routes(Mock())  # for the expressions of their paths, which `re` keeps


class Forked:
    """A process that was forked off: as much of `subprocess.Popen` as the tests use."""

    def __init__(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        *,
        stdin: int | None,
        stdout: int | IO[Any] | None,
        stderr: int | IO[Any] | None,
    ) -> None:
        self.args = words
        self.returncode: int | None = None
        self._waiting = threading.Lock()
        with contextlib.ExitStack() as theirs:
            given, self.stdin = _stream(theirs, stdin, 0, "w")
            out, self.stdout = _stream(theirs, stdout, 1, "r")
            err, self.stderr = _stream(theirs, stderr, 2, "r")
            self._status, status = socket.socketpair()
            theirs.enter_context(status)
            call = {"words": words, "environ": dict(environ), "folder": os.getcwd()}
            parent = _parent(environ.get("LD_PRELOAD", ""))
            self.pid = parent.fork(call, (given, out, err, status.fileno()))

    def poll(self) -> int | None:
        """Return how it ended, or None."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended, once it has."""
        with self._waiting:
            if self.returncode is None:
                if not select.select([self._status], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                with self._status:
                    (status,) = struct.unpack("i", self._status.recv(4))
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def communicate(self, input: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Write *input*, and return what it printed until its end."""
        said: dict[int, str] = {}

        def read(number: int, stream: IO[str]) -> None:
            said[number] = stream.read()

        def write(stream: IO[str]) -> None:
            with contextlib.suppress(BrokenPipeError), stream:
                stream.write(input)

        streams = ((1, self.stdout), (2, self.stderr))
        threads = [threading.Thread(target=read, args=each) for each in streams if each[1]]
        if self.stdin:
            threads.append(threading.Thread(target=write, args=(self.stdin,)))
        for thread in threads:
            thread.daemon = True
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return said.get(1, ""), said.get(2, "")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it may end between the two
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.wait()


def _stream(
    theirs: contextlib.ExitStack, wanted: int | IO[Any] | None, number: int, mode: str
) -> tuple[int, IO[str] | None]:
    """Return the descriptor that the process gets as *number*, and our end of a pipe."""
    if wanted is None:
        return number, None
    if wanted == subprocess.DEVNULL:
        null = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, null)
        return null, None
    if wanted != subprocess.PIPE:
        return wanted if isinstance(wanted, int) else wanted.fileno(), None
    reading, writing = os.pipe()
    own, other = (reading, writing) if mode == "r" else (writing, reading)
    theirs.callback(os.close, other)
    return other, open(own, mode)


class Parent:
    """A process that has everything imported, and the library *preloaded*."""

    def __init__(self, preloaded: str) -> None:
        self._calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._calls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_CALL)
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env={**os.environ, "LD_PRELOAD": preloaded} if preloaded else None,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self.end)

    def fork(self, call: dict[str, Any], descriptors: tuple[int, ...]) -> int:
        with self._turn:
            socket.send_fds(self._calls, [json.dumps(call).encode()], descriptors)
            return int(self._calls.recv(32))

    def end(self) -> None:
        self._calls.close()
        self._process.wait()


@functools.cache
def _parent(preloaded: str) -> Parent:
    return Parent(preloaded)


def _fork(calls: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Fork for each call until there are no more; give the call in each child."""
    watched: dict[int, int] = {}

    def reap(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                status = watched.pop(ended[0])
                with contextlib.suppress(OSError):
                    os.write(status, struct.pack("i", ended[1]))
                os.close(status)

    signal.signal(signal.SIGCHLD, reap)
    while True:
        message, descriptors, _, _ = socket.recv_fds(calls, _MAX_CALL, 4)
        if not message:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            calls.close()
            for status in (*watched.values(), descriptors.pop()):
                os.close(status)
            yield json.loads(message), descriptors
            return
        watched[pid] = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        calls.send(str(pid).encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def _main() -> None:
    from postbell.cli import main

    prepare_starts()
    for call, descriptors in _fork(socket.socket(fileno=int(sys.argv[1]))):
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(call["environ"])
        if begin_anew := getattr(ctypes.CDLL(None), "begin_anew", None):
            begin_anew()
        os.chdir(call["folder"])
        sys.argv[1:] = call["words"]
        _exit(main())


def _exit(status: int) -> NoReturn:
    """End like an interpreter, but leave the memory to the system: to take everything apart that
    was imported would cost ten times what most commands do."""
    threading._shutdown()  # type: ignore[attr-defined]  # joins threads, as `multiprocessing` does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _main()
