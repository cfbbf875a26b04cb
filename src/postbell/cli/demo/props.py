"""What the demo plays on: an account, an api user, and webhooks in three dialects.

Made as a customer would make them: keys by the administrator's commands, webhooks over HTTP.
What an earlier run left in the folder is used again.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, NamedTuple

from postbell import sealing
from postbell.cli.client import ApiClient
from postbell.cli.office import Office, opened
from postbell.errors import NotFound
from postbell.settings.members import Settings
from postbell.text import small_files

ACCOUNT = "demo"
API_USER = "demo"
KEY_FILE = "demo-api-key"
POLICIES: dict[str, dict[str, Any]] = {
    "native": {"max_wait_s": 2},
    "sendpulse": {"max_wait_s": 4},
    "engagelab": {},
}


class Props(NamedTuple):
    """Where to send events, and with what deliveries are verified, by dialect."""

    url: str
    api_key: str
    webhook_ids: dict[str, int]
    secrets: dict[str, str]


async def make_customer(settings: Settings) -> str:
    """Make or find the account and the api user, before the service's source asks for them; return
    the api user's key."""
    async with opened(settings, may_create=True) as office:
        await _account(office)
        return await _api_key(office, settings.data_dir / KEY_FILE)


async def prepare(settings: Settings, url: str, api_key: str, receiver_url: str) -> Props:
    """Make or find the webhooks, pointing at *receiver_url*."""
    async with opened(settings) as office:
        client = ApiClient(url, API_USER, api_key)
        try:
            ids = await asyncio.to_thread(_webhooks, client, receiver_url)
        finally:
            client.close()
        secrets = {}
        for dialect, webhook_id in ids.items():
            webhook = await office.desk.find_webhook(None, webhook_id)
            if webhook.state_reason:
                await office.desk.resume(None, webhook_id)
            keys = await office.reports.secrets(webhook)
            secrets[dialect] = keys[0].value if keys else ""
        return Props(url, api_key, ids, secrets)


async def _account(office: Office) -> None:
    try:
        await office.desk.find_account(ACCOUNT)
    except NotFound:
        account = await office.desk.create_account(ACCOUNT)
        await office.desk.set_suppression_rules(account.id, {"is_on": True})


async def _api_key(office: Office, file: Path) -> str:
    """Return the api user's key: the one kept in *file* while it is right, else a new one."""
    kept = await asyncio.to_thread(_read, file)
    try:
        user = await office.desk.find_api_user(API_USER)
    except NotFound:
        made = await office.desk.create_api_user(ACCOUNT, API_USER)
    else:
        now = office.desk.clock.now()
        live = [key for key in user.keys if key.is_live(now)]
        if kept and sealing.find_key(kept, (key.key_hash for key in live)):
            return kept
        made = await office.desk.add_api_key(API_USER)
        for key in live:
            await office.desk.revoke_api_key(key.id)
    await asyncio.to_thread(_write, file, made.key)
    return made.key


def _read(file: Path) -> str:
    if not file.exists():
        return ""
    return small_files.read(file, small_files.KEYS_BYTES).decode("ascii").strip()


def _write(file: Path, key: str) -> None:
    """Keep *key* for the owner of the folder only."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(key + "\n")


def _webhooks(client: ApiClient, receiver_url: str) -> dict[str, int]:
    """Return the webhooks' ids by dialect; EngageLab's is made through its own API."""
    listed = client.call("GET", "/api/v1/webhooks?limit=100")
    known = {row["dialect"]: row for row in reversed(listed["webhooks"])}
    ids = {}
    for dialect, policy in POLICIES.items():
        wanted = f"{receiver_url}/{dialect}"
        found = known.get(dialect)
        if found is None:
            ids[dialect] = _create(client, dialect, wanted, policy)
            continue
        ids[dialect] = found["id"]
        if found["url"] != wanted:
            client.call("PATCH", f"/api/v1/webhooks/{found['id']}", {"url": wanted})
    return ids


def _create(client: ApiClient, dialect: str, url: str, policy: dict[str, Any]) -> int:
    if dialect == "engagelab":
        answer = client.call("POST", "/v1/webhooks", {"url": url})
        return int(answer["result"][0]["id"])
    form = {"url": url, "dialect": dialect, "policy": policy}
    return int(client.call("POST", "/api/v1/webhooks", form)["id"])
