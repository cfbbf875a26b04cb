"""Which engines there are: each is found by the scheme of the URL that names a database."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from postbell.errors import BadInput
from postbell.ports import Database
from postbell.storage.memory import MemoryDatabase
from postbell.storage.postgres import PostgresDatabase
from postbell.storage.reach import POLL as POLL
from postbell.storage.reach import USUAL
from postbell.storage.reach import Reach as Reach
from postbell.storage.sqlite import SqliteDatabase


class EngineRow(NamedTuple):
    """*shape* is how its URLs look; *named* reads one, whose relative paths are inside a folder,
    and raises BadInput; one that is not *lasting* keeps nothing beyond its process."""

    shape: str
    named: Callable[[str, Path, Reach], Database]
    is_lasting: bool = True


ENGINES: Mapping[str, EngineRow] = {
    "memory": EngineRow("memory:", MemoryDatabase.named, is_lasting=False),
    "postgres": EngineRow("postgresql://HOST/DATABASE", PostgresDatabase.named),
    "postgresql": EngineRow("postgresql://HOST/DATABASE", PostgresDatabase.named),
    "sqlite": EngineRow("sqlite:///FILE", SqliteDatabase.named),
}


def named(url: str, folder: Path, reach: Reach = USUAL) -> Database:
    """Return the database that *url* names; what is relative in it is inside *folder*, a server is
    reached as *reach* says.

    Raises BadInput for a scheme of no engine, and for a URL that is not as its engine's are.
    """
    scheme = url.partition(":")[0]
    if scheme not in ENGINES:
        raise BadInput(f"no engine {scheme!r}; {_known()}", member="database_url")
    return ENGINES[scheme].named(url, folder, reach)


def problem(url: str) -> str:
    """Return why an installation cannot be on the database that *url* names, "" where it can."""
    try:
        named(url, Path())
    except BadInput as error:
        return error.message
    if not ENGINES[url.partition(":")[0]].is_lasting:
        return f"what it keeps ends with its process, so it is for tests; {_known()}"
    return ""


def _known() -> str:
    shapes = (row.shape for row in ENGINES.values() if row.is_lasting)
    return "known: " + ", ".join(dict.fromkeys(shapes))
