"""Many contract calls as one Multicall3 ``aggregate3`` read at one block hash.

Calldata is encoded once and kept as the hex that goes over the wire; the answer goes from hex to bytes to
numpy without passing through an ABI codec (1,000 accounts: 2-5 ms of CPU against 1,700).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Sequence

from keeper.chain.payload import Calldata, Digits
from keeper.chain.rpc import TooLarge
from keeper.errors import Rejected, Transient
from keeper.model import Call
from keeper.seams import Priority, Transport
from keeper.words import Even, Words, from_hex

CHUNK_CALLS = 400
"""Calls per ``aggregate3``; a node whose gas cap is smaller teaches a smaller chunk."""
RETRIES_MAX = 12
"""Rounds in which calls that a chunk starved of gas are asked again; 400 calls halve nine times."""

_SELECTOR = bytes.fromhex("82ad56cb")
"""keccak("aggregate3((address,bool,bytes)[])")[:4]"""
_TRUE = (1).to_bytes(32)
_TUPLE_DATA_AT = (96).to_bytes(32)
_ARRAY_AT = (32).to_bytes(32)
_ONE_FAILURE = b"".join(w.to_bytes(32) for w in (32, 1, 32, 0, 64, 0))
"""What ``aggregate3`` would answer for one call that failed without a reason."""
_TOO_MUCH = re.compile(
    r"out of gas|outofgas|gas required exceeds|gas limit|exceeds.{0,20}(gas|allowance|limit|size)"
    r"|(response|request|payload|result).{0,30}(large|big|size)|too large|timed? ?out|timeout|limit exceeded",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

_Chunk = tuple[Sequence[int], Calldata]
"""Indices of the calls, and the calldata that asks them."""


class Batch:
    """Calls that are read together, again and again. It learns how many of them a node carries at once."""

    __slots__ = ("_calls", "_chunk", "_hopeless", "_ready")

    def __init__(self, calls: Sequence[Call], *, chunk: int = CHUNK_CALLS) -> None:
        """Encode ``calls``. Raises ValueError for a target that is no address or a call with value."""
        if chunk < 1:
            raise ValueError(f"chunk={chunk}: a chunk holds at least one call")
        self._calls = tuple(_encode_call(c) for c in calls)
        self._chunk = chunk
        self._hopeless: frozenset[int] = frozenset()
        self._ready = self._cut(range(len(self._calls)))

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def chunk(self) -> int:
        """Most calls that go into one request now."""
        return self._chunk

    async def read(
        self,
        transport: Transport,
        multicall: str,
        block_hash: str,
        timeout_s: float = 4.0,
        priority: Priority = Priority.TRIGGER,
    ) -> Words:
        """Answers of all calls in their order, every chunk at the same block.

        A call that reverts is a false in ``Words.ok``. Raises Transient (nobody answered in time, malformed
        answer, no Multicall3 at the address) or Rejected (the block is not known, or no longer canonical).
        """
        at = _At(transport, multicall, block_hash, priority, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._read(at)
        except TimeoutError:
            pass
        raise Transient(f"reading {len(self)} calls took longer than {timeout_s} s")

    async def _read(self, at: _At) -> Words:
        words = await self._chunks(at, self._ready)
        for _ in range(RETRIES_MAX):
            failed = words.failed()
            # a single call had all the gas there is; a known failure is not worth a round trip every tick
            if not failed or self._chunk == 1 or len(self) == 1 or self._hopeless.issuperset(failed):
                break
            again = await self._chunks(at, self._cut(failed))
            words = words.replaced(failed, again)
            if not again.ok.any():
                self._hopeless = frozenset(failed)
                break
            # gas that runs out inside a chunk fails the calls at its end and not the request: ask for less
            self._learn(max(1, self._chunk // 2))
        return words

    async def _chunks(self, at: _At, chunks: Sequence[_Chunk]) -> Words:
        parts = await _together([self._chunk_read(at, indices, data) for indices, data in chunks])
        return Words.joined([words for part in parts for words in part])

    async def _chunk_read(self, at: _At, indices: Sequence[int], data: Calldata) -> list[Words]:
        """The words of one chunk, located while others are under way, or of its halves when it is too much for
        the node."""
        n = len(indices)
        try:
            return [Words([await at.call(data, n)], [n])]
        except (Rejected, TooLarge) as error:
            if isinstance(error, Rejected) and not _TOO_MUCH.search(error.message):
                raise
            if n == 1:
                return [Words([_ONE_FAILURE], [1])]
        half = (n + 1) // 2
        self._learn(min(self._chunk, half))
        halves = indices[:half], indices[half:]
        parts = await _together([self._chunk_read(at, i, self._encode(i)) for i in halves])
        return [p for part in parts for p in part]

    def _learn(self, chunk: int) -> None:
        if chunk < self._chunk:
            self._chunk = chunk
            self._ready = self._cut(range(len(self._calls)))

    def _cut(self, indices: Sequence[int]) -> list[_Chunk]:
        parts = [indices[i : i + self._chunk] for i in range(0, len(indices), self._chunk)]
        return [(part, self._encode(part)) for part in parts]

    def _encode(self, indices: Sequence[int]) -> Calldata:
        return Calldata("0x" + _aggregate3([self._calls[i] for i in indices]).hex())


class _At:
    """Where and how one reading is made."""

    __slots__ = ("_block", "_multicall", "_priority", "_timeout_s", "_transport")

    def __init__(
        self, transport: Transport, multicall: str, block_hash: str, priority: Priority, timeout_s: float
    ) -> None:
        self._transport = transport
        self._multicall = multicall
        # EIP-1898; canonical, because a read of an orphaned block would be true of no chain
        self._block = {"blockHash": block_hash, "requireCanonical": True}
        self._priority = priority
        self._timeout_s = timeout_s

    async def call(self, data: Calldata, n: int) -> bytes | Even:
        """What one eth_call of ``n`` calls answered. Raises Rejected or Transient."""
        answer = await self._transport.request(
            "eth_call",
            [{"to": self._multicall, "data": data}, self._block],
            priority=self._priority,
            timeout_s=self._timeout_s,
        )
        if isinstance(answer, Digits):
            told = answer
            try:
                return self._results(told.digits, n)
            except Transient:
                # the node may have written its JSON in a way that only a parser understands
                answer = told.parse()
            finally:
                told.give_back()
        if not isinstance(answer, str) or not answer.startswith("0x"):
            raise Transient("eth_call answered something that is not hex")
        # what is no ASCII is no hex either
        return self._results(memoryview(answer.encode("ascii", "replace"))[2:], n)

    def _results(self, digits: memoryview, n: int) -> bytes | Even:
        if not digits:
            raise Transient(f"no Multicall3 at {self._multicall}: the address answers nothing")
        return from_hex(digits, n)


async def _together(parts: Sequence[Coroutine[object, object, list[Words]]]) -> list[list[Words]]:
    """All at once; the first failure ends the others."""
    if len(parts) == 1:
        return [await parts[0]]
    tasks = [asyncio.ensure_future(p) for p in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _encode_call(call: Call) -> bytes:
    """One ``(address,bool,bytes)`` tuple, allowed to fail, ABI-encoded."""
    if not _ADDRESS.fullmatch(call.target):
        raise ValueError(f"target={call.target!r} is no address")
    if call.value_wei:
        raise ValueError(f"value_wei={call.value_wei}: a read carries no value")
    data = call.data
    pad = bytes(-len(data) % 32)
    target = bytes(12) + bytes.fromhex(call.target[2:])
    return b"".join((target, _TRUE, _TUPLE_DATA_AT, len(data).to_bytes(32), data, pad))


def _aggregate3(calls: Sequence[bytes]) -> bytes:
    """Calldata of ``aggregate3`` for encoded tuples."""
    heads: list[bytes] = []
    at = 32 * len(calls)
    for call in calls:
        heads.append(at.to_bytes(32))
        at += len(call)
    return b"".join((_SELECTOR, _ARRAY_AT, len(calls).to_bytes(32), *heads, *calls))
