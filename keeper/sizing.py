"""How much to move so that health reaches a target: exact integers, rounded against us.

Symbols: W = sum of collateral value x liquidation threshold, D = debt value, T = target health, lambda = the
liquidation threshold of the collateral moved, phi = share lost when selling. Values are integers in the
venue's base currency; W is kept unrounded in base x wad. "Against us" means: what is spent rounds up, its
effect rounds down, so that the health reached, computed exactly, is never below the target asked for.
"""

from __future__ import annotations

from keeper.model import Holding, Position, Refusal
from keeper.units import RAY, UINT256_MAX, WAD, YEAR_S, mul_div_down, mul_div_up

ROUNDING_UNITS = 4
"""Smallest units added to every size: a share burned or minted rounds down and so does the balance shown,
each by less than index units; four cover both while an index is below 2, and the venue's own ``after`` judges
the rest."""

CUSHION_S = 3600
"""Interest of this many seconds is sized on top of the target: longer than any plan's deadline, cheap (0.0006
% of the debt at 5 % a year), and it keeps the health promised true while the transaction waits."""

UNREAD_RATE_RAY = RAY
"""Borrow rate assumed where none was read: 100 % a year."""

UNWIND_STEPS_MAX = 1000
"""A stepwise unwind longer than this is no rescue."""


def weighted_base_wad(position: Position) -> int:
    """W: collateral value x liquidation threshold, exact, in base x wad."""
    return sum(h.value_base * h.threshold_wad for h in position.collateral)


def debt_base_up(position: Position) -> int:
    """D: debt value in base currency, each asset rounded up as lending protocols do."""
    return sum(h.value_base for h in position.debt)


def health_down(weighted: int, debt_base: int) -> int:
    """Health factor in wad, rounded down; 2**256-1 without debt. ``weighted`` in base x wad."""
    return weighted // debt_base if debt_base else UINT256_MAX


def value_base_up(units: int, price_base: int, decimals: int) -> int:
    """Value of token units in base currency, rounded up (what we owe or spend)."""
    return mul_div_up(units, price_base, 10**decimals)


def value_base_down(units: int, price_base: int, decimals: int) -> int:
    """Value of token units in base currency, rounded down (what counts for us)."""
    return mul_div_down(units, price_base, 10**decimals)


def units_up(value_base: int, price_base: int, decimals: int) -> int:
    """Fewest token units worth at least ``value_base``. ValueError without a price."""
    _priced(price_base)
    return mul_div_up(value_base, 10**decimals, price_base)


def units_down(value_base: int, price_base: int, decimals: int) -> int:
    """Most token units worth at most ``value_base``. ValueError without a price."""
    _priced(price_base)
    return mul_div_down(value_base, 10**decimals, price_base)


def aim_up(target_wad: int, borrow_rate_ray: int) -> int:
    """The health to size for: ``target`` x (1 + rate x CUSHION_S / year), rounded up.

    W / (D (1 + x)) >= T exactly when W / D >= T (1 + x); linear interest understates compounding over an hour
    by less than one part in 1e7 even at 100 % a year.
    """
    return mul_div_up(target_wad, YEAR_S * RAY + borrow_rate_ray * CUSHION_S, YEAR_S * RAY)


def owed_up(units: int, borrow_rate_ray: int) -> int:
    """Token units that close a debt of ``units`` even after CUSHION_S of interest; a protocol takes only what
    is owed.
    """
    return mul_div_up(units, YEAR_S * RAY + borrow_rate_ray * CUSHION_S, YEAR_S * RAY) + ROUNDING_UNITS


