"""What is secret does not stand in the file."""

from pathlib import Path

import pytest

from postbell.errors import StorageError
from postbell.ports import NewSecret
from postbell.records import SecretKind
from postbell.sealing import Sealer, load_or_create
from postbell.storage import sqlite
from postbell.storage.sqlite import SqliteEngine
from tests.contract.making import Shop
from tests.fakes import FakeClock

HIDDEN = (b"hush", b"hidden", b"whsec_very_secret", b"app-key-secret", b"header-secret")


async def add_secrets(shop: Shop) -> None:
    now = shop.clock.now()
    webhook = shop.draft(headers=(("x-token", "header-secret"),))
    await shop.engine.registry.add_webhook(
        webhook, [NewSecret(SecretKind.SYMMETRIC, "whsec_very_secret", now)]
    )
    await shop.engine.registry.add_secrets(
        [NewSecret(SecretKind.APP_KEY, "app-key-secret", now)], account_id=1
    )


async def test_no_secret_and_no_url_is_found_in_the_files(
    engine: SqliteEngine, path: Path, clock: FakeClock
) -> None:
    await add_secrets(await Shop.open(engine, clock))
    names = sorted(path.parent.glob("postbell.db*"))

    content = b"".join(name.read_bytes() for name in names)

    assert b"acme" in content
    assert [secret for secret in HIDDEN if secret in content] == []


async def test_the_file_is_for_its_owner_only(engine: SqliteEngine, path: Path) -> None:
    await engine.ready()

    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("postbell.db*")}

    assert modes == dict.fromkeys(
        (f"postbell.db{end}" for end in ("", "-wal", "-shm", ".lock")), 0o600
    )


async def test_another_key_opens_nothing_and_says_so(
    path: Path, sealer: Sealer, clock: FakeClock, tmp_path: Path
) -> None:
    engine = await sqlite.open(path, sealer, clock)
    await add_secrets(await Shop.open(engine, clock))
    await engine.close()
    wrong = await sqlite.open(path, load_or_create(tmp_path / "other-key"), clock)

    with pytest.raises(StorageError, match="other-key"):
        await wrong.registry.webhooks()

    await wrong.close()
