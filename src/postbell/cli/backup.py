"""`postbell backup`."""

from pathlib import Path

import click

from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, say
from postbell.errors import UsageError
from postbell.settings.members import Settings


@click.command("backup", cls=SettingsCommand)
@click.argument("target", type=click.Path(path_type=Path))
@json_option
@with_settings("storage")
def command(settings: Settings, target: Path, as_json: bool) -> None:
    """Copy the database while it is in use.

    TARGET is a new file. Keep a copy of the secret key file, too: without it the signing keys
    in the copy cannot be read.
    """
    import asyncio

    from postbell.clock import SystemClock
    from postbell.serving.opening import open_engine, require_database

    database = require_database(settings)
    if target.exists():
        raise UsageError(f"{target} exists already; choose another name for the backup")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}; make it first")

    async def copy() -> None:
        engine = await open_engine(settings, SystemClock(), worker=False)
        try:
            await engine.backup(target)
        finally:
            await engine.close()

    asyncio.run(copy())
    if as_json:
        size = target.stat().st_size
        key = str(settings.secret_key_path)
        print_record({"target": str(target), "bytes": size, "secret_key_file": key}, as_json=True)
    else:
        say(f"copied {database.place} to {target}")
        say(f"copy {settings.secret_key_path}, too, and keep it apart")
