"""The daemon's side of a signer in a process of its own: no key is on this side."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from keeper.errors import Broken, ConfigError, Transient
from keeper.seams import Kept, Signed, TxFields
from keeper.signer.service import KINDS, LINE_MAX, kept_of, row_of

TIMEOUT_S = 0.5
TRIES = 3
"""Asking again is safe: what was signed before comes back unchanged. All tries together leave a block's tending the
time to send again what is signed already."""


class RemoteSigner:
    """The ``Signer`` seam over a unix socket."""

    def __init__(self, path: Path, address: str) -> None:
        self._path = path
        self._address = address

    @classmethod
    async def open(cls, path: Path, address: str) -> RemoteSigner:
        """Raises Transient when nobody answers at ``path``, ConfigError when it signs for another address.

        A signer that is started anew in the same minute as the daemon is no fault of the configuration: a
        unit that ends with one is not started again.
        """
        signer = cls(path, address)
        try:
            found = str((await signer._ask({"do": "address"}))["address"])
        except Transient as error:
            raise Transient(f"wallet.signer: {error}; is the signer running?") from error
        if found.lower() != address.lower():
            raise ConfigError((f"wallet.signer: {path} signs for {found}, wallet.address is {address}",))
        return signer

    def __repr__(self) -> str:
        return f"RemoteSigner({self._address})"

    @property
    def address(self) -> str:
        """EIP-55 address of the key."""
        return self._address

    async def sign(self, tx: TxFields) -> Signed:
        """Signed bytes. Raises Broken (Unsigned, Unwritable) when the signer refuses, Transient when it does
        not answer."""
        return _signed(await self._ask({"do": "sign", "tx": row_of(tx)}))

    async def stored(self, intent: str) -> tuple[Kept, ...]:
        """What was ever signed for an intent. Raises Transient."""
        found = (await self._ask({"do": "stored", "intent": intent}))["signed"]
        assert isinstance(found, list)
        return tuple(kept_of(row) for row in found)

    async def _ask(self, request: dict[str, object]) -> dict[str, object]:
        last: Exception | None = None
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return _accepted(await self._exchange(request))
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                last = error
        raise Transient(f"no signer answers at {self._path} ({type(last).__name__})")

    async def _exchange(self, request: dict[str, object]) -> dict[str, object]:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=LINE_MAX)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            answer = json.loads(await reader.readline())
        finally:
            writer.close()
            with contextlib.suppress(OSError, RuntimeError):
                await writer.wait_closed()
        if not isinstance(answer, dict):
            raise ValueError("no object")
        return answer


def _accepted(answer: dict[str, object]) -> dict[str, object]:
    if answer.get("ok") is not True:
        refusal = next((k for k, name in KINDS.items() if name == answer.get("kind")), Broken)
        raise refusal(str(answer.get("why")))
    return answer


def _signed(row: dict[str, object]) -> Signed:
    return Signed(raw=bytes.fromhex(str(row["raw"])), hash=str(row["hash"]))
