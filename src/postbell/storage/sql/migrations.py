"""Schema changes: numbered files, *pre* ones before the new code runs, *post* ones after."""

from importlib.resources import files
from itertools import takewhile
from typing import NamedTuple, assert_never

from postbell.errors import Conflict, StorageError
from postbell.ports.engine import MigrationPhase
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


def after(
    version: int, known: list[Migration], place: object, *, floor: int | None = None
) -> list[Migration]:
    """Return those of *known* that a database of this schema lacks; raise StorageError for a newer
    one.

    With *floor*, the newest *post* migration that was done, only one that is beyond that: what a
    newer release added beforehand leaves this one as it is.
    """
    if (version if floor is None else floor) > known[-1].number:
        raise StorageError(
            f"the database {place} has schema {version}, this release knows up to"
            f" {known[-1].number}; start the newer release, or restore an older backup"
        )
    return [migration for migration in known if migration.number > version]


def due(lacking: list[Migration], phase: MigrationPhase, place: object) -> list[Migration]:
    """Return those that are done in *phase*, in order; raise Conflict where others come first."""
    pre = list(takewhile(lambda migration: migration.is_pre, lacking))
    match phase:
        case MigrationPhase.ALL:
            return lacking
        case MigrationPhase.PRE:
            if late := [each.name for each in lacking[len(pre) :] if each.is_pre]:
                raise Conflict(
                    f"the database {place} is of a release before the last one: {late[0]} comes"
                    f" after {lacking[len(pre)].name}, which may only be done once no process of"
                    " that release runs; upgrade to the release between first, or stop every"
                    " process and run 'postbell migrate'"
                )
            return pre
        case MigrationPhase.POST:
            if pre:
                raise Conflict(
                    f"the database {place} lacks {pre[0].name}; run 'postbell migrate --phase pre',"
                    " start every process anew with this release, then this"
                )
            return lacking
        case _:
            assert_never(phase)


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
