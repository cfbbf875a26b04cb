import json
import re
import sqlite3
from pathlib import Path

import pytest

from tests.cli.prepared import prepare
from tests.cli.running import Postbell

WEBHOOK_MEMBERS = {
    "id", "url", "api_user", "types", "dialect", "options", "policy", "state", "state_reason",
    "health", "created_at", "updated_at",
}  # fmt: skip


@pytest.fixture
def webhook_id(postbell: Postbell) -> int:
    create = ("webhooks", "create", "acme", "http://127.0.0.1:9999/hook?token=x", "--json")
    _, made = prepare(postbell.folder, ("accounts", "create", "acme"), create)
    return int(json.loads(made)["id"])


def test_accounts_are_created_and_listed(postbell: Postbell) -> None:
    made = postbell.json("accounts", "create", "acme")

    listed = postbell.json("accounts", "list")

    assert listed == [made]
    assert made["name"] == "acme"


def test_a_second_account_of_the_name_is_refused(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")

    done = postbell("accounts", "create", "acme")

    assert done.returncode == 2
    assert "acme" in done.stderr


def test_a_key_is_printed_once_and_a_weak_one_is_taken_with_a_warning(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")

    strong = postbell.json("api-users", "create", "acme", "shop")
    weak = postbell("api-users", "create", "acme", "test", "--api-key", "secret12", "--json")
    listed = postbell("api-users", "list", "acme", "--json")

    assert len(strong["api_key"]) > 30
    assert json.loads(weak.stdout)["api_key"] == "secret12"
    assert weak.stderr.startswith("warning: the given key is weak")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["shop", "test"]
    assert strong["api_key"] not in listed.stdout


def test_a_rotated_key_differs_and_a_revoked_user_shows_when(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    first = postbell.json("api-users", "create", "acme", "shop")

    second = postbell.json("api-users", "rotate", "shop")
    revoked = postbell.json("api-users", "revoke", "shop")

    assert second["api_key"] != first["api_key"]
    assert revoked["revoked_at"] is not None


def test_keys_are_added_rotated_with_an_overlap_and_revoked_one_by_one(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    first = postbell.json("api-users", "create", "acme", "shop")

    added = postbell.json(
        "api-users", "add-key", "shop", "--scope", "ingest", "--expires-at", "2199-01-01T00:00:00Z"
    )
    several = postbell("api-users", "rotate", "shop")
    rotated = postbell.json(
        "api-users", "rotate", "shop", "--key-id", str(first["key_id"]), "--overlap", "3600"
    )
    revoked = postbell.json("api-users", "revoke-key", str(added["key_id"]))
    shown = postbell("api-users", "keys", "shop")

    assert (added["scope"], added["expires_at"]) == ("ingest", "2199-01-01T00:00:00.000000Z")
    assert several.returncode == 2
    assert "several keys" in several.stderr
    assert [key["scope"] for key in rotated["keys"]] == ["everything", "ingest", "everything"]
    assert [key["expires_at"] is None for key in revoked] == [False, False, True]
    assert shown.stdout.count("\n") == 4
    assert added["api_key"] not in shown.stdout
    assert rotated["api_key"][-4:] in shown.stdout


def test_an_account_over_its_api_users_is_told_the_setting(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    postbell("api-users", "create", "acme", "shop")

    done = postbell("api-users", "create", "acme", "more", "--max-api-users-per-account", "1")

    assert done.returncode == 2
    assert "max_api_users_per_account" in done.stderr


def test_a_webhook_is_created_with_every_member(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    postbell("api-users", "create", "acme", "shop")

    made = postbell.json(
        "webhooks", "create", "acme", "http://127.0.0.1:9999/", "--dialect", "sendpulse",
        "--api-user", "shop", "--type", "delivered,open", "--type", "click",
        "--option", "profile=current", "--policy", "max_wait_s=1.5", "--policy",
        '{"success": [200]}', "--header", "X-Token: abc", "--start", "oldest",
    )  # fmt: skip

    assert made.keys() >= WEBHOOK_MEMBERS
    assert made["dialect"] == "sendpulse"
    assert made["api_user"] == "shop"
    assert made["types"] == ["delivered", "open", "click"]
    assert made["options"] == {"profile": "current"}
    assert made["policy"]["max_wait_s"] == 1.5
    assert made["policy"]["success"] == [200]
    assert made["headers"] == {"X-Token": "abc"}


def test_a_native_webhook_comes_with_its_key(postbell: Postbell, webhook_id: int) -> None:
    shown = postbell.json("webhooks", "show", str(webhook_id), "--secrets")

    assert shown["secrets"][0]["value"].startswith("whsec_")
    assert "secrets" not in postbell.json("webhooks", "show", str(webhook_id))


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        ("success=201", 'policy.success is 201; a list of status codes of 200 to 599, or "2xx",'),
        ("success=[100]", "policy.success is [100]; a list of status codes"),
        ("refused=[600]", "policy.refused is [600]; a list of status codes of 200 to 599"),
        ("retry_waits_s=[-1]", "policy.retry_waits_s is [-1]; a list of at most 50 waits of 0 to"),
        ("retry_waits_s=5", "policy.retry_waits_s is 5; a list of at most 50 waits of 0 to"),
        ("ordered=maybe", "policy.ordered is maybe; true or false expected"),
        ("max_events=1.5", "policy.max_events is 1.5; a whole number expected"),
        ("max_wait_s=9999", "policy.max_wait_s is 9999; 0 to 3600 seconds expected"),
    ],
)
def test_a_wrong_member_of_the_policy_is_told_what_is_expected(
    postbell: Postbell, webhook_id: int, member: str, sentence: str
) -> None:
    refused = postbell("webhooks", "update", str(webhook_id), "--policy", member)

    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {sentence}")


def test_an_ed25519_key_is_printed_with_the_public_key_that_listen_takes(
    postbell: Postbell, webhook_id: int
) -> None:
    rotated = postbell.json("webhooks", "rotate", str(webhook_id), "--kind", "whsk")
    shown = postbell("webhooks", "rotate", str(webhook_id), "--kind", "whsk", "--overlap", "0")
    symmetric = postbell("webhooks", "rotate", str(webhook_id), "--kind", "whsec")

    assert rotated[0]["public_key"] is None
    assert rotated[1]["public_key"].startswith("whpk_")
    assert "PUBLIC KEY" in shown.stdout and "whpk_" in shown.stdout
    assert symmetric.returncode == 0


def test_a_webhook_is_updated_paused_resumed_and_deleted(
    postbell: Postbell, webhook_id: int
) -> None:
    name = str(webhook_id)

    updated = postbell.json("webhooks", "update", name, "--url", "http://127.0.0.1:9998/b")
    narrowed = postbell.json("webhooks", "update", name, "--type", "open")
    paused = postbell.json("webhooks", "pause", name)
    resumed = postbell.json("webhooks", "resume", name, "--skip")
    deleted = postbell.json("webhooks", "delete", name)

    assert updated["url"] == "http://127.0.0.1:9998/b"
    assert (updated["effective_from"], updated["revision"]) == (None, 1)
    assert (narrowed["effective_from"], narrowed["revision"]) == (narrowed["updated_at"], 2)
    assert (paused["state"], paused["state_reason"]) == ("paused", "operator")
    assert resumed["state"] == "active"
    assert deleted == {"id": webhook_id, "deleted": True}
    assert postbell.json("webhooks", "list") == []


def test_a_rotation_lists_the_old_and_the_new_key(postbell: Postbell, webhook_id: int) -> None:
    keys = postbell.json("webhooks", "rotate", str(webhook_id), "--overlap", "60")

    assert len(keys) == 2
    assert [key["expires_at"] is None for key in keys] == [False, True]


def test_an_inside_url_is_refused_unless_its_network_is_allowed(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")

    done = postbell("webhooks", "create", "acme", "http://10.0.0.1/")

    assert done.returncode == 2
    assert "10.0.0.1 is inside" in done.stderr
    assert "POSTBELL_ALLOW_NETWORKS" in done.stderr


def test_a_test_of_a_webhook_that_nobody_serves_fails(postbell: Postbell, webhook_id: int) -> None:
    done = postbell("webhooks", "test", str(webhook_id), "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "connect"


def test_an_app_key_is_rotated_for_when_the_old_one_has_ended(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    before = postbell.json("accounts", "app-key", "acme")["app_key"]

    old, new = postbell.json("accounts", "app-key", "acme", "--rotate", "--overlap", "3600")
    during = postbell.json("accounts", "app-key", "acme")["app_key"]
    alone = postbell("accounts", "app-key", "acme", "--overlap", "1")
    too_long = postbell("accounts", "app-key", "acme", "--rotate", "--overlap", "604801")

    assert (old["value"], during) == (before, before)
    assert old["expires_at"] == new["active_at"] > old["active_at"]
    assert (alone.returncode, too_long.returncode) == (2, 2)
    assert "604801" in too_long.stderr


def test_an_app_key_stays_the_same(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")

    first = postbell("app-key", "acme")
    second = postbell.json("accounts", "app-key", "acme")

    assert second == {"account": "acme", "app_key": first.stdout.strip()}


def test_batches_of_a_quiet_installation_are_an_empty_array(
    postbell: Postbell, webhook_id: int
) -> None:
    assert postbell.json("batches", "list") == []
    assert postbell.json("batches", "list", "--all") == []
    assert postbell("batches", "show", "bat_x").returncode == 2
    assert postbell("batches", "retry", "bat_x").returncode == 2


def test_an_audit_of_a_quiet_installation_holds(postbell: Postbell, webhook_id: int) -> None:
    found = postbell.json("audit")

    assert found["holds"] is True
    assert found["problems"] == []
    assert [row["webhook_id"] for row in found["rows"]] == [webhook_id]


def test_a_replay_without_events_says_so(postbell: Postbell, webhook_id: int) -> None:
    done = postbell("replay", str(webhook_id))

    assert done.returncode == 2
    assert "no events" in done.stderr


def test_a_replays_types_may_stand_with_commas_and_another_webhook_needs_parked(
    postbell: Postbell, webhook_id: int
) -> None:
    name = str(webhook_id)

    typed = postbell("replay", name, "--type", "open,click", "--type", "delivered")
    unknown = postbell("replay", name, "--type", "open,nope")
    other = postbell("replay", name, "--from", name)

    assert "no events" in typed.stderr
    assert "no type 'nope'" in unknown.stderr
    assert other.returncode == 2
    assert "--from goes with --parked only" in other.stderr


def test_batches_of_an_unknown_webhook_are_not_none(postbell: Postbell, webhook_id: int) -> None:
    known = postbell("batches", "list", "--webhook", str(webhook_id))
    unknown = postbell("batches", "list", "--webhook", "99")

    assert (known.returncode, known.stdout) == (0, "no open or parked batches\n")
    assert (unknown.returncode, unknown.stderr) == (2, "error: no webhook 99\n")


def test_nested_members_are_printed_apart_without_what_is_not_there(
    postbell: Postbell, webhook_id: int
) -> None:
    made = postbell.json("webhooks", "rotate", str(webhook_id), "--kind", "whsk")

    shown = postbell("webhooks", "show", str(webhook_id), "--secrets").stdout
    tested = postbell("webhooks", "test", str(webhook_id), "--type", "open")

    (line,) = (line for line in shown.splitlines() if line.startswith("secrets "))
    first, second = line.split("; ")
    assert f"value={made[0]['value']}, created_at=" in first
    assert second.endswith(f"active_at={made[1]['active_at']}")
    assert tested.returncode == 1
    assert re.search(r"^error +connect$", tested.stdout, re.MULTILINE)


def test_a_backup_is_a_database_that_opens(postbell: Postbell, tmp_path: Path) -> None:
    postbell("accounts", "create", "acme")
    target = tmp_path / "copy.db"

    told = postbell.json("backup", str(target))
    again = postbell("backup", str(target))

    assert told["target"] == str(target)
    assert told["bytes"] == target.stat().st_size
    assert again.returncode == 2
    copy = sqlite3.connect(target)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()


def test_a_restore_says_what_is_in_place_and_what_was_kept(
    postbell: Postbell, tmp_path: Path
) -> None:
    backup = tmp_path / "copy.db"
    postbell("accounts", "create", "acme")
    postbell("backup", str(backup))
    postbell("accounts", "create", "late")

    done = postbell("restore", str(backup))

    assert done.returncode == 0, done.stderr
    [kept] = postbell.folder.glob("postbell.db.before-*")
    assert f"what was there before is kept as {kept}" in done.stdout
    assert "newest event: none; what was accepted after the backup is not in it" in done.stdout
    assert done.stdout.endswith("next: postbell audit\n")
    assert [each["name"] for each in postbell.json("accounts", "list")] == ["acme"]
    postbell.environ["POSTBELL_DATABASE_URL"] = f"sqlite:///{kept}"
    assert [each["name"] for each in postbell.json("accounts", "list")] == ["acme", "late"]


def test_a_database_is_compacted_and_holds_what_it_held(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")

    said = postbell("compact")
    told = postbell.json("compact")

    assert said.returncode == 0, said.stderr
    assert " bytes before, " in said.stdout
    assert told["bytes"] == (postbell.folder / "postbell.db").stat().st_size
    assert [each["name"] for each in postbell.json("accounts", "list")] == ["acme"]


def test_a_restore_makes_no_key_file(postbell: Postbell, tmp_path: Path) -> None:
    backup = tmp_path / "copy.db"
    postbell("accounts", "create", "acme")
    postbell("backup", str(backup))
    key = postbell.folder / "secret.key"
    key.unlink()

    refused = postbell("restore", str(backup))

    assert refused.returncode == 2
    assert f"there is no secret key file {key}; put the one" in refused.stderr
    assert not key.exists()


@pytest.mark.parametrize(
    "words",
    [("serve", "--listen", "127.0.0.1:0"), ("migrate",), ("webhooks", "list"), ("audit",)],
)
def test_a_database_without_its_key_file_gets_no_new_one(
    postbell: Postbell, words: tuple[str, ...]
) -> None:
    postbell("accounts", "create", "acme")
    key = postbell.folder / "secret.key"
    key.unlink()

    refused = postbell(*words)

    assert refused.returncode == 1
    assert f"{key} is not there; put it back from your backup" in refused.stderr
    assert not key.exists()


def test_migrating_makes_the_database_once(postbell: Postbell) -> None:
    before = postbell("migrate", "--check")
    applied = postbell.json("migrate")
    after = postbell("migrate", "--check")

    assert before.returncode == 1
    assert len(applied) >= 1
    assert (after.returncode, after.stdout) == (0, "the database is up to date\n")
    assert postbell("accounts", "create", "acme").returncode == 0


def test_a_table_for_people_is_aligned(postbell: Postbell, webhook_id: int) -> None:
    lines = postbell("webhooks", "list").stdout.splitlines()

    head, row = lines
    assert head.index("URL") == row.index("http://")
    assert head.index("HEALTH") == row.index("up_to_date")


def test_a_batch_that_is_not_there_cannot_be_split(postbell: Postbell, webhook_id: int) -> None:
    done = postbell("batches", "split", "bat_none")

    assert done.returncode == 2
    assert "no open or parked batch 'bat_none'" in done.stderr
