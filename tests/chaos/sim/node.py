"""One simulated endpoint: a replica with its own idea of the tip, its own faults, and geth's words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from eth_abi.abi import decode

from keeper.chain.rpc import RateLimited
from keeper.errors import Rejected, Transient
from keeper.seams import TxFields
from keeper.units import GWEI
from tests.build import CHAIN_ID, POOL, USDC, WALLET, WETH
from tests.chaos.sim.chain import SimBlock, SimChain, read_tx

MULTICALL = "0x" + "ca" * 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Chance of each fault in one call."""

    error: float = 0.0
    silent: float = 0.0
    limited: float = 0.0
    garbled: float = 0.0
    swallow: float = 0.0
    """A broadcast is answered with its hash and forgotten."""
    deaf: float = 0.0
    """A broadcast arrives and its answer is lost."""
    lag: float = 0.0
    """A new block does not reach this replica now."""
    slow_s: float = 0.2


HEALTHY = Faults()


class Node:
    """The ``Body`` of one endpoint."""

    def __init__(self, chain: SimChain, rng: random.Random, on_point: Callable[[str], None]) -> None:
        self.connects = 1
        self.faults = HEALTHY
        self.tip: SimBlock = chain.head
        self.dead = False
        self._chain = chain
        self._rng = rng
        self._on_point = on_point

    def new_block(self) -> None:
        """The network has a new head; whether this replica has heard of it."""
        if self._rng.random() >= self.faults.lag:
            self.tip = self._chain.head

    async def call(self, method: str, params: Sequence[object], *, timeout_s: float) -> object:
        """The ``result``. Raises Rejected, RateLimited or Transient."""
        self._on_point(f"> {method}")
        f, rng = self.faults, self._rng
        slow_s, luck = rng.uniform(0.01, f.slow_s), rng.random()
        if self.dead:
            await asyncio.sleep(min(timeout_s, slow_s))
            raise Transient("cannot be reached (ECONNREFUSED)")
        sending = method == "eth_sendRawTransaction"
        if luck < f.silent:
            # half of the sends that get no answer have arrived all the same
            if sending and luck < f.silent / 2:
                self._quietly_submit(params)
            await asyncio.sleep(timeout_s)
            raise Transient("did not answer in time")
        await asyncio.sleep(min(slow_s, timeout_s))
        if sending and rng.random() < f.deaf:
            self._quietly_submit(params)
            raise Transient("connection reset")
        luck = rng.random()
        if luck < f.error:
            if sending and luck < f.error / 2:
                self._quietly_submit(params)
            raise Transient("connection reset")
        if luck < f.error + f.limited:
            raise RateLimited("HTTP 429", None)
        answer = self._answer(method, params)
        self._on_point(f"< {method}")
        if rng.random() < f.garbled:
            return _garble(answer, rng)
        return answer

    async def close(self) -> None:
        """Nothing to end."""

    def _quietly_submit(self, params: Sequence[object]) -> None:
        try:
            self._send(bytes.fromhex(str(params[0])[2:]))
        except Rejected:
            return

    def _answer(self, method: str, params: Sequence[object]) -> object:
        if method == "eth_chainId":
            return hex(CHAIN_ID)
        if method == "eth_blockNumber":
            return hex(self.tip.number)
        if method == "eth_maxPriorityFeePerGas":
            return hex(GWEI)
        if method == "eth_getLogs":
            return []
        if method == "eth_sendRawTransaction":
            return self._send(bytes.fromhex(str(params[0])[2:]))
        if method == "eth_getBlockByNumber":
            return self._header(self._at_tag(params[0]))
        if method == "eth_getBlockByHash":
            found = self._chain.by_hash.get(str(params[0]))
            return self._header(found)
        if method == "eth_getTransactionReceipt":
            return self._receipt(str(params[0]))
        if method == "eth_getTransactionCount":
            return self._count(params[1])
        if method in ("eth_call", "eth_estimateGas"):
            return self._call(params)
        raise Rejected(-32601, f"the method {method} does not exist/is not available")

    def _send(self, raw: bytes) -> str:
        if self._rng.random() < self.faults.swallow:
            return read_tx(raw)[1]
        return self._chain.submit(raw)

    def _at_tag(self, tag: object) -> SimBlock | None:
        if tag in ("latest", "pending"):
            return self.tip
        number = self._chain.finalized if tag in ("finalized", "safe") else int(str(tag), 16)
        return next((b for b in self._chain.branch(self.tip) if b.number == number), None)

    def _at(self, where: object) -> SimBlock:
        """The block of an EIP-1898 object, which must be on this replica's branch, or of a tag."""
        if isinstance(where, dict):
            found = self._chain.by_hash.get(str(where["blockHash"]))
            if found is None or found.number > self.tip.number:
                raise Rejected(-32000, "header not found")
            if not self._chain.on_branch(found, self.tip):
                raise Rejected(-32000, "hash is not currently canonical")
            return found
        found = self._at_tag(where)
        if found is None:
            raise Rejected(-32000, "header not found")
        return found

    def _header(self, block: SimBlock | None) -> object:
        if block is None:
            return None
        h = block.header
        return {
            "number": hex(h.number),
            "hash": h.hash,
            "parentHash": h.parent_hash,
            "timestamp": hex(h.timestamp_s),
            "baseFeePerGas": hex(h.base_fee_wei),
        }

    def _receipt(self, hash: str) -> object:
        for block in self._chain.places.get(hash, ()):
            if block.number > self.tip.number or not self._chain.on_branch(block, self.tip):
                continue
            found = next(m for m in block.txs if m.hash == hash)
            return {
                "transactionHash": hash,
                "from": WALLET.lower(),
                "to": found.tx.to.lower(),
                "status": hex(found.ok),
                "blockNumber": hex(block.number),
                "blockHash": block.header.hash,
                "gasUsed": hex(found.tx.gas_limit // 2),
                "effectiveGasPrice": hex(
                    min(found.tx.max_fee_wei, block.header.base_fee_wei + found.tx.tip_wei)
                ),
            }
        return None

    def _count(self, where: object) -> str:
        if where == "pending":
            nonce = self._chain.head.state.nonce
            while nonce in self._chain.pool:
                nonce += 1
            return hex(nonce)
        return hex(self._at(where).state.nonce)

    def _call(self, params: Sequence[object]) -> str:
        call = params[0]
        assert isinstance(call, dict)
        at = self._at(params[1] if len(params) > 1 else "latest")
        if call["to"] == MULTICALL:
            return _aggregate([self._view(at, to, data) for to, data in _calls(str(call["data"]))])
        data = bytes.fromhex(str(call["data"])[2:])
        tx = TxFields(
            chain_id=CHAIN_ID,
            nonce=0,
            to=str(call["to"]),
            data=data,
            value_wei=0,
            gas_limit=10**6,
            max_fee_wei=0,
            tip_wei=0,
        )
        _, ok, _ = self._chain.run(at.state, tx, self._chain.price_base(at.number))
        if not ok:
            raise Rejected(3, "execution reverted")
        return "0x"

    def _view(self, at: SimBlock, to: str, data: bytes) -> bytes:
        """What a view call of the market, a token or Multicall3 itself returns."""
        price, state = self._chain.price_base(at.number), at.state
        if to == POOL.lower():
            account = next(a for a in state.accounts if a[2:].lower() == data[-20:].hex())
            held = state.accounts[account]
            words = (held.collateral, 0, price, 0, held.debt, 10**8)
        elif to == MULTICALL:
            words = (state.native_wei,)
        elif len(data) > 36:
            words = (2**128,)
        else:
            words = ({WETH.address.lower(): state.weth, USDC.address.lower(): state.usdc}[to],)
        return b"".join(w.to_bytes(32) for w in words)


@lru_cache(maxsize=64)
def _calls(data: str) -> tuple[tuple[str, bytes], ...]:
    """(target, calldata) of each call of an ``aggregate3``."""
    (calls,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(data[10:]))
    return tuple((target, inner) for target, _, inner in calls)


def _aggregate(answers: Sequence[bytes]) -> str:
    heads, tails, at = [], [], 32 * len(answers)
    for answer in answers:
        heads.append(at.to_bytes(32))
        tails.append((1).to_bytes(32) + (64).to_bytes(32) + len(answer).to_bytes(32) + answer)
        at += 96 + len(answer)
    return "0x" + b"".join(((32).to_bytes(32), len(answers).to_bytes(32), *heads, *tails)).hex()


def _garble(answer: object, rng: random.Random) -> object:
    """A truncated or nonsensical answer; never one that could pass for another truth."""
    if isinstance(answer, str) and len(answer) > 200:
        return answer[: len(answer) // 2]
    return rng.choice(("0xzz", 7, [], True, {"number": "0x"}))
