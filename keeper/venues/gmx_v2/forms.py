"""A perpetual position as two affine forms, whose ratio is near to price over liquidation price. Pure.

Long: what tokens and margin are worth, over the dollars that they must cover; short: the dollars and margin that it
holds, over what its tokens cost. So health 1.05 means that the index may move by about 5 % against the position, and
it is below 1 exactly where the venue may liquidate. Size, need and fees stand in dollars and are constants.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Amount, BookRow, Holding, Perp, Token
from keeper.units import UINT256_MAX, WAD
from keeper.venues.gmx_v2.layout import USD

USD_DECIMALS = 30
CAPPED = "perp_profit_capped"
"""Flag: the pool does not pay all of the profit; further profit counts for less."""
IMPACT = "perp_impact"
"""Flag: what closing costs by impact may still grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Assets and requirement in USD (30 decimals), exact, and what they are made of."""

    assets: int
    requirement: int
    exposure: int
    """What the index tokens are worth, as far as profit counts."""
    margin: int
    """What the margin is worth, less what is owed in it."""
    rest: int
    """Everything that no price moves, in the sign of assets."""


def dollar(chain_id: int) -> Token:
    """Dollars as the venue counts them; no contract."""
    return Token(chain_id=chain_id, address="0x" + "0" * 37 + "348", symbol="USD", decimals=USD_DECIMALS)


def sides(perp: Perp) -> Sides:
    """Both forms at the present prices; assets - requirement is what remains less what must."""
    spare = perp.remaining_usd - perp.need_usd
    worth = perp.tokens * perp.index_price
    exposure = worth * perp.pnl_usd // perp.won_usd if perp.pnl_usd < perp.won_usd else worth
    margin = (perp.margin - perp.owed) * perp.collateral_price
    if perp.long:
        rest = spare - exposure - margin
        return Sides(assets=exposure + margin, requirement=-rest, exposure=exposure, margin=margin, rest=rest)
    rest = spare + exposure - margin
    return Sides(assets=margin + rest, requirement=exposure, exposure=exposure, margin=margin, rest=rest)


def health_down(perp: Perp) -> int:
    """Assets over requirement, wad, rounded down; 0 where nothing counts."""
    both = sides(perp)
    if both.requirement <= 0:
        return UINT256_MAX - 1
    return min(max(both.assets, 0) * WAD // both.requirement, UINT256_MAX - 1)


def row(perp: Perp, feeds: tuple[str, str], holds: tuple[tuple[str, float, float], ...]) -> BookRow:
    """The forms per price of ``feeds``: (index, collateral), which may be one."""
    both = sides(perp)
    a: dict[str, float] = dict.fromkeys(feeds, 0.0)
    b: dict[str, float] = dict.fromkeys(feeds, 0.0)
    exposure = _per_price(both.exposure, perp.index_mid, perp.index)
    margin = _per_price(both.margin, perp.collateral_mid, perp.collateral)
    rest = both.rest / USD
    if perp.long:
        a[feeds[0]] += exposure
        a0, b0 = 0.0, -rest
    else:
        b[feeds[0]] += exposure
        a0, b0 = rest, 0.0
    a[feeds[1]] += margin
    flags = ((CAPPED,) if perp.pnl_usd < perp.won_usd else ()) + (
        (IMPACT,) if perp.impact_least_usd < perp.impact_usd else ()
    )
    return BookRow(
        feeds=tuple(a),
        a=tuple(a.values()),
        b=tuple(b.values()),
        a0=a0,
        b0=b0,
        flags=flags,
        slack=max(0, perp.impact_usd - perp.impact_least_usd) / USD,
        holds=holds,
    )


def _per_price(value_usd: int, mid: int, token: Token) -> float:
    """Whole tokens that are worth so much at the middle price, whose feed moves them."""
    return float(value_usd / (mid * 10**token.decimals))


def holdings(perp: Perp, feeds: tuple[str, str]) -> tuple[tuple[Holding, ...], tuple[Holding, ...]]:
    """(collateral, debt): the margin, what is held and what is owed, valued so that their ratio is health."""
    both, usd = sides(perp), dollar(perp.index.chain_id)
    margin = Holding(
        amount=Amount(token=perp.collateral, units=perp.margin),
        stored=perp.margin,
        price_base=perp.collateral_price * 10**perp.collateral.decimals,
        value_base=max(both.margin, 0),
        threshold_wad=WAD,
        feed=feeds[1],
    )
    tokens = Holding(
        amount=Amount(token=perp.index, units=perp.tokens),
        stored=perp.tokens,
        price_base=perp.index_price * 10**perp.index.decimals,
        value_base=both.exposure,
        threshold_wad=WAD,
        feed=feeds[0],
    )
    if perp.long:
        owed = _dollars(usd, both.requirement)
        return (margin, tokens), (owed,)
    return (margin, _dollars(usd, both.rest)), (tokens,)


def _dollars(usd: Token, value: int) -> Holding:
    units = max(value, 0)
    return Holding(
        amount=Amount(token=usd, units=units),
        stored=units,
        price_base=USD,
        value_base=units,
        threshold_wad=WAD,
        feed=f"gmx_v2:{usd.chain_id}:usd",
    )
