"""A simulated chain: geth's pool rules, a base fee that jumps, reorganisations, and one lending market.

The market's state is part of each block, so a reorganisation takes effects back as a real one does. Prices
are a function of the block's number alone and only ever fall.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from eth_utils.crypto import keccak

from keeper.errors import Rejected
from keeper.model import Block
from keeper.seams import TxFields
from keeper.units import GWEI, WAD
from tests.build import CHAIN_ID, POOL, THRESHOLDS, USDC, WALLET, WETH
from tests.fakes import REPAY, SUPPLY

BLOCK_S = 12
FIRST = 100
START_S = 1_700_000_000.0
FINALITY = 8
"""Blocks below this depth never change; no reorganisation is deeper than seven. The finalized block trails the head
by as much, but in seeds in which it stands still for a while: there it says less than is true, and nothing above it
may be called final, however deep."""
BASE_FEE_MAX_WEI = 45 * GWEI
_THRESHOLD_BPS = int(float(THRESHOLDS["WETH"]) * 10_000)


@dataclass(frozen=True, slots=True)
class Held:
    """What one account supplied (WETH) and borrowed (USDC)."""

    collateral: int
    debt: int


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a block's transactions may change."""

    accounts: Mapping[str, Held]
    weth: int
    usdc: int
    native_wei: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Mined:
    """One transaction in a block."""

    tx: TxFields
    hash: str
    ok: bool
    health_before_wad: int | None
    """The touched account's health just before, at this block's price; None for a self-send."""
    revived: bool = False
    """Mined, now or before, though no pool held it any more."""


@dataclass(slots=True)
class SimBlock:
    """A block with the state after it."""

    header: Block
    parent: SimBlock | None
    state: State
    txs: tuple[Mined, ...] = ()
    step: int = 0
    """In which of the chain's steps it was made: a reorganisation makes many in one."""

    @property
    def number(self) -> int:
        return self.header.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How unpleasant the chain is in this seed."""

    reorg: float = 0.0
    deep: bool = False
    drop: float = 0.0
    lost_in_reorg: float = 0.4
    full_blocks: float = 0.0
    rise: float = 0.3
    revive: float = 0.0
    """Chance that a reorganisation is somebody's who mines any bytes that he ever saw, whatever they pay."""


CALM = Weather()


def read_tx(raw: bytes) -> tuple[TxFields, str]:
    """Fields and hash of bytes made by the simulated signer. Raises Rejected as a node would."""
    try:
        fields = json.loads(raw)
        tx = TxFields(**{**fields, "data": bytes.fromhex(fields["data"])})
    except (ValueError, TypeError, KeyError):
        raise Rejected(-32000, "rlp: expected input list for types.DynamicFeeTx") from None
    return tx, "0x" + keccak(raw).hex()


