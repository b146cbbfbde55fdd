"""What one batch asks of GMX's store about a market, and the words back to its parameters and accumulators. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.model import Block, Call
from keeper.venues.gmx_v2.book import GET_BOOL, GET_INT, GET_UINT, Slot, ask, key, name
from keeper.venues.gmx_v2.layout import (
    Borrowing,
    Curve,
    Funding,
    Interest,
    Kink,
    Market,
    Pair,
    Prices,
    Sides,
)
from keeper.words import Words

_GLOBALS = (
    "MIN_COLLATERAL_USD",
    "MIN_POSITION_SIZE_USD",
    "REQUEST_EXPIRATION_TIME",
    "ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1",
    "ESTIMATED_GAS_FEE_PER_ORACLE_PRICE",
    "ESTIMATED_GAS_FEE_MULTIPLIER_FACTOR",
    "INCREASE_ORDER_GAS_LIMIT",
    "DECREASE_ORDER_GAS_LIMIT",
)
_MINIMUM = "MIN_COLLATERAL_FACTOR_FOR_LIQUIDATION"
_OF_MARKET = (
    "MIN_COLLATERAL_FACTOR",
    _MINIMUM,
    "MAX_POSITION_IMPACT_FACTOR_FOR_LIQUIDATIONS",
    "FUNDING_FACTOR",
    "FUNDING_EXPONENT_FACTOR",
    "FUNDING_INCREASE_FACTOR_PER_SECOND",
    "FUNDING_DECREASE_FACTOR_PER_SECOND",
    "MIN_FUNDING_FACTOR_PER_SECOND",
    "MAX_FUNDING_FACTOR_PER_SECOND",
    "THRESHOLD_FOR_STABLE_FUNDING",
    "THRESHOLD_FOR_DECREASE_FUNDING",
    "FUNDING_UPDATED_AT",
)
_OF_SIDE = (
    "POSITION_IMPACT_FACTOR",
    "POSITION_IMPACT_EXPONENT_FACTOR",
    "MAX_POSITION_IMPACT_FACTOR",
    "POSITION_FEE_FACTOR",
    "CUMULATIVE_BORROWING_FACTOR",
    "CUMULATIVE_BORROWING_FACTOR_UPDATED_AT",
    "OPTIMAL_USAGE_FACTOR",
    "BASE_BORROWING_FACTOR",
    "ABOVE_OPTIMAL_USAGE_BORROWING_FACTOR",
    "BORROWING_FACTOR",
    "BORROWING_EXPONENT_FACTOR",
    "OPEN_INTEREST_RESERVE_FACTOR",
)
"""By side, or by whether balance improves."""
_BY_COLLATERAL = ("OPEN_INTEREST", "OPEN_INTEREST_IN_TOKENS", "FUNDING_FEE_AMOUNT_PER_SIZE")
_BOTH = (True, False)
DISABLED = "IS_MARKET_DISABLED"
GET_BYTES32 = bytes.fromhex("a6ed563e")
"""getBytes32(bytes32)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Of a market and of all: what is not the market's state."""

    size_least_usd: int
    order_expires_s: int
    gas_base: int
    gas_price: int
    """A price that the venue's keeper brings."""
    gas_factor: int
    increase_gas: int
    decrease_gas: int
    disabled: bool
    inventory: bool
    """Balance is judged over several markets, too: what impact is, only the chain knows."""


