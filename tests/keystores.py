"""Keystore files for tests: real keystore v3, with scrypt made cheap."""

from __future__ import annotations

import json
from pathlib import Path

from eth_account import Account

CANARY = bytes.fromhex("ca" * 16 + "17" * 16)
"""A private key that must appear nowhere."""
PASSWORD = "correct horse canary"
SCRYPT_N = 2**12


def keystore(folder: Path, secret: bytes = CANARY, password: str = PASSWORD) -> tuple[Path, Path]:
    """(keystore file, password file), both readable by their owner only."""
    sealed = Account.encrypt(secret, password, kdf="scrypt", iterations=SCRYPT_N)
    paths = (folder / "key.json", folder / "password")
    for path, text in zip(paths, (json.dumps(sealed), password + "\n"), strict=True):
        path.write_text(text)
        path.chmod(0o600)
    return paths


def address_of(secret: bytes = CANARY) -> str:
    """EIP-55 address of the key."""
    return str(Account.from_key(secret).address)