def health_wad(held: Held, price_base: int) -> int:
    """The market's own health: value x threshold over debt, rounded down."""
    if held.debt == 0:
        return 2**256 - 1
    value = held.collateral * price_base // 10**WETH.decimals
    owed = -(-held.debt * 10**8 // 10**USDC.decimals)
    return value * _THRESHOLD_BPS * WAD // (owed * 10_000)


@dataclass(slots=True)
class SimChain:
    """Blocks, pool and market."""

    rng: random.Random
    prices: tuple[tuple[int, int], ...]
    """(first block, price in base units), in order."""
    genesis: State
    weather: Weather = CALM
    pool: dict[int, tuple[TxFields, str]] = field(default_factory=dict)
    blocks: list[SimBlock] = field(default_factory=list)
    places: dict[str, list[SimBlock]] = field(default_factory=dict)
    """Transaction hash -> every block, on any branch, that held it."""
    by_hash: dict[str, SimBlock] = field(default_factory=dict)
    reorgs: int = 0
    stall: range = range(0)
    """While the head is one of these blocks, the finalized block stands where it stood at the first."""
    seen: dict[int, dict[str, TxFields]] = field(default_factory=dict)
    """Nonce -> hash -> whatever was ever broadcast for it: bytes cannot be recalled."""
    revived: set[str] = field(default_factory=set)
    """Transactions mined out of ``seen`` when no pool held them any more."""
    steps: int = 0
    _made: int = 0
    _reviving: int = 0
    """So many more nonces are filled from ``seen`` in the running reorganisation."""

    def __post_init__(self) -> None:
        self._append(None, (), self.genesis, self.rng.choice((5, 10, 30)) * GWEI)

    @property
    def head(self) -> SimBlock:
        return self.blocks[-1]

    @property
    def finalized(self) -> int:
        head = self.head.number
        return max(FIRST, (self.stall.start if head in self.stall else head) - FINALITY)

    def price_base(self, number: int) -> int:
        """The oracle's price in block ``number``."""
        return [p for first, p in self.prices if first <= number][-1]

    def health_wad(self, account: str, at: SimBlock | None = None) -> int:
        """Health of an account after a block."""
        block = at or self.head
        return health_wad(block.state.accounts[account], self.price_base(block.number))

    def step(self) -> None:
        """Twelve seconds pass."""
        self.steps += 1
        w = self.weather
        if self.rng.random() < w.reorg:
            self.reorg(self.rng.choice((1, 1, 2, 3, 4, 5, 6, 7) if w.deep else (1, 1, 1, 2, 3)))
        self._mine()
        if self.pool and self.rng.random() < w.drop:
            del self.pool[self.rng.choice(sorted(self.pool))]

    def reorg(self, depth: int) -> None:
        """Replace the last ``depth`` blocks by as many others; their transactions may or may not return."""
        depth = min(depth, FINALITY - 1, len(self.blocks) - 2)
        if depth < 1:
            return
        lost = [m for b in self.blocks[-depth:] for m in b.txs]
        del self.blocks[-depth:]
        for mined in lost:
            if self.rng.random() >= self.weather.lost_in_reorg:
                self.pool.setdefault(mined.tx.nonce, (mined.tx, mined.hash))
        self.reorgs += 1
        if self.weather.revive and self.rng.random() < self.weather.revive:
            # one nonce: a proposer who had not heard of its replacement; all: somebody means harm
            self._reviving = self.rng.choice((1, 1_000))
        for _ in range(depth):
            self._mine()
        self._reviving = 0

    def submit(self, raw: bytes) -> str:
        """Into the pool by geth's rules. Raises Rejected in geth's words."""
        tx, hash = read_tx(raw)
        self.seen.setdefault(tx.nonce, {})[hash] = tx
        nonce = self.head.state.nonce
        if tx.nonce < nonce:
            raise Rejected(-32000, f"nonce too low: next nonce {nonce}, tx nonce {tx.nonce}")
        if tx.tip_wei > tx.max_fee_wei:
            raise Rejected(-32000, "max priority fee per gas higher than max fee per gas")
        old = self.pool.get(tx.nonce)
        if old is not None:
            if old[1] == hash:
                raise Rejected(-32000, "already known")
            for new_wei, old_wei in ((tx.max_fee_wei, old[0].max_fee_wei), (tx.tip_wei, old[0].tip_wei)):
                if new_wei <= old_wei or new_wei < old_wei * 110 // 100:
                    raise Rejected(-32000, "replacement transaction underpriced")
        if tx.gas_limit * tx.max_fee_wei + tx.value_wei > self.head.state.native_wei:
            raise Rejected(-32000, "insufficient funds for gas * price + value")
        self.pool[tx.nonce] = (tx, hash)
        return hash

    def branch(self, tip: SimBlock) -> Iterator[SimBlock]:
        """``tip`` and its ancestors, newest first."""
        block: SimBlock | None = tip
        while block is not None:
            yield block
            block = block.parent

    def on_branch(self, block: SimBlock, tip: SimBlock) -> bool:
        """Whether ``block`` is ``tip`` or an ancestor of it."""
        if tip.number - block.number > 2 * FINALITY:
            return self.blocks[block.number - FIRST] is block
        return any(
            b is block for b in itertools.takewhile(lambda b: b.number >= block.number, self.branch(tip))
        )

    def mined(self) -> Iterator[tuple[SimBlock, Mined]]:
        """Every transaction of the canonical chain."""
        for block in self.blocks:
            for found in block.txs:
                yield block, found

    def run(self, state: State, tx: TxFields, price_base: int) -> tuple[State, bool, int | None]:
        """(state after, whether it succeeded, health of the touched account before), fees not counted."""
        if tx.to.lower() == WALLET.lower():
            return state, True, None
        selector, words = tx.data[:4], [tx.data[i : i + 32] for i in range(4, len(tx.data), 32)]
        at = {REPAY: 3, SUPPLY: 2}.get(selector)
        if tx.to.lower() != POOL.lower() or at is None or len(words) != 4:
            return state, False, None
        account = next((a for a in state.accounts if a[2:].lower() == words[at][12:].hex()), None)
        units = int.from_bytes(words[1])
        if account is None:
            return state, False, None
        held = state.accounts[account]
        before = health_wad(held, price_base)
        if selector == REPAY:
            paid = min(units, held.debt)
            if paid == 0 or paid > state.usdc:
                return state, False, before
            accounts = {**state.accounts, account: Held(held.collateral, held.debt - paid)}
            return replace(state, accounts=accounts, usdc=state.usdc - paid), True, before
        if units > state.weth:
            return state, False, before
        accounts = {**state.accounts, account: Held(held.collateral + units, held.debt)}
        return replace(state, accounts=accounts, weth=state.weth - units), True, before

    def _mine(self) -> None:
        parent, rng = self.head, self.rng
        base = parent.header.base_fee_wei
        # the steepest that EIP-1559 allows, where this seed has a rush
        turn = 0.125 if self.weather.rise >= 1 else rng.uniform(0, 0.125)
        base = int(base * (1 + turn)) if rng.random() < self.weather.rise else int(base * (1 - turn))
        base = max(GWEI, min(base, BASE_FEE_MAX_WEI))
        state, txs, number = parent.state, [], parent.number + 1
        while (found := self._next(state.nonce, base)) is not None:
            tx, hash = found
            if (
                tx.max_fee_wei < base + min(tx.tip_wei, GWEI // 1000)
                or rng.random() < self.weather.full_blocks
            ):
                break
            if self.pool.pop(state.nonce, None) != found:
                self.revived.add(hash)
            after, ok, before = self.run(state, tx, self.price_base(number))
            price_wei = min(tx.max_fee_wei, base + tx.tip_wei)
            state = replace(
                after, nonce=state.nonce + 1, native_wei=state.native_wei - tx.gas_limit // 2 * price_wei
            )
            txs.append(Mined(tx=tx, hash=hash, ok=ok, health_before_wad=before, revived=hash in self.revived))
        for nonce in [n for n in self.pool if n < state.nonce]:
            del self.pool[nonce]
        self._append(parent, tuple(txs), state, base)

    def _next(self, nonce: int, base_wei: int) -> tuple[TxFields, str] | None:
        """What a builder takes for a nonce: the pool's, or whatever acts among all that was ever seen."""
        pooled = self.pool.get(nonce)
        if not self._reviving:
            return pooled
        olds = [
            (tx, h) for h, tx in self.seen.get(nonce, {}).items() if tx.data and tx.max_fee_wei > base_wei
        ]
        if not olds:
            return pooled
        self._reviving -= 1
        return self.rng.choice(olds)

    def _append(self, parent: SimBlock | None, txs: tuple[Mined, ...], state: State, base_wei: int) -> None:
        self._made += 1
        number = FIRST if parent is None else parent.number + 1
        header = Block(
            chain_id=CHAIN_ID,
            number=number,
            hash=f"0x{(self._made << 128) + number:064x}",
            parent_hash=f"0x{0:064x}" if parent is None else parent.header.hash,
            timestamp_s=int(START_S) + BLOCK_S * (number - FIRST),
            base_fee_wei=base_wei,
        )
        block = SimBlock(header=header, parent=parent, state=state, txs=txs, step=self.steps)
        self.blocks.append(block)
        self.by_hash[header.hash] = block
        for found in txs:
            self.places.setdefault(found.hash, []).append(block)
