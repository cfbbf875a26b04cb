"""Data folders as commands leave them, made once and copied: a command takes most of a second."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.cli.running import Postbell


def prepare(folder: Path, *commands: tuple[str, ...], given: str = "") -> tuple[str, ...]:
    """Make *folder* as *commands* leave a new one, and return what each of them printed.

    *given* is the input of each.  The same commands again make the same ids and keys.
    """
    made, printed = _made(commands, given)
    assert not list(folder.glob("postbell.db*")), f"{folder} is not new"
    shutil.copytree(made, folder, dirs_exist_ok=True)  # it may be a small disk
    return printed


@cache
def _made(commands: tuple[tuple[str, ...], ...], given: str) -> tuple[Path, tuple[str, ...]]:
    _folders.append(tempfile.TemporaryDirectory(prefix="postbell-tests-"))
    folder = Path(_folders[-1].name, "data")
    postbell = Postbell(folder)
    printed = []
    for words in commands:
        done = postbell(*words, given=given)
        assert done.returncode == 0, (words, done.stderr)
        printed.append(done.stdout)
    return folder, tuple(printed)


_folders: list[tempfile.TemporaryDirectory[str]] = []
"""They go when the process of the tests ends."""
