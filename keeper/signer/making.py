"""A new key, sealed before it touches a disk."""

from __future__ import annotations

import os
from pathlib import Path

from eth_account import Account

from keeper.errors import ConfigError
from keeper.signer.keystore import seal

PASSWORD_CHARS_MIN = 12
"""A keystore may be copied and guessed at leisure; scrypt makes a guess cost about a second of one core."""
SCRYPT_N = 2**18
"""The cost that geth and eth_account take by default for keystore v3."""


def make_keystore(out: Path, password: str, *, scrypt_n: int = SCRYPT_N) -> str:
    """Write a new random key as keystore v3 of mode 0600; its EIP-55 address.

    Nothing is overwritten, and nothing half-written stays: the file appears whole, or not at all. Raises
    ConfigError naming the file or what is wrong with the password; the password and the key are in no message.
    """
    if len(password) < PASSWORD_CHARS_MIN:
        raise ConfigError(
            (f"password: has {len(password)} characters, at least {PASSWORD_CHARS_MIN} are asked",)
        )
    if password != password.strip("\r\n"):
        raise ConfigError(("password: must not begin or end with a line break",))
    try:
        # opened before the key is made: a key that cannot be written must not have existed
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConfigError((f"{out}: is there already, and a key is never written over",)) from None
    except OSError as error:
        raise ConfigError((f"{out}: {error.strerror}",)) from None
    try:
        with os.fdopen(fd, "w", encoding="ascii") as file:
            sealed, address = seal(bytes(Account.create().key), password, scrypt_n=scrypt_n)
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        out.unlink(missing_ok=True)
        raise ConfigError((f"{out}: {error.strerror}",)) from None
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    return address