def _asked(slot: Slot) -> tuple[tuple[bytes, bytes], ...]:
    """(function, key) of every number, in the order of ``Found``."""
    m, tokens = slot.market, (slot.long_token.address, slot.short_token.address)
    uints = [name(n) for n in _GLOBALS]
    uints += [key(n, m) for n in _OF_MARKET]
    uints += [key(n, m, side) for n in _OF_SIDE for side in _BOTH]
    uints += [key("MAX_PNL_FACTOR", "MAX_PNL_FACTOR_FOR_TRADERS", m, side) for side in _BOTH]
    uints += [key("MAX_PNL_FACTOR", "MAX_PNL_FACTOR_FOR_ADL", m, side) for side in _BOTH]
    uints += [key("POOL_AMOUNT", m, token) for token in tokens]
    uints += [key(n, m, token, side) for n in _BY_COLLATERAL for side in _BOTH for token in tokens]
    bools = (
        name("USE_OPEN_INTEREST_IN_TOKENS_FOR_BALANCE"),
        name("SKIP_BORROWING_FEE_FOR_SMALLER_SIDE"),
        key(DISABLED, m),
    )
    return (
        *((GET_UINT, k) for k in uints),
        (GET_INT, key("SAVED_FUNDING_FACTOR_PER_SECOND", m)),
        *((GET_BOOL, k) for k in bools),
        # bytes32, read by its word alone
        (GET_BYTES32, key("VIRTUAL_TOKEN_ID", slot.index.address)),
    )


def calls(slot: Slot) -> tuple[Call, ...]:
    """The market's part of the batch."""
    return tuple(ask(slot.store, function, k) for function, k in _asked(slot))


def size(slot: Slot) -> int:
    """How many calls that are."""
    return len(_asked(slot))


