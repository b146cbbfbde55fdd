"""Sealing a key into a keystore v3, for a new wallet and for local chains."""

from __future__ import annotations

import json

from eth_account import Account

SCRYPT_N_LOCAL = 2**12
"""Fast to open, for keys that are worth nothing; a real wallet's keystore uses the library's own cost."""


def seal(secret: bytes, password: str, *, scrypt_n: int = SCRYPT_N_LOCAL) -> tuple[str, str]:
    """(keystore v3 as JSON text, EIP-55 address) of a 32-byte private key."""
    sealed = Account.encrypt(secret, password, kdf="scrypt", iterations=scrypt_n)
    return json.dumps(sealed), str(Account.from_key(secret).address)
