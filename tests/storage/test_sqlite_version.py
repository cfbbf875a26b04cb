"""SQLite releases whose WAL can lose commits are refused."""

import apsw
import pytest

from postbell.errors import StorageError
from postbell.storage.sqlite.connecting import refuse_unsafe


@pytest.mark.parametrize("version", ["3.40.1", "3.44.5", "3.45.0", "3.50.6", "3.51.0", "3.51.2"])
def test_a_release_with_the_bug_is_refused(version: str) -> None:
    with pytest.raises(StorageError, match=version):
        refuse_unsafe(version)


@pytest.mark.parametrize(
    "version", ["3.44.6", "3.50.7", "3.51.3", "3.53.1", "4.0.0", apsw.sqlite_lib_version()]
)
def test_a_release_with_the_fix_is_taken(version: str) -> None:
    refuse_unsafe(version)