def market(slot: Slot, words: Words, prices: Prices, block: Block) -> tuple[Market, Rules] | str:
    """The market as stored, its clocks at the block's timestamp; or which number could not be read."""
    failed = [i for i in range(size(slot)) if not words.ok[i] or not words.count[i]]
    if failed:
        return f"{len(failed)} numbers of market {slot.market} could not be read from {slot.store}"
    found = _found(words)
    if block.timestamp_s < max(found.clock("FUNDING_UPDATED_AT"), *found.sides(_OF_SIDE[5])):
        return "the market was brought up to date after the block's timestamp"
    if not found.one[_MINIMUM]:
        # nothing is healthy by a minimum of nothing: that is a key of another name, or a market of no rule
        return f"market {slot.market} names no {_MINIMUM} in {slot.store}"
    return _market(found, prices, (block.timestamp_s, 0 if slot.long else 1)), _rules(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The numbers by name."""

    one: Mapping[str, int]
    of_side: Mapping[str, tuple[int, int]]
    by_collateral: Mapping[str, tuple[Pair, Pair]]
    rest: Sequence[int]

    def clock(self, what: str) -> int:
        return self.one[what]

    def sides(self, what: str) -> tuple[int, int]:
        return self.of_side[what]

    def pair(self, what: str) -> Sides:
        return Sides(long=self.of_side[what][0], short=self.of_side[what][1])


def _found(words: Words) -> _Found:
    each = iter(range(len(words)))
    one = {n: words.uint(next(each)) for n in (*_GLOBALS, *_OF_MARKET)}
    of_side = {n: (words.uint(next(each)), words.uint(next(each))) for n in _OF_SIDE}
    of_side["MAX_PNL_FACTOR"] = (words.uint(next(each)), words.uint(next(each)))
    of_side["MAX_PNL_FACTOR_FOR_ADL"] = (words.uint(next(each)), words.uint(next(each)))
    of_side["POOL_AMOUNT"] = (words.uint(next(each)), words.uint(next(each)))
    by_collateral = {}
    for n in _BY_COLLATERAL:
        four = [words.uint(next(each)) for _ in range(4)]
        by_collateral[n] = (Pair(long=four[0], short=four[1]), Pair(long=four[2], short=four[3]))
    return _Found(
        one=one, of_side=of_side, by_collateral=by_collateral, rest=[words.uint(next(each)) for _ in range(5)]
    )


def _market(f: _Found, prices: Prices, at: tuple[int, int]) -> Market:
    """``at``: now, and the side whose clock of borrowing counts."""
    now_s, side = at
    usd, tokens, funded = (f.by_collateral[n] for n in _BY_COLLATERAL)
    saved = f.rest[0] - 2**256 if f.rest[0] >= 2**255 else f.rest[0]
    borrowed_s = f.of_side["CUMULATIVE_BORROWING_FACTOR_UPDATED_AT"][side]
    positive, negative = f.of_side["POSITION_IMPACT_FACTOR"]
    exponents, most = f.of_side["POSITION_IMPACT_EXPONENT_FACTOR"], f.of_side["MAX_POSITION_IMPACT_FACTOR"]
    return Market(
        prices=prices,
        long=Interest(usd=usd[0], tokens=tokens[0]),
        short=Interest(usd=usd[1], tokens=tokens[1]),
        pool=f.pair("POOL_AMOUNT"),
        pnl_most=f.pair("MAX_PNL_FACTOR"),
        curve=Curve(
            positive=positive,
            negative=negative,
            exponent_positive=exponents[0],
            exponent_negative=exponents[1],
            most_positive=most[0],
            most_negative=most[1],
            most_at_liquidation=f.one["MAX_POSITION_IMPACT_FACTOR_FOR_LIQUIDATIONS"],
        ),
        fee=f.pair("POSITION_FEE_FACTOR"),
        borrowing=(_borrowing(f, 0), _borrowing(f, 1)),
        borrowed=f.pair("CUMULATIVE_BORROWING_FACTOR"),
        funded=funded,
        funding=Funding(
            factor=f.one["FUNDING_FACTOR"],
            exponent=f.one["FUNDING_EXPONENT_FACTOR"],
            increase=f.one["FUNDING_INCREASE_FACTOR_PER_SECOND"],
            decrease=f.one["FUNDING_DECREASE_FACTOR_PER_SECOND"],
            least=f.one["MIN_FUNDING_FACTOR_PER_SECOND"],
            most=f.one["MAX_FUNDING_FACTOR_PER_SECOND"],
            stable=f.one["THRESHOLD_FOR_STABLE_FUNDING"],
            decaying=f.one["THRESHOLD_FOR_DECREASE_FUNDING"],
            saved=saved,
        ),
        borrow_s=now_s - borrowed_s if borrowed_s else 0,
        fund_s=now_s - f.one["FUNDING_UPDATED_AT"] if f.one["FUNDING_UPDATED_AT"] else 0,
        minimum=f.one["MIN_COLLATERAL_FACTOR"],
        minimum_at_liquidation=f.one[_MINIMUM],
        minimum_usd=f.one["MIN_COLLATERAL_USD"],
        in_tokens=bool(f.rest[1]),
        smaller_side_free=bool(f.rest[2]),
        pnl_adl=f.pair("MAX_PNL_FACTOR_FOR_ADL"),
    )


def _borrowing(f: _Found, side: int) -> Borrowing:
    return Borrowing(
        kink=Kink(
            optimal=f.of_side["OPTIMAL_USAGE_FACTOR"][side],
            base=f.of_side["BASE_BORROWING_FACTOR"][side],
            above=f.of_side["ABOVE_OPTIMAL_USAGE_BORROWING_FACTOR"][side],
        ),
        factor=f.of_side["BORROWING_FACTOR"][side],
        exponent=f.of_side["BORROWING_EXPONENT_FACTOR"][side],
        reserve=f.of_side["OPEN_INTEREST_RESERVE_FACTOR"][side],
    )


def _rules(f: _Found) -> Rules:
    return Rules(
        size_least_usd=f.one["MIN_POSITION_SIZE_USD"],
        order_expires_s=f.one["REQUEST_EXPIRATION_TIME"],
        gas_base=f.one["ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1"],
        gas_price=f.one["ESTIMATED_GAS_FEE_PER_ORACLE_PRICE"],
        gas_factor=f.one["ESTIMATED_GAS_FEE_MULTIPLIER_FACTOR"],
        increase_gas=f.one["INCREASE_ORDER_GAS_LIMIT"],
        decrease_gas=f.one["DECREASE_ORDER_GAS_LIMIT"],
        disabled=bool(f.rest[3]),
        inventory=bool(f.rest[4]),
    )
