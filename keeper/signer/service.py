"""The signer behind a unix socket of its own: one JSON line asked, one answered. It opens no network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

from keeper.errors import Broken, Unsigned, Unwritable, unopened
from keeper.seams import Kept, Signed, TxFields
from keeper.signer.guarded import GuardedSigner

LINE_MAX = 256 * 1024
KINDS: dict[type[Broken], str] = {Unsigned: "unsigned", Unwritable: "unwritable"}
"""Refusals after which the daemon goes on, by the name they have on the socket; every other one stops it."""
_NUMBERS = ("chain_id", "nonce", "value_wei", "gas_limit", "max_fee_wei", "tip_wei")


async def serve(path: Path, signer: GuardedSigner, *, group: bool = False) -> asyncio.Server:
    """Listen at ``path``, which only this user (and its ``group``) may use; a stale socket is replaced.

    Raises ConfigError, or Unwritable when its disk takes none now.
    """

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await answer(line, signer)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):  # a line beyond the limit, a client that went
            pass
        finally:
            writer.close()

    old = os.umask(0o117 if group else 0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return await asyncio.start_unix_server(on_client, path=str(path), limit=LINE_MAX)
    except OSError as error:
        raise unopened(error, f"{path}: the signer's socket cannot be made: {error.strerror}") from error
    finally:
        os.umask(old)


async def answer(line: bytes, signer: GuardedSigner) -> dict[str, object]:
    """One request; ``ok`` false always comes with a why. Nothing of the key is ever in an answer."""
    try:
        request = json.loads(line)
        if request["do"] == "address":
            return {"ok": True, "address": signer.address}
        if request["do"] == "stored":
            return {"ok": True, "signed": [_kept(k) for k in await signer.stored(str(request["intent"]))]}
        if request["do"] == "sign":
            return {"ok": True, **_told(await signer.sign(fields_of(request["tx"])))}
        return {"ok": False, "why": "unknown request: address, sign or stored"}
    except Broken as error:
        return {"ok": False, "why": str(error), "kind": _kind(error)}
    except (ValueError, TypeError, KeyError) as error:
        return {"ok": False, "why": f"malformed request ({type(error).__name__})"}


def _kind(error: Broken) -> str:
    return next((name for kind, name in KINDS.items() if isinstance(error, kind)), "")


def fields_of(row: Any) -> TxFields:
    """A transaction from JSON; integers travel as decimal text. Raises ValueError, TypeError, KeyError."""
    numbers = {name: int(row[name]) for name in _NUMBERS}
    data = bytes.fromhex(str(row["data"]))
    return TxFields(to=str(row["to"]), data=data, intent=str(row["intent"]), **numbers)


def row_of(tx: TxFields) -> dict[str, str]:
    """Inverse of ``fields_of``."""
    numbers = {name: str(getattr(tx, name)) for name in _NUMBERS}
    return {**numbers, "to": tx.to, "data": tx.data.hex(), "intent": tx.intent}


def _kept(kept: Kept) -> dict[str, object]:
    numbers = {"nonce": kept.nonce, "gas_limit": kept.gas_limit, "cancel": int(kept.cancel)}
    fees = {"max_fee_wei": kept.max_fee_wei, "tip_wei": kept.tip_wei}
    return {**{name: str(value) for name, value in {**numbers, **fees}.items()}, **_told(kept.signed)}


def kept_of(row: Any) -> Kept:
    """Inverse of what ``stored`` tells."""
    return Kept(
        nonce=int(row["nonce"]),
        gas_limit=int(row["gas_limit"]),
        max_fee_wei=int(row["max_fee_wei"]),
        tip_wei=int(row["tip_wei"]),
        cancel=row["cancel"] == "1",
        signed=Signed(raw=bytes.fromhex(row["raw"]), hash=str(row["hash"])),
    )


def _told(signed: Signed) -> dict[str, object]:
    return {"raw": signed.raw.hex(), "hash": signed.hash}
