"""A chain on which two keys act for one position through its owner's Executor, and the Executor's rules once more.

The rules are written from the contract (``_admit``, ``_payIn``, ``Policies.settle``), not taken from the keeper:
what both misread alike would not be seen. Tokens, market and Executor are doubles; the contract itself stands on a
real chain in ``tests/anvil/test_standby_daemon.py``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.errors import Rejected
from keeper.model import Side
from keeper.seams import TxFields
from keeper.units import GWEI, WAD
from tests.build import ALICE, CHAIN_ID, POOL, USDC, WALLET, WETH
from tests.chaos.sim.chain import FINALITY, FIRST, Held, Mined, SimBlock, SimChain, health_wad
from tests.chaos.sim.node import MULTICALL, Node
from tests.mandates import EXECUTOR, KEY

SECOND = to_checksum_address("0x" + "a2" * 20)
"""The second machine's key."""
BOTS = (WALLET, SECOND)
TRIGGER_WAD, TARGET_WAD = 125 * WAD // 100, 140 * WAD // 100
MAX_WAD, EMERGENCY_WAD = 160 * WAD // 100, 108 * WAD // 100
HYSTERESIS_WAD, PARTIAL_BPS = 2 * WAD // 100, 500
COOLDOWN_BLOCKS = 2
EXPIRY_S = 2_000_000_000
RECEIPTS = {WETH.address.lower(): "0x" + "10" * 20, USDC.address.lower(): "0x" + "20" * 20}
BASE_FEE_MAX_WEI = 30 * GWEI


def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]


