"""`postbell restore`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, say, text
from postbell.errors import UsageError
from postbell.settings.members import Settings

if TYPE_CHECKING:
    from postbell.ports import Restored


@click.command("restore", cls=SettingsCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--ignore-digest", is_flag=True, help="Take a damaged one that can be read.")
@json_option
@with_settings("storage")
def command(settings: Settings, file: Path, ignore_digest: bool, as_json: bool) -> None:
    """Put a backup in the place of the database.

    FILE is what 'postbell backup' wrote. Stop the service first. The copy is checked whole before
    anything is changed; the database that is there now is kept beside it. Needs the secret key
    file that belongs to the backup, in its place, and room for both databases.

    The backup keeps a digest of all that is in it, so one that has changed by a bit since it was
    written is refused. Where it is the only one, --ignore-digest takes it if it can be read; what
    is wrong in it then stays wrong.
    """
    from postbell.sealing import load_or_create
    from postbell.serving.opening import database

    there, key = database(settings), settings.secret_key_path
    if not key.exists():
        raise UsageError(
            f"there is no secret key file {key}; put the one that belongs to the backup there"
            " first, or name it with --secret-key-file"
        )
    done = there.restore(file, load_or_create(key), ignores_digest=ignore_digest)
    if as_json:
        members = {
            "database": there.place,
            "file": str(file),
            "kept": None if done.kept is None else str(done.kept),
            "block": done.block,
            "recorded_at": done.recorded_at,
            "pending": done.pending,
            "verified": done.is_verified,
            "unopened": done.sealed - done.opened,
        }
        print_record(members, as_json=True)
    else:
        _print(done, there.place, file)


def _print(done: "Restored", place: str, file: Path) -> None:
    say(f"restored {place} from {file}")
    if done.kept is not None:
        say(f"what was there before is kept as {done.kept}")
    if not done.is_verified:
        click.echo(
            "it cannot be verified as a whole: it has no digest, or another one; what the"
            " engine's own check, the checksums of blocks and reading every row tell was checked"
        )
    newest = "none" if done.recorded_at is None else f"of {text(done.recorded_at)}"
    click.echo(f"newest event: {newest}; what was accepted after the backup is not in it")
    click.echo(
        "what was delivered after the backup is delivered again: events have the same ids, and no"
        " batch id comes again with other content"
    )
    if done.opened < done.sealed:
        click.echo(
            f"{done.sealed - done.opened} of {done.sealed} secrets do not open with this key file:"
            " add the key that they were sealed with as a further line"
            + ("" if done.is_verified else "; or they are damaged")
        )
    click.echo(f"next: {'postbell migrate, then ' if done.pending else ''}postbell audit")