def repay_base_up(weighted: int, debt_base: int, target_wad: int) -> int:
    """R = D - W/T in base currency, rounded up; 0 when the target holds already.

    Source: health factor W / (D - R) >= T solved for R (Aave health factor definition).
    """
    return max(0, debt_base - weighted // target_wad)


def topup_base_up(weighted: int, debt_base: int, target_wad: int, threshold_wad: int) -> int:
    """(T D - W) / lambda in base currency, rounded up; 0 when the target holds already.

    Source: (W + lambda X) / D >= T solved for X, as in Maker's cdp-keeper. ValueError when lambda is 0.
    """
    if threshold_wad <= 0:
        raise ValueError(f"threshold_wad={threshold_wad}: this collateral does not count")
    return max(0, -(-(target_wad * debt_base - weighted) // threshold_wad))


def repay_units_up(position: Position, holding: Holding, target_wad: int) -> int:
    """Token units of one debt to repay so that health reaches ``target_wad``, value rounding included.

    The debt left must be worth, rounded up by the protocol, at most W/T less the other debts. When even the
    whole of this debt is not enough, the whole of it is returned (never more than the debt).
    """
    others = debt_base_up(position) - holding.value_base
    room = weighted_base_wad(position) // target_wad - others
    if room < 0:
        return holding.amount.units
    left = units_down(room, holding.price_base, holding.amount.token.decimals)
    need = holding.amount.units - left
    return min(holding.amount.units, need + ROUNDING_UNITS) if need > 0 else 0


def topup_units_up(position: Position, holding: Holding, target_wad: int) -> int:
    """Token units of one collateral to add so that health reaches ``target_wad``, value rounding included."""
    others = weighted_base_wad(position) - holding.value_base * holding.threshold_wad
    total = topup_base_up(others, debt_base_up(position), target_wad, holding.threshold_wad)
    need = units_up(total, holding.price_base, holding.amount.token.decimals) - holding.amount.units
    return need + ROUNDING_UNITS if need > 0 else 0


def sell_base_up(
    weighted: int, debt_base: int, target_wad: int, threshold_wad: int, costs: tuple[int, int]
) -> int | Refusal:
    """X = (T (D + g) - W) / (T (1 - phi) - lambda): collateral to sell, base currency, rounded up.

    ``costs`` = (phi in wad, g in base currency). What is repaid is floor(X (1 - phi)) - g; one base unit is
    added to g against that floor. Refused as ``infeasible`` when T (1 - phi) <= lambda, and as
    ``selling_harms`` when health <= lambda / (1 - phi), where every sale lowers health. Source: (W - lambda
    X) / (D + g - X (1 - phi)) >= T.
    """
    loss_wad, fixed_base = costs
    keep_wad = WAD - loss_wad
    need = target_wad * (debt_base + fixed_base + 1) - weighted
    if target_wad * debt_base <= weighted:
        return 0
    per_unit = target_wad * keep_wad - threshold_wad * WAD
    if per_unit <= 0:
        return Refusal(
            who="sizing", code="infeasible", why="a sale costs more health than it brings at this target"
        )
    if weighted * keep_wad <= threshold_wad * WAD * (debt_base + fixed_base + 1):
        return Refusal(
            who="sizing", code="selling_harms", why="health is below lambda/(1-phi): selling lowers it"
        )
    return mul_div_up(need, WAD, per_unit)


def unwind_steps(
    weighted: int, debt_base: int, repay_base: int, floor_wad: int, terms: tuple[int, int]
) -> int | Refusal:
    """Transactions to repay ``repay_base`` by selling one collateral without a flash loan, health kept >=
    ``floor_wad``.

    ``terms`` = (threshold in wad, phi in wad). Counted step by step, each rounded down, which the closed form
    n = ceil(ln(1 + R (q-1) / ((1-phi) X1)) / ln q), q = h (1-phi) / lambda, X1 = (W - h D) / lambda
    gives in reals.
    Refused as ``infeasible`` when nothing can be withdrawn or the steps shrink away.
    """
    threshold_wad, loss_wad = terms
    repaid = 0
    for n in range(UNWIND_STEPS_MAX + 1):
        if repaid >= repay_base:
            return n
        free = (weighted - floor_wad * (debt_base - repaid)) // threshold_wad
        back = mul_div_down(free, WAD - loss_wad, WAD) if free > 0 else 0
        if back <= 0:
            break
        repaid += back
        weighted -= free * threshold_wad
    return Refusal(who="sizing", code="infeasible", why="no bounded number of steps unwinds this position")


def _priced(price_base: int) -> None:
    if price_base <= 0:
        raise ValueError(f"price_base={price_base}: no price, no size")
