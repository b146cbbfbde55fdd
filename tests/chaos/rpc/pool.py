"""Geth's transaction pool, by its rules: what it takes, what it refuses and what it throws out. Pure.

anvil takes a replacement for one wei more and knows no slots, so a test against it alone proves nothing about
raised fees. Rules and their order follow go-ethereum's ``core/txpool`` (validation.go, legacypool.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import rlp
from eth_account import Account as Recover
from eth_utils.crypto import keccak


class Why(StrEnum):
    """Why a pool does not take a transaction."""

    KNOWN = "already known"
    OVERSIZED = "oversized"
    BLOCK_GAS = "gas above the block's"
    GAS_CAP = "gas above EIP-7825's cap"
    TIP_ABOVE_FEE = "tip above the fee"
    INTRINSIC = "intrinsic gas"
    TIP_LOW = "tip below the pool's least"
    BASE_FEE = "fee below the base fee"
    NONCE_LOW = "nonce too low"
    FUNDS = "funds"
    FULL = "pool full, and not dearer"
    FUTURE = "a gapped one must not push a pending one out"
    REPLACEMENT = "replacement underpriced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refusal with the numbers that clients print."""

    why: Why
    have: int = 0
    want: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tx:
    """A signed transaction as a pool sees it."""

    raw: bytes
    hash: str
    sender: str
    nonce: int
    gas_limit: int
    max_fee_wei: int
    tip_wei: int
    value_wei: int
    data: bytes

    @property
    def cost_wei(self) -> int:
        """The most that it can take from its sender."""
        return self.gas_limit * self.max_fee_wei + self.value_wei


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the newest block says of a sender and of itself."""

    nonce: int
    balance_wei: int
    gas_limit: int = 60_000_000
    base_fee_wei: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Geth's defaults; a test may make a pool smaller."""

    bump_pc: int = 10
    tip_wei_min: int = 1
    account_slots: int = 16
    account_queue: int = 64
    global_slots: int = 5_120
    global_queue: int = 1_024
    bytes_max: int = 128 * 1024
    gas_max: int = 2**24
    below_base_fee: bool = True
    """Geth keeps what cannot be mined at today's base fee; some providers refuse it at the door."""


