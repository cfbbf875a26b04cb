"""`postbell serve` in a process that is forked off one that has everything imported and the shim.

So a service whose n-th call fails starts in a tenth of a second, and there can be one for each n.
"""

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from postbell.cli import main
from tests.powerloss.calls import Loaded, library


class Failing(NamedTuple):
    """The calls to files below *folder* from number *first* to *last* fail with *error*."""

    folder: Path
    error: int
    first: int
    last: int


def begin() -> None:
    """Start the process that others are forked off, with the shim loaded and without orders."""
    multiprocessing.set_forkserver_preload([__name__, "tests.powerloss.prepared"])
    with patch.dict(os.environ, {"LD_PRELOAD": str(library())}):
        forkserver.ensure_running()


def launch(environ: dict[str, str], failing: Failing) -> ForkServerProcess:
    """Start `postbell serve` under *environ*, beside `service.log` and `counted` in its folder."""
    process = multiprocessing.get_context("forkserver").Process(
        target=_serve, args=(environ, failing), daemon=True
    )
    process.start()
    return process


def _serve(environ: dict[str, str], failing: Failing) -> None:
    shim = Loaded()
    log = os.open(failing.folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.environ.clear()
    os.environ.update(environ)
    shim.fail(*failing)
    status = main(["serve"])
    failing.folder.with_suffix(".counted").write_text(str(shim.counted()))
    sys.stdout.flush()
    sys.exit(status)