REPAY_FROM_RESERVE = _selector("repayFromReserve(bytes32,uint64,address,uint256,uint64)")
_PAUSED, _POSITION = _selector("paused()"), _selector("positionOf(bytes32)")
_BOT, _BOT_SPENT = _selector("botOf(address)"), _selector("botSpent(bytes32,address,uint8,address)")
_ASSET, _BALANCE = _selector("assetOf(bytes32,address,uint8)"), _selector("balanceOf(address)")
_BLOCK_NUMBER = _selector("getBlockNumber()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything that a block's transactions may change."""

    accounts: Mapping[str, Held]
    reserve: int
    """USDC that the Executor keeps."""
    seq: int
    last_block: int
    nonces: Mapping[str, int]
    natives: Mapping[str, int]

    @property
    def held(self) -> Held:
        """The one position."""
        return self.accounts[ALICE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A pay-in as its calldata says it."""

    seq: int
    token: str
    units: int
    deadline_s: int


def wanted(data: bytes) -> Wanted | None:
    """What is asked of the Executor; None where that is no pay-in of the position."""
    if data[:4] != REPAY_FROM_RESERVE:
        return None
    key, seq, token, units, deadline_s = decode(
        ["bytes32", "uint64", "address", "uint256", "uint64"], data[4:]
    )
    if "0x" + key.hex() != KEY:
        return None
    return Wanted(seq=seq, token=token.lower(), units=units, deadline_s=deadline_s)


def read_signed(raw: bytes) -> tuple[str, TxFields, str]:
    """Sender, fields and hash of bytes made by the simulated signers. Raises Rejected as a node would."""
    try:
        told = json.loads(raw)
        sender = str(told.pop("from"))
        tx = TxFields(**{**told, "data": bytes.fromhex(told["data"])})
    except (ValueError, TypeError, KeyError):
        raise Rejected(-32000, "rlp: expected input list for types.DynamicFeeTx") from None
    return sender, tx, "0x" + keccak(raw).hex()


@dataclass(slots=True)
class OwnedChain(SimChain):
    """Blocks, a pool by sender and nonce, one market, one Executor with two bots."""

    lenient: bool = False
    """Planted: number, trigger, cooldown and the health reached are not looked at."""
    senders: dict[str, str] = field(default_factory=dict)
    """Transaction hash -> who signed it."""
    whys: dict[str, str] = field(default_factory=dict)
    """Transaction hash -> why it reverted."""
    waiting: dict[tuple[str, int], tuple[TxFields, str]] = field(default_factory=dict)
    """The pool."""
    full_before: bool = False
    held: tuple[str, range] = ("", range(0))
    """Whose transactions no block takes, in those blocks."""

    def books(self, at: SimBlock | None = None) -> Books:
        """The state after a block."""
        found: Any = (at or self.head).state
        assert isinstance(found, Books)
        return found

    def step(self) -> None:
        """Twelve seconds pass."""
        self.steps += 1
        w = self.weather
        if self.rng.random() < w.reorg:
            self.reorg(self.rng.choice((1, 1, 2)))
        self._mine()
        if self.waiting and self.rng.random() < w.drop:
            del self.waiting[self.rng.choice(sorted(self.waiting))]

    def reorg(self, depth: int) -> None:
        """Replace the last blocks by as many others; their transactions may or may not return."""
        depth = min(depth, FINALITY - 1, len(self.blocks) - 2)
        if depth < 1:
            return
        lost = [m for b in self.blocks[-depth:] for m in b.txs]
        del self.blocks[-depth:]
        for mined in lost:
            if self.rng.random() >= self.weather.lost_in_reorg:
                self.waiting.setdefault((self.senders[mined.hash], mined.tx.nonce), (mined.tx, mined.hash))
        self.reorgs += 1
        for _ in range(depth):
            self._mine()

    def submit(self, raw: bytes) -> str:
        """Into the pool by geth's rules. Raises Rejected in geth's words."""
        sender, tx, hash = read_signed(raw)
        nonce = self.books().nonces[sender]
        if tx.nonce < nonce:
            raise Rejected(-32000, f"nonce too low: next nonce {nonce}, tx nonce {tx.nonce}")
        old = self.waiting.get((sender, tx.nonce))
        if old is not None:
            if old[1] == hash:
                raise Rejected(-32000, "already known")
            for new_wei, old_wei in ((tx.max_fee_wei, old[0].max_fee_wei), (tx.tip_wei, old[0].tip_wei)):
                if new_wei < old_wei * 110 // 100:
                    raise Rejected(-32000, "replacement transaction underpriced")
        if tx.gas_limit * tx.max_fee_wei > self.books().natives[sender]:
            raise Rejected(-32000, "insufficient funds for gas * price + value")
        self.waiting[sender, tx.nonce] = (tx, hash)
        self.senders[hash] = sender
        return hash

    def ran(self, books: Books, sender: str, tx: TxFields, at: SimBlock) -> tuple[Books, str, int | None]:
        """(state after, why it reverted, health before) in the block ``at``; fees not counted."""
        if tx.to.lower() == sender.lower():
            return books, "", None
        asked = wanted(tx.data) if tx.to.lower() == EXECUTOR.lower() else None
        if asked is None:
            return books, "no such function", None
        price = self.price_base(at.number)
        before = health_wad(books.held, price)
        why = self._admits(books, sender, asked, before, at)
        if why:
            return books, why, before
        units = min(asked.units, books.held.debt)
        if asked.token != USDC.address.lower() or not 0 < units <= books.reserve:
            return books, "ReserveShort", before
        held = Held(books.held.collateral, books.held.debt - units)
        why = _unsettled(before, health_wad(held, price))
        if why and not self.lenient:
            return books, why, before
        after = replace(
            books,
            accounts={**books.accounts, ALICE: held},
            reserve=books.reserve - units,
            seq=books.seq + 1,
            last_block=at.number,
        )
        return after, "", before

    def _admits(self, books: Books, sender: str, asked: Wanted, before_wad: int, at: SimBlock) -> str:
        """``_admit``."""
        if sender not in BOTS:
            return "NotBot"
        if asked.seq != books.seq and not self.lenient:
            return "WrongSeq"
        if at.header.timestamp_s > asked.deadline_s:
            return "DeadlinePassed"
        if self.lenient:
            return ""
        if before_wad >= TRIGGER_WAD:
            return "NotTriggered"
        until = books.last_block + (1 if before_wad < EMERGENCY_WAD else COOLDOWN_BLOCKS)
        return "CoolingDown" if at.number < until else ""

    def _mine(self) -> None:
        parent, rng = self.head, self.rng
        base = parent.header.base_fee_wei
        base = int(base * (1 + rng.uniform(-0.125, 0.125)))
        base = max(GWEI, min(base, BASE_FEE_MAX_WEI))
        # never two in a row: nobody promises a block to a transaction that none of them takes
        full = not self.full_before and rng.random() < self.weather.full_blocks
        self.full_before = full
        block = self._empty(parent, base)
        books, txs = self.books(parent), list[Mined]()
        for sender in [] if full else rng.sample(BOTS, len(BOTS)):
            if sender == self.held[0] and block.number in self.held[1]:
                continue
            while (found := self.waiting.get((sender, books.nonces[sender]))) is not None:
                tx, hash = found
                if tx.max_fee_wei < base + min(tx.tip_wei, GWEI // 1000):
                    break
                del self.waiting[sender, tx.nonce]
                books, why, before = self.ran(books, sender, tx, block)
                price_wei = min(tx.max_fee_wei, base + tx.tip_wei)
                left = books.natives[sender] - tx.gas_limit // 2 * price_wei
                books = replace(
                    books,
                    nonces={**books.nonces, sender: tx.nonce + 1},
                    natives={**books.natives, sender: left},
                )
                self.whys[hash] = why
                txs.append(Mined(tx=tx, hash=hash, ok=not why, health_before_wad=before))
        for sender, nonce in [k for k in self.waiting if k[1] < books.nonces[k[0]]]:
            del self.waiting[sender, nonce]
        block.txs, block.state = tuple(txs), books  # type: ignore[assignment]
        for mined in txs:
            self.places.setdefault(mined.hash, []).append(block)

    def _empty(self, parent: SimBlock, base_wei: int) -> SimBlock:
        SimChain._append(self, parent, (), parent.state, base_wei)
        return self.blocks[-1]


def _unsettled(before_wad: int, after_wad: int) -> str:
    """``Policies.settle`` of a payment."""
    if after_wad <= before_wad:
        return "NotImproved"
    if after_wad < TARGET_WAD:
        needed = before_wad + HYSTERESIS_WAD
        if before_wad < EMERGENCY_WAD:
            needed = before_wad + -(-before_wad * PARTIAL_BPS // 10_000)
        if after_wad < min(needed, TARGET_WAD):
            return "TargetMissed"
    return "MaxHealthExceeded" if MAX_WAD < after_wad < 2**256 - 1 else ""


def genesis(rng: random.Random) -> Books:
    """A position at health 1.30 to 1.40, money in the Executor, gas in both wallets."""
    debt = int(10 * 2000 * 0.83 / rng.uniform(1.30, 1.40)) * 10**6
    return Books(
        accounts={ALICE: Held(10 * 10**18, debt)},
        reserve=10**12,
        seq=3,
        last_block=FIRST - 10,
        nonces=dict.fromkeys(BOTS, 0),
        natives=dict.fromkeys(BOTS, 20 * WAD),
    )


class OwnedNode(Node):
    """A replica of that chain."""

    _chain: OwnedChain

    def _answer(self, method: str, params: Sequence[object]) -> object:
        if method == "eth_getTransactionCount":
            return self._nonce(str(params[0]), params[1])
        return super()._answer(method, params)

    def _send(self, raw: bytes) -> str:
        return read_signed(raw)[2] if self._rng.random() < self.faults.swallow else self._chain.submit(raw)

    def _nonce(self, sender: str, where: object) -> str:
        bot = next(b for b in BOTS if b.lower() == sender.lower())
        if where == "pending":
            nonce = self._chain.books().nonces[bot]
            while (bot, nonce) in self._chain.waiting:
                nonce += 1
            return hex(nonce)
        return hex(self._chain.books(self._at(where)).nonces[bot])

    def _receipt(self, hash: str) -> object:
        found = super()._receipt(hash)
        return {**found, "from": self._chain.senders[hash].lower()} if isinstance(found, dict) else None

    def _call(self, params: Sequence[object]) -> str:
        call = params[0]
        assert isinstance(call, dict)
        if call["to"] == MULTICALL:
            return super()._call(params)
        at = self._at(params[1] if len(params) > 1 else "latest")
        sender = next(b for b in BOTS if b.lower() == str(call["from"]).lower())
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
        why = self._chain.ran(self._chain.books(at), sender, tx, at)[1]
        if why:
            raise Rejected(3, f"execution reverted: {why}")
        return "0x"

    def _view(self, at: SimBlock, to: str, data: bytes) -> bytes:
        books, selector = self._chain.books(at), data[:4]
        words: tuple[int, ...] = (0,)
        if to == POOL.lower():
            words = (
                books.held.collateral,
                0,
                self._chain.price_base(at.number),
                0,
                books.held.debt,
                10**8,
            )
        elif to == MULTICALL:
            number = selector == _BLOCK_NUMBER
            words = (at.number if number else books.natives[_bot(data[-20:])],)
        elif to == EXECUTOR.lower():
            words = _executor(books, selector, data)
        elif to == USDC.address.lower() and selector == _BALANCE and data[-20:] == _raw(EXECUTOR):
            words = (books.reserve,)
        return b"".join(w.to_bytes(32) for w in words)


def _executor(books: Books, selector: bytes, data: bytes) -> tuple[int, ...]:
    """The Executor's views."""
    if selector == _PAUSED:
        return (0,)
    if selector == _BOT:
        return (10_000, EXPIRY_S) if _bot(data[-20:]) in BOTS else (0, 0)
    if selector == _POSITION:
        lines = (TRIGGER_WAD, TARGET_WAD, MAX_WAD, EMERGENCY_WAD, HYSTERESIS_WAD)
        return (*lines, COOLDOWN_BLOCKS, 86_400, EXPIRY_S, 100, 10, books.seq, books.last_block)
    if selector == _BOT_SPENT:
        return (0, 0, 0)
    assert selector == _ASSET, selector.hex()
    token = "0x" + data[48:68].hex()
    side = Side(int.from_bytes(data[68:100]))
    if (token == USDC.address.lower()) != (side is Side.DEBT):
        return (0,) * 7
    unit = 10 ** (USDC if side is Side.DEBT else WETH).decimals
    caps = (0, 2**100) if side is Side.DEBT else (2**100, 0)
    return (int(RECEIPTS[token], 16), unit, *caps, 0, 0, 0)


def _bot(raw: bytes) -> str:
    return next((b for b in BOTS if _raw(b) == raw), "")


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])