@dataclass(slots=True, kw_only=True)
class Pool:
    """One pool. ``add`` and ``settle`` are all that change it."""

    rules: Rules = field(default_factory=Rules)
    _held: dict[str, dict[int, Tx]] = field(default_factory=dict)
    """Sender -> nonce -> transaction."""
    _nonces: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(of) for of in self._held.values())

    def add(self, tx: Tx, state: State) -> Refused | None:
        """Take ``tx``, or say why not. What it pushes out goes without a word, as in geth."""
        self._nonces[tx.sender] = state.nonce
        refused = self._stateless(tx, state) or self._affordable(tx, state) or self._replaces(tx)
        refused = refused or self._room(tx)
        if refused is not None:
            return refused
        self._held.setdefault(tx.sender, {})[tx.nonce] = tx
        self._trim(tx.sender)
        return None

    def settle(self, nonces: Mapping[str, int]) -> None:
        """A block came: forget what is mined or can never be."""
        for sender, nonce in nonces.items():
            self._nonces[sender] = nonce
            kept = {n: t for n, t in self._held.get(sender, {}).items() if n >= nonce}
            self._held[sender] = kept

    def drop(self, tx_hash: str) -> None:
        """Forget one: eviction by somebody else's dearer transactions."""
        for of in self._held.values():
            for nonce in [n for n, t in of.items() if t.hash == tx_hash]:
                del of[nonce]

    @property
    def senders(self) -> tuple[str, ...]:
        """Who has anything here."""
        return tuple(s for s, of in self._held.items() if of)

    def pending(self, sender: str) -> list[Tx]:
        """What could be mined now: an unbroken run of nonces from the account's own."""
        of, nonce, run = self._held.get(sender, {}), self._nonces.get(sender, 0), []
        while nonce in of:
            run.append(of[nonce])
            nonce += 1
        return run

    def queued(self, sender: str) -> list[Tx]:
        """What waits behind a gap."""
        run = {t.hash for t in self.pending(sender)}
        return [t for _, t in sorted(self._held.get(sender, {}).items()) if t.hash not in run]

    def _stateless(self, tx: Tx, state: State) -> Refused | None:
        rules, intrinsic = self.rules, intrinsic_gas(tx.data)
        if any(t.hash == tx.hash for t in self._held.get(tx.sender, {}).values()):
            return Refused(why=Why.KNOWN)
        if len(tx.raw) > rules.bytes_max:
            return Refused(why=Why.OVERSIZED, have=len(tx.raw), want=rules.bytes_max)
        if tx.gas_limit > state.gas_limit:
            return Refused(why=Why.BLOCK_GAS, have=tx.gas_limit, want=state.gas_limit)
        if tx.gas_limit > rules.gas_max:
            return Refused(why=Why.GAS_CAP, have=tx.gas_limit, want=rules.gas_max)
        if tx.tip_wei > tx.max_fee_wei:
            return Refused(why=Why.TIP_ABOVE_FEE, have=tx.tip_wei, want=tx.max_fee_wei)
        if tx.gas_limit < intrinsic:
            return Refused(why=Why.INTRINSIC, have=tx.gas_limit, want=intrinsic)
        if tx.tip_wei < rules.tip_wei_min:
            return Refused(why=Why.TIP_LOW, have=tx.tip_wei, want=rules.tip_wei_min)
        if not rules.below_base_fee and tx.max_fee_wei < state.base_fee_wei:
            return Refused(why=Why.BASE_FEE, have=tx.max_fee_wei, want=state.base_fee_wei)
        return None

    def _affordable(self, tx: Tx, state: State) -> Refused | None:
        if tx.nonce < state.nonce:
            return Refused(why=Why.NONCE_LOW, have=tx.nonce, want=state.nonce)
        others = sum(t.cost_wei for n, t in self._held.get(tx.sender, {}).items() if n != tx.nonce)
        if tx.cost_wei + others > state.balance_wei:
            return Refused(why=Why.FUNDS, have=state.balance_wei, want=tx.cost_wei + others)
        return None

    def _replaces(self, tx: Tx) -> Refused | None:
        old = self._held.get(tx.sender, {}).get(tx.nonce)
        if old is None:
            return None
        # above on both fields, and by so many per cent, floored as geth's integers are
        share = 100 + self.rules.bump_pc
        dearer = tx.max_fee_wei > old.max_fee_wei and tx.tip_wei > old.tip_wei
        enough = tx.max_fee_wei >= old.max_fee_wei * share // 100 and tx.tip_wei >= old.tip_wei * share // 100
        return None if dearer and enough else Refused(why=Why.REPLACEMENT, have=tx.max_fee_wei)

    def _room(self, tx: Tx) -> Refused | None:
        """A full pool throws its cheapest out, when the new one is dearer and does not wait behind a gap."""
        if tx.nonce in self._held.get(tx.sender, {}):
            return None
        if len(self) < self.rules.global_slots + self.rules.global_queue:
            return None
        cheapest = min((t for of in self._held.values() for t in of.values()), key=lambda t: t.tip_wei)
        if tx.tip_wei <= cheapest.tip_wei:
            return Refused(why=Why.FULL, have=tx.tip_wei, want=cheapest.tip_wei)
        run = self.pending(tx.sender)
        gapped = tx.nonce > (run[-1].nonce + 1 if run else self._nonces[tx.sender])
        if gapped and cheapest in self.pending(cheapest.sender):
            return Refused(why=Why.FUTURE)
        del self._held[cheapest.sender][cheapest.nonce]
        return None

    def _trim(self, sender: str) -> None:
        """Behind a gap 64 an account; and when all slots are taken, 16 an account are safe."""
        for late in self.queued(sender)[self.rules.account_queue :]:
            del self._held[sender][late.nonce]
        over = sum(len(self.pending(s)) for s in self.senders) - self.rules.global_slots
        for greedy in sorted(self.senders, key=lambda s: -len(self.pending(s))):
            run = self.pending(greedy)
            cut = min(max(0, over), max(0, len(run) - self.rules.account_slots))
            for late in run[len(run) - cut :]:
                del self._held[greedy][late.nonce]
            over -= cut


def intrinsic_gas(data: bytes) -> int:
    """21,000 and the calldata's own; EIP-7623's floor where that is more."""
    tokens = sum(1 if b == 0 else 4 for b in data)
    return 21_000 + max(4 * tokens, 10 * tokens)


def read_tx(raw: bytes) -> Tx:
    """The fields of a signed transaction of type 2, or of the old type. Raises ValueError on anything else."""
    if raw[:1] == b"\x02":
        fields = _list(raw[1:], 12)
        nonce, tip, fee, gas, _, value, data = fields[1:8]
    elif raw[:1] >= b"\xc0":
        fields = _list(raw, 9)
        nonce, fee, gas, _, value, data = fields[:6]
        tip = fee
    else:
        raise ValueError("transaction type not supported")
    return Tx(
        raw=raw,
        hash="0x" + keccak(raw).hex(),
        sender=str(Recover.recover_transaction(raw)).lower(),
        nonce=int.from_bytes(nonce),
        gas_limit=int.from_bytes(gas),
        max_fee_wei=int.from_bytes(fee),
        tip_wei=int.from_bytes(tip),
        value_wei=int.from_bytes(value),
        data=data,
    )


def _list(raw: bytes, many: int) -> Sequence[bytes]:
    try:
        fields = rlp.decode(raw)
    except rlp.exceptions.DecodingError as e:
        raise ValueError("rlp: cannot be decoded") from e
    if not isinstance(fields, (list, tuple)) or len(fields) != many:
        raise ValueError("rlp: wrong number of fields")
    return fields
