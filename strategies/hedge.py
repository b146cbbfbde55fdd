"""Hold a short against a loan's collateral: an option, off unless asked for, with a key and caps of its own.

It opens exposure, which no rescue does. So it never draws on the keeper's wallet or key, its caps are not the
rescue's, and it is in no policy's list of strategies: who wants it says so in ``Terms``. What lowers the hedge is
never refused for want of money.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Amount, Means, Perp, Position, Refusal
from keeper.phrases import usd_text
from keeper.units import BPS, UINT256_MAX, mul_div_down, mul_div_up

USD = 10**30
WHO = "hedge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner asks for; nothing is done without ``on``."""

    on: bool = False
    key: str
    """Address of the key that may hedge; never the keeper's."""
    assets: tuple[str, ...]
    """Symbols of the collateral that is hedged by one short."""
    share_pct: int
    """Of that collateral's value."""
    band_pct: int = 10
    """Of the wanted size: within it nothing is traded."""
    leverage: int = 3
    """Notional over the margin that a new part of the short brings."""
    notional_usd_max: int
    action_usd_max: int
    day_usd_max: int
    """Notional opened in one order, and in a day."""
    funding_year_max_pct: int = 40
    """More than so much a year is not paid for opening more."""
    slip_bps: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known beside the positions."""

    keeper: str
    """The rescue's wallet."""
    means: Means
    """Of the hedge's own key."""
    opened_today_usd: float = 0.0
    funding_year_pct: float | None = None
    """What the short pays a year, borrowing included; None where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Open or close so much of the short; for the hedge's own key to sign."""

    opens: bool
    size_usd: int
    """30 decimals."""
    margin: Amount
    worst_price: int
    """Dollars (30 decimals) of one smallest unit of the index."""
    why: str


def propose(loan: Position | None, short: Position | None, terms: Terms, seen: Seen) -> Order | Refusal:
    """The order that brings the short back to its share, or why none. ``short`` may have no size yet."""
    if (no := _unfit(loan, short, terms, seen)) is not None:
        return no
    assert loan is not None
    assert short is not None
    assert short.perp is not None
    perp = short.perp
    wanted = _wanted(loan, terms)
    have = perp.tokens * perp.index_price
    told = f"{usd_text(have / USD)} of {usd_text(wanted / USD)} wanted"
    if abs(wanted - have) * 100 <= wanted * terms.band_pct:
        return _no("within_band", f"{told}: within {terms.band_pct} %")
    if have > wanted:
        return _closing(perp, have - wanted, terms, told)
    return _opening(perp, (wanted - have, have), terms, seen, told)


def _unfit(loan: Position | None, short: Position | None, terms: Terms, seen: Seen) -> Refusal | None:
    if not terms.on:
        return _no("not_asked", "hedging is off: it is done only where the owner turns it on")
    if terms.key.lower() == seen.keeper.lower() or seen.means.wallet.lower() != terms.key.lower():
        return _no("wrong_key", "a hedge has a key of its own, which no rescue uses")
    if loan is None or loan.health_wad is None:
        return _no("unknown", "the loan cannot be read: what is not known is not hedged")
    if short is None or short.perp is None:
        return _no("unknown", "the short cannot be read, or its market is not configured")
    if short.perp.tokens and short.perp.long:
        return _no("wrong_side", "the position is a long: it is nobody's hedge")
    if short.perp.pending is not None:
        return _no("order_pending", "an order of the short is under way: one at a time")
    return None


def _wanted(loan: Position, terms: Terms) -> int:
    """USD (30 decimals) of the collateral that is to be hedged, as far as the cap goes; nothing without a debt."""
    held = sum(h.value_base for h in loan.collateral if h.amount.token.symbol in terms.assets)
    if not loan.debt or loan.health_wad == UINT256_MAX:
        return 0
    wanted: int = held * USD // 10**loan.base_decimals * terms.share_pct // 100
    return min(wanted, terms.notional_usd_max * USD)


def _closing(perp: Perp, size: int, terms: Terms, told: str) -> Order:
    """Less of the short: by its size at entry, which the venue counts in."""
    part = mul_div_up(perp.size_usd, size, max(perp.tokens * perp.index_price, 1))
    return Order(
        opens=False,
        size_usd=min(part, perp.size_usd),
        margin=Amount(token=perp.collateral, units=0),
        # buying back costs more at a higher price
        worst_price=mul_div_up(perp.index_price, BPS + terms.slip_bps, BPS),
        why=f"{WHO} closes {usd_text(part / USD)} of the short: {told}",
    )


def _opening(perp: Perp, sizes: tuple[int, int], terms: Terms, seen: Seen, told: str) -> Order | Refusal:
    missing, have = sizes
    if perp.disabled:
        return _no("disabled", "the market is disabled: nothing is opened")
    if seen.funding_year_pct is None or seen.funding_year_pct > terms.funding_year_max_pct:
        paid = "is not known" if seen.funding_year_pct is None else f"is {seen.funding_year_pct:.0f} % a year"
        return _no("funding", f"what the short pays {paid}; the limit is {terms.funding_year_max_pct} %")
    limits = {
        "cap of an order": terms.action_usd_max * USD,
        "cap of a day": int(max(terms.day_usd_max - seen.opened_today_usd, 0.0) * 100) * USD // 100,
        "cap of the hedge": max(terms.notional_usd_max * USD - have, 0),
        "margin in the hedge's wallet": seen.means.balance(perp.collateral)
        * perp.collateral_price
        * terms.leverage,
        "what is missing": missing,
    }
    binding = min(limits, key=lambda name: limits[name])
    size = limits[binding]
    if size < perp.size_least_usd or size <= 0:
        return _no("caps", f"the {binding} leaves {usd_text(size / USD)}: too little to open")
    units = mul_div_up(size, 1, terms.leverage * perp.collateral_price)
    short_of = "" if binding == "what is missing" else f"; no more by the {binding}"
    return Order(
        opens=True,
        size_usd=size,
        margin=Amount(token=perp.collateral, units=units),
        worst_price=mul_div_down(perp.index_price, BPS - terms.slip_bps, BPS),
        why=f"{WHO} opens {usd_text(size / USD)}: {told}{short_of}",
    )


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
