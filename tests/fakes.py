"""A lending market that exists only here: the Venue seam with plain affine maths. A double, no protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.executor import abi
from keeper.model import (
    Amount,
    Block,
    Call,
    Deleverage,
    Holding,
    Intent,
    Means,
    Position,
    PositionId,
    Refusal,
    Repay,
    Snapshot,
    Step,
    Supply,
    Token,
    Unreadable,
)
from keeper.seams import Effect, LiquidationRule, LogFilter, Progress, Reading, Seen, Shadow
from keeper.sizing import value_base_down, value_base_up
from keeper.units import WAD
from keeper.words import Words
from tests import build

SUPPLY = keccak(text="supply(address,uint256,address,uint16)")[:4]
REPAY = keccak(text="repay(address,uint256,uint256,address)")[:4]
DUST_BASE = 1000 * 10**build.BASE_DECIMALS


class LendingDouble:
    """Collateral x threshold over debt, no interest, no indices. Reading is one call an account:
    units supplied, units borrowed and price of each token."""

    kind = build.KIND

    def __init__(self, *, tokens: tuple[Token, ...] = build.TOKENS, gas_limit: int = 300_000) -> None:
        self.tokens = tokens
        self.gas_limit = gas_limit
        self.refuses: dict[str, str] = {}
        """Token symbol -> code with which every step on it is refused."""
        self.read_cut_wad = 0
        """Health that this market shows below value x threshold / debt (a coarser protocol)."""

    @property
    def id(self) -> str:
        return build.VENUE

    @property
    def spender(self) -> str:
        return build.POOL

    @property
    def rules(self) -> LiquidationRule:
        return LiquidationRule(close_factor="half, and all of it below 0.95 (a double)", dust_base=DUST_BASE)

    def position_id(self, account: str) -> PositionId:
        return build.position_id(account)

    def calls(self, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
        data = keccak(text="read(address)")[:4]
        return tuple(Call(target=self.spender, data=data + encode(["address"], [a])) for a in accounts)

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        parts = [self._read(block, account, words, i) for i, account in enumerate(accounts)]
        return Reading(
            positions=tuple(p for p in parts if isinstance(p, Position)),
            unreadable=tuple(p for p in parts if isinstance(p, Unreadable)),
            reserves=tuple(build.reserve(t) for t in self.tokens),
            prices={s: float(p) for s, p in build.PRICES.items()},
            seen=seen,
            again=False,
        )

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        token = step.amount.token
        if step.amount.units <= 0:
            return Refusal(who=self.id, code="no_amount", why="nothing to move")
        if token.symbol in self.refuses:
            code = self.refuses[token.symbol]
            return Refusal(who=self.id, code=code, why=f"{token.symbol} is {code} here")
        return None

    def encode(self, step: Step, position: Position) -> Call:
        if isinstance(step, Deleverage):
            return abi.deleverage(step)
        if (wanted := abi.pay_in_of(step)) is not None:
            return abi.pay_in(wanted)
        token, units, account = step.amount.token.address, step.amount.units, position.id.account
        if isinstance(step, Supply):
            data = SUPPLY + encode(["address", "uint256", "address", "uint16"], [token, units, account, 0])
        else:
            data = REPAY + encode(["address", "uint256", "uint256", "address"], [token, units, 2, account])
        return Call(target=self.spender, data=data)

    def gas(self, step: Step) -> int:
        return self.gas_limit

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        supplied, borrowed = list(position.collateral), list(position.debt)
        for step in steps:
            if isinstance(step, Repay):
                borrowed = [_moved(h, step.amount, -1) for h in borrowed]
            elif isinstance(step, Deleverage):
                borrowed = [_moved(h, step.repay, -1) for h in borrowed]
                supplied = [_moved(h, step.sell_max, -1) for h in supplied]
            else:
                supplied = [_moved(h, step.amount, +1) for h in supplied]
        borrowed = [h for h in borrowed if h.amount.units]
        found = build.position(supplied, borrowed, account=position.id.account, at=position.block_number)
        return self.shown(found)

    def shown(self, position: Position) -> Position:
        """The position with the health as this market shows it."""
        if not self.read_cut_wad or not position.debt:
            return position
        return replace(position, health_wad=(position.health_wad or 0) - self.read_cut_wad)

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        supplied, borrowed = dict(shadow.collateral), dict(shadow.debt)
        for step in steps:
            side, sign = (borrowed, -1) if isinstance(step, Repay) else (supplied, +1)
            address = step.amount.token.address
            side[address] = max(0, side.get(address, 0) + sign * step.amount.units)
        return replace(shadow, collateral=supplied, debt=borrowed)

    def effect(self, intent: Intent, snapshot: Snapshot) -> Effect:
        position = snapshot.position(intent.key.position)
        health = position.health_wad if position is not None else None
        if health is None or health < intent.plan.bounds.health_after_min_wad:
            return Effect(progress=Progress.PENDING, why="health is not yet what was promised")
        return Effect(progress=Progress.DONE, why="health is what was promised")

    def liquidation_logs(self, account: str) -> LogFilter:
        return LogFilter(target=self.spender, topics=("0x" + keccak(text="Liquidated(address)").hex(),))

    def _read(self, block: Block, account: str, words: Words, i: int) -> Position | Unreadable:
        if not words.ok[i]:
            return Unreadable(
                id=self.position_id(account), why="the double reverted", since_block=block.number
            )
        supplied, borrowed = [], []
        for k, token in enumerate(self.tokens):
            have, owed, price_base = (words.uint(i, 3 * k + j) for j in range(3))
            price = str(price_base / 10**build.BASE_DECIMALS)
            if have:
                supplied.append(_moved(build.collateral(token, "0", price=price), _of(token, have), +1))
            if owed:
                borrowed.append(_moved(build.debt(token, "0", price=price), _of(token, owed), +1))
        return self.shown(build.position(supplied, borrowed, account=account, at=block.number))


def _of(token: Token, units: int) -> Amount:
    return Amount(token=token, units=units)


def _moved(held: Holding, moved: Amount, sign: int) -> Holding:
    """The holding after ``moved`` came (+1) or went (-1); another token's holding is unchanged."""
    if held.amount.token != moved.token:
        return held
    units = max(0, held.amount.units + sign * moved.units)
    debt = held.threshold_wad == WAD
    value = value_base_up if debt else value_base_down
    return replace(
        held,
        amount=_of(moved.token, units),
        stored=units,
        value_base=value(units, held.price_base, moved.token.decimals),
    )
