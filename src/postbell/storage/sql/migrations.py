"""Schema changes: numbered files, *pre* ones before the new code runs, *post* ones after."""

from importlib.resources import files
from typing import NamedTuple

from postbell.errors import StorageError
from postbell.ports.tables import CopyState


class Migration(NamedTuple):
    number: int
    name: str
    script: str

    @property
    def is_pre(self) -> bool:
        """Whether the code needs it to run."""
        return "_pre_" in self.name


def migrations(engine: str) -> list[Migration]:
    """Return all migrations that this release has in the package *engine*, in order."""
    folder = files(engine).joinpath("migrations")
    found = [
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found)


def after(version: int, known: list[Migration], place: object) -> list[Migration]:
    """Return those of *known* that a database of this schema lacks; raise StorageError for a newer
    one."""
    if version > known[-1].number:
        raise StorageError(
            f"the database {place} has schema {version}, this release knows up to"
            f" {known[-1].number}; start the newer release, or restore an older backup"
        )
    return [migration for migration in known if migration.number > version]


def refuse_lacking(lacking: list[Migration], place: object) -> None:
    """Raise StorageError where the code cannot run without one of these."""
    if any(migration.is_pre for migration in lacking):
        raise lacks(lacking, place)


def lacks(lacking: list[Migration], place: object) -> StorageError:
    """Return the error for a database whose schema is an older one."""
    names = ", ".join(migration.name for migration in lacking)
    return StorageError(f"the database {place} lacks {names}; run: postbell migrate")


def refuse_closed(state: CopyState, place: object) -> None:
    """Raise StorageError where a copy keeps the database from being served."""
    if told := _CLOSED.get(state):
        raise StorageError(f"the database {place} {told}")


_AGAIN = "'postbell migrate copy --from URL --to URL --finish'"
_CLOSED = {
    CopyState.FILLING: f"is a copy that is not finished: finish it with {_AGAIN}",
    CopyState.HELD: (
        f"is copied to another one: finish that with {_AGAIN}, or give it up with"
        " 'postbell migrate copy --from URL --reopen'"
    ),
    CopyState.MOVED: (
        "was copied to another one, which is to be served in its place: name that in"
        " POSTBELL_DATABASE_URL; to serve this one all the same, without what the other one has"
        " taken in, 'postbell migrate copy --from URL --reopen'"
    ),
}
