"""A key from a keystore v3 file: where it may lie, who may read it, and that nothing ever prints it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from pathlib import Path
from typing import NoReturn

from eth_account import Account
from eth_utils.address import to_checksum_address

from keeper.errors import ConfigError

_RAW_KEY = re.compile(rb"\s*(0x)?[0-9a-fA-F]{64}\s*")
_FILE_BYTES_MAX = 64 * 1024


class Key:
    """A private key whose repr, str and pickle tell nothing."""

    __slots__ = ("_secret", "address")

    def __init__(self, secret: bytes) -> None:
        """``secret``: 32 bytes."""
        self._secret = secret
        self.address: str = to_checksum_address(Account.from_key(secret).address)

    def __repr__(self) -> str:
        return f"Key({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied or pickled")

    def reveal(self) -> bytes:
        """The 32 bytes, for the signing call alone."""
        return self._secret


def find_secret(path: Path, credentials_dir: Path | None) -> Path:
    """``path`` itself when absolute; a bare name is looked for among the systemd credentials.

    Raises ConfigError when a bare name is given and no such credential exists.
    """
    if path.is_absolute() or len(path.parts) > 1:
        return path
    if credentials_dir is not None and (credentials_dir / path).is_file():
        return credentials_dir / path
    if path.is_file():
        return path.absolute()
    where = credentials_dir or "no $CREDENTIALS_DIRECTORY is set"
    raise ConfigError((f"{path}: no such file and no such systemd credential ({where})",))


async def load_key(
    keystore: Path,
    password_file: Path,
    address: str,
    *,
    credentials_dir: Path | None = None,
    configured: str = "wallet.address",
) -> Key:
    """Decrypt in a thread (scrypt takes about a second) and insist on ``address``, ``configured`` in words.

    Raises ConfigError naming the file: missing, readable by others, a raw key, a wrong password, another
    address. The password and the key are in no message.
    """
    sealed = read_secret(find_secret(keystore, credentials_dir), credentials_dir)
    password = read_secret(find_secret(password_file, credentials_dir), credentials_dir)
    content = keystore_content(sealed, keystore)
    key = await asyncio.to_thread(decrypted, content, password.rstrip(b"\r\n"), keystore)
    if key.address.lower() != address.lower():
        raise ConfigError((f"{keystore}: holds the key of {key.address}, {configured} is {address}",))
    return key


def read_secret(path: Path, credentials_dir: Path | None = None) -> bytes:
    """The bytes of a file that nobody else may read. Raises ConfigError naming file, mode or owner."""
    try:
        # no blocking on a pipe that somebody put there
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}",)) from None
    try:
        _refuse_open(path, os.fstat(fd), credentials_dir)
        return os.read(fd, _FILE_BYTES_MAX)
    finally:
        os.close(fd)


def _refuse_open(path: Path, facts: os.stat_result, credentials_dir: Path | None) -> None:
    """Raises ConfigError when the file is no file, or another user may read it or owns it."""
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError((f"{path}: is not a regular file",))
    # systemd grants a service its credential by ACL, whose mask shows as the group's bits
    by_systemd = credentials_dir is not None and path.parent == credentials_dir and facts.st_uid == 0
    if facts.st_mode & (0o007 if by_systemd else 0o077):
        mode = f"{stat.S_IMODE(facts.st_mode):04o}"
        raise ConfigError((f"{path}: mode {mode} lets others read it; chmod 600 {path}",))
    if facts.st_uid not in (os.geteuid(), 0):
        raise ConfigError((f"{path}: is owned by user {facts.st_uid}, not by the keeper's user",))


def keystore_content(sealed: bytes, path: Path) -> dict[str, object]:
    """The keystore's JSON. Raises ConfigError naming ``path``, which is told and not read."""
    """The keystore's JSON. Raises ConfigError; never repeats the content."""
    if _RAW_KEY.fullmatch(sealed):
        raise ConfigError((f"{path}: is a raw private key; keeper takes only an encrypted keystore v3",))
    try:
        content = json.loads(sealed)
    except ValueError:
        raise ConfigError((f"{path}: is no keystore v3 (not JSON)",)) from None
    if not isinstance(content, dict) or not isinstance(content.get("crypto", content.get("Crypto")), dict):
        raise ConfigError((f"{path}: is no keystore v3 (no crypto section)",))
    return content


def decrypted(content: dict[str, object], password: bytes, path: Path) -> Key:
    """The key within. Raises ConfigError naming ``path`` and no secret."""
    try:
        return Key(bytes(Account.decrypt(content, password.decode())))
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        # the cause's frames hold password and key: it is named by type only, and not chained
        cause = "wrong password" if "MAC mismatch" in str(error) else type(error).__name__
        raise ConfigError((f"{path}: cannot be decrypted ({cause})",)) from None
