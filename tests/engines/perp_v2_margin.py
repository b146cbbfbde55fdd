"""Perpetual Protocol v2's margins to the last digit, from balances and prices; written from its published formulas.

Inputs are the engine's own views of what is owed for funding (``getPendingFundingPayment``) and of the market's and
the index' averages; what is recomputed here is the mark, the account's value, the requirement and the verdict.

Dollars, sizes and prices have 18 decimals, ratios 6; the vault's token has 6 decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

E18 = 10**18
RATIO = 10**6
TOKEN = 10**12
"""From the vault's token to 18 decimals."""
DUST = 10
"""A size below this counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a mark price is made of: the market's averages over 15 s and 30 min, and over 15 min its premium."""

    short: int
    long: int
    premium: int
    index: int

    @property
    def price(self) -> int:
        """The median of the two averages and the index with the premium on it."""
        return sorted((self.short, self.long, self.index + self.premium))[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One market's part of an account: base held (short: negative), quote held, funding it owes."""

    market: str
    size: int
    notional: int
    funding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A taker's account: the vault's token, profit realised and not yet paid, positions that share both."""

    balance: int
    """The vault's token, 6 decimals."""
    realised: int
    taken: tuple[Taken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What the engine's views answer: the value rounded to the vault's token, in 18 decimals."""

    value: int
    maintenance: int
    absolute: int
    free_initial: int
    free_maintenance: int
    """Free collateral at the initial and at the maintenance ratio, 6 decimals."""

    @property
    def liquidatable(self) -> bool:
        """The engine's verdict."""
        return self.value < self.maintenance


def worth(size: int, price: int) -> int:
    """Of a signed size, towards zero."""
    return (abs(size) * price // E18) * (1 if size > 0 else -1)


def margins(account: Account, prices: Mapping[str, int], initial: int, maintenance: int) -> Margins:
    """The account's margins at mark prices by market, with the two ratios."""
    settled = account.balance * TOKEN + account.realised - sum(t.funding for t in account.taken)
    values = [worth(t.size, prices[t.market]) if abs(t.size) >= DUST else 0 for t in account.taken]
    unrealised = sum(values) + sum(t.notional for t in account.taken)
    value = settled + unrealised
    absolute = sum(abs(v) for v in values)
    quote = sum(t.notional for t in account.taken)
    owed = -(min(quote, 0) + sum(worth(t.size, prices[t.market]) for t in account.taken if t.size < 0))
    lesser = min(settled, value)
    return Margins(
        # downwards, negative values too
        value=value // TOKEN * TOKEN,
        maintenance=absolute * maintenance // RATIO,
        absolute=absolute,
        free_initial=(lesser - owed * initial // RATIO) // TOKEN,
        free_maintenance=(lesser - owed * maintenance // RATIO) // TOKEN,
    )
