"""The key file and the hashes of api keys."""

import os
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postbell.errors import StorageError
from postbell.sealing import (
    find_key,
    fits,
    hash_key,
    load_or_create,
    new_api_key,
    verify_key,
)

NOBODY = 65_534
TEXTS = ["", "whsec_abc", "https://ü:p@host.example/?q=1", "x" * 10_000]


@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_what_is_sealed_comes_back(tmp_path: Path, text: str) -> None:
    sealer = load_or_create(tmp_path / "key")

    sealed = sealer.seal(text)

    assert sealer.unseal(sealed) == text
    assert sealed != sealer.seal(text)


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    sealed = load_or_create(tmp_path / "key").seal("kept")

    again = load_or_create(tmp_path / "key")

    assert again.unseal(sealed) == "kept"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_starts_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        sealers = list(pool.map(lambda _: load_or_create(tmp_path / "key"), range(8)))

    sealed = sealers[0].seal("same")

    assert [sealer.unseal(sealed) for sealer in sealers] == ["same"] * 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    load_or_create(path)
    path.chmod(mode)

    with pytest.raises(StorageError, match="chmod 600"):
        load_or_create(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand a file over")
@pytest.mark.parametrize(("mode", "is_taken"), [(0o440, True), (0o640, True), (0o644, False)])
def test_a_key_file_that_root_hands_to_a_group_is_taken_by_a_member(
    mode: int, is_taken: bool
) -> None:
    """As Kubernetes mounts a Secret for `fsGroup`, and systemd a credential."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "key")
        load_or_create(path)
        path.chmod(mode)
        os.chown(path, 0, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            load_or_create(path)
            was_taken = True
        except StorageError:
            was_taken = False
        finally:
            os.seteuid(0)
            os.setegid(0)

    assert was_taken == is_taken


@pytest.mark.parametrize("content", ["", "not a key\n", "ü\n"])
def test_a_key_file_without_keys_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(StorageError, match="key"):
        load_or_create(path)


def test_a_new_first_line_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    path, fresh = tmp_path / "key", tmp_path / "fresh"
    old_sealed = load_or_create(path).seal("old")
    load_or_create(fresh)
    path.write_text(fresh.read_text() + path.read_text())

    both = load_or_create(path)

    assert both.unseal(old_sealed) == "old"
    assert load_or_create(fresh).unseal(both.seal("new")) == "new"


def test_a_key_that_does_not_fit_is_named(tmp_path: Path) -> None:
    sealed = load_or_create(tmp_path / "key").seal("text")

    with pytest.raises(StorageError, match="other"):
        load_or_create(tmp_path / "other").unseal(sealed)


@pytest.mark.parametrize(
    ("key", "scheme"),
    [(new_api_key(), "sha256"), ("short", "scrypt"), ("ab" * 20, "scrypt")],
    ids=["made here", "short", "monotonous"],
)
def test_a_key_is_verified_by_its_hash_only(key: str, scheme: str) -> None:
    stored = hash_key(key)

    assert stored.split("$")[0] == scheme
    assert key not in stored
    assert verify_key(key, stored)
    assert not verify_key(key + "x", stored)
    assert hash_key(key) != stored


@pytest.mark.parametrize("stored", ["", "sha256", "sha256$zz$zz", "md5$00$00", "$$", "scrypt$00$"])
def test_a_broken_hash_fits_no_key(stored: str) -> None:
    assert not verify_key("anything", stored)


def test_a_key_of_odd_characters_is_just_a_wrong_key() -> None:
    stored = hash_key(new_api_key())

    assert not verify_key("\ud800\0ü", stored)


def test_slow_hashes_of_one_api_user_share_a_salt_so_that_one_derivation_answers_for_all() -> None:
    first = hash_key("a weak key")
    second = hash_key("another weak key", [hash_key(new_api_key()), first])

    assert first.split("$")[1] == second.split("$")[1]
    assert first != second
    assert find_key("another weak key", [first, second]) == second
    assert find_key("a third weak key", [first, second]) is None


def test_a_strong_key_never_takes_the_salt_of_another() -> None:
    first = hash_key(new_api_key())

    assert hash_key(new_api_key(), [first]).split("$")[1] != first.split("$")[1]


def test_a_key_that_an_older_release_made_is_never_hashed_anew() -> None:
    unlucky = "pb_" + "abcdefghij" * 4 + "abc"

    assert fits(unlucky, f"sha256$00${'0' * 64}")
    assert not fits("a weak key", f"sha256$00${'0' * 64}")
    assert not fits("k7Q2_mX9pR4vT8zB1nW6c3", f"scrypt$00${'0' * 64}")
