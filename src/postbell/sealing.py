"""Secrets at rest: sealed with a key file, or, for api keys, kept only as hashes.

Engines seal signing keys, URLs and headers before they write them; authentication compares
what comes in with `verify_key`.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from postbell.errors import StorageError
from postbell.text import small_files
from postbell.text.strength import is_weak

_MADE = re.compile(r"pb_[A-Za-z0-9_-]{43}")
FAST = "sha256"
SLOW = "scrypt"
SCRYPT_N = 2**14
SCRYPT_R = 8
SCRYPT_P = 1


class Sealer:
    """Seals with the first of its keys and unseals with any of them."""

    def __init__(self, keys: list[str], source: str) -> None:
        """Take Fernet keys, newest first; *source* is named in errors."""
        self._source = source
        self._keys = keys
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise StorageError(
                f"{source} holds no usable key; each line is one key of 32 bytes in URL-safe"
                " base64, the newest first: restore the file from your backup"
            ) from None

    def seal(self, text: str) -> bytes:
        """Return *text* encrypted and authenticated."""
        return self._fernet.encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str:
        """Return what was sealed; raise StorageError where no key of the file fits."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise StorageError(
                f"a stored secret does not open with the keys in {self._source}; add the key it"
                " was sealed with as a further line"
            ) from None

    def derived(self, purpose: str) -> list[bytes]:
        """Return a key of 32 bytes for signing, made of each key for this purpose alone."""
        each = (urlsafe_b64decode(key) for key in self._keys)
        return [hmac.digest(key, purpose.encode(), "sha256") for key in each]

    def opens(self, sealed: bytes) -> bool:
        """Say whether one of the keys fits."""
        try:
            self._fernet.decrypt(sealed)
        except InvalidToken:
            return False
        return True


def load_or_create(path: Path) -> Sealer:
    """Return the sealer of the key file at *path*, which is made on the first start.

    The file appears whole and durable or not at all, so that processes that start together
    agree on one key.  A file that others than its owner can read is refused; one of root's may be
    read by a group, which is how systemd and Kubernetes hand secrets to a service.
    """
    try:
        if not path.exists():
            _create(path)
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            mode = stat.S_IMODE(about.st_mode)
            lines = small_files.whole(file, small_files.KEYS_BYTES).decode("ascii").split()
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"cannot use the secret key file {path}: {reason}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"cannot use the secret key file {path}: {error}") from error
    is_handed_over = about.st_uid == 0 and os.geteuid() != 0
    if mode & (0o037 if is_handed_over else 0o077):
        raise StorageError(
            f"the secret key file {path} has mode {mode:04o}, so others can read it;"
            f" run: chmod 600 {path}"
        )
    return Sealer(lines, str(path))


def _create(path: Path) -> None:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_api_key() -> str:
    """Return a fresh api key of 256 random bits."""
    while True:
        key = "pb_" + secrets.token_urlsafe(32)
        if not is_weak(key):
            return key


def hash_key(key: str, beside: Iterable[str] = ()) -> str:
    """Return what is stored of an api key: `scheme$salt$digest`, both in hexadecimal.

    A strong key cannot be guessed, so one SHA-256 does; a weak one costs an attacker scrypt.
    *beside* are hashes of the same api user's other keys: slow ones share a salt, so that one
    scrypt answers for all of them.
    """
    scheme = SLOW if is_weak(key) else FAST
    salt = secrets.token_bytes(16)
    for other in beside if scheme == SLOW else ():
        if is_slow(other):
            salt = bytes.fromhex(other.split("$")[1])
    return f"{scheme}${salt.hex()}${_SCHEMES[scheme](key, salt).hex()}"


def verify_key(key: str, stored: str) -> bool:
    """Return whether *stored* is a hash of *key*, in constant time for each scheme."""
    return find_key(key, (stored,)) is not None


def find_key(key: str, hashes: Iterable[str]) -> str | None:
    """Return which of *hashes* is one of *key*; a salt is worked through once."""
    found = None
    derived: dict[tuple[str, str], bytes] = {}
    for stored in hashes:
        scheme, _, rest = stored.partition("$")
        salt, _, digest = rest.partition("$")
        try:
            known = derived.get((scheme, salt))
            if known is None:
                known = derived[scheme, salt] = _SCHEMES[scheme](key, bytes.fromhex(salt))
            if hmac.compare_digest(known, bytes.fromhex(digest)):
                found = stored
        except (KeyError, ValueError):
            continue
    return found


def is_slow(stored: str) -> bool:
    """Return whether checking this hash takes its time (some 50 ms)."""
    return stored.startswith(SLOW + "$")


def fits(key: str, stored: str) -> bool:
    """Return whether *key* is hashed as it would be today.

    One with the look of a key that was made here is well hashed either way.
    """
    return is_slow(stored) == is_weak(key) or _MADE.fullmatch(key) is not None


def _sha256(key: str, salt: bytes) -> bytes:
    return hashlib.sha256(salt + key.encode("utf-8", "surrogatepass")).digest()


def _scrypt(key: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        key.encode("utf-8", "surrogatepass"), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P
    )


_SCHEMES = {FAST: _sha256, SLOW: _scrypt}
