"""A floor under equity: what may be at risk is a multiple of what stands above it, and the floor may follow gains.

Constant proportion portfolio insurance (Perold 1986; Black and Jones 1987): exposure = m (V - F), with V the equity,
F the floor, m the multiplier. With a ratchet F never falls and follows a share of the highest V seen (time-invariant
portfolio protection, Estep and Kritzman 1988). Between two acts a gap of more than 1/m goes through the floor.
"""

from __future__ import annotations

from keeper import exits
from keeper.decision.smaller import PPM, Excess, is_dollar, of_loan, of_perp, usd_wad
from keeper.model import Holding, Policy, Position, Reduce
from keeper.phrases import usd_text
from keeper.units import UINT256_MAX, WAD, mul_div_down

NAME = "floor"
BAND_PPM = 100_000
"""So far above what is allowed a sale is made, down to what is allowed."""
PEAK_STEP = 1_000
"""The highest equity is remembered in steps of one part in so many, so that not every block writes."""


def equity_wad(position: Position) -> int:
    """What is the owner's, dollars in wad; of a perpetual what its venue says remains. Never below 0."""
    if position.perp is not None:
        return max(0, position.perp.remaining_usd // 10**12)
    held = sum(h.value_base for h in position.collateral)
    owed = sum(h.value_base for h in position.debt)
    return mul_div_down(max(0, held - owed), WAD, 10**position.base_decimals)


def gross_wad(position: Position) -> int:
    """All that its equity moves with, dollars in wad: what is held and what is owed, or a perpetual's notional."""
    if (perp := position.perp) is not None:
        return perp.tokens * perp.index_price // 10**12 + equity_wad(position)
    return sum(usd_wad(h.value_base, position) for h in (*position.collateral, *position.debt))


def closed(position: Position) -> bool:
    """Whether nothing is owed and nothing is open: a later position is another one."""
    return position.health_wad == UINT256_MAX


def peak_after(peak_wad: int, position: Position | None, policy: Policy) -> int:
    """The highest equity with this block's; as it was where the position cannot be read or one endpoint alone says
    what it is worth, 0 once it is closed or where no floor follows it."""
    if not policy.floor_usd or not policy.floor_ratchet_ppm:
        return 0
    if position is None or position.health_wad is None or exits.ALONE in position.row.flags:
        return peak_wad
    if closed(position):
        return 0
    now = equity_wad(position)
    return now if now > peak_wad + peak_wad // PEAK_STEP else peak_wad


def floor_wad(policy: Policy) -> int:
    """The floor as it stands: what was set, or the ratchet's share of the highest equity."""
    return max(policy.floor_usd * WAD, policy.peak_usd_wad * policy.floor_ratchet_ppm // PPM)


def allowed_wad(equity: int, floor: int, times_wad: int) -> int:
    """m (V - F), rounded down; 0 at the floor and below."""
    return mul_div_down(max(0, equity - floor), times_wad, WAD)


def at_risk(position: Position) -> tuple[int, int]:
    """Dollars (wad) held and owed in what is no dollar, each feed net of its other side."""
    if position.perp is not None:
        notional = position.perp.tokens * position.perp.index_price // 10**12
        return (notional, 0) if position.perp.long else (0, notional)
    net: dict[str, int] = {}
    for held, sign in ((position.collateral, 1), (position.debt, -1)):
        for h in held:
            if not is_dollar(h, position):
                net[h.feed] = net.get(h.feed, 0) + sign * usd_wad(h.value_base, position)
    return sum(v for v in net.values() if v > 0), -sum(v for v in net.values() if v < 0)


def reduces(policy: Policy, position: Position) -> tuple[Reduce, ...]:
    """What must go so that no more is at risk than the cushion allows; nothing within the band."""
    if not policy.floor_usd or position.health_wad is None:
        return ()
    equity, floor = equity_wad(position), floor_wad(policy)
    long, short = at_risk(position)
    most = allowed_wad(equity, floor, policy.floor_times_wad)
    if (long + short) * PPM <= most * (PPM + BAND_PPM):
        return ()
    texts = [usd_text(x / WAD) for x in (long + short, policy.floor_times_wad, equity, floor)]
    times = f"{policy.floor_times_wad / WAD:g}"
    why = f"{texts[0]} at risk > {times} x ({texts[2]} - floor {texts[3]})"
    excess = Excess(by=NAME, value_wad=long + short - most, why=why)
    if position.perp is not None:
        return (of_perp(position, excess),)
    return (_of_loan(position, excess, short > long),)


def _of_loan(position: Position, excess: Excess, shorts: bool) -> Reduce:
    """The larger side of a loan is made smaller: what is held is sold, or what is owed is bought back."""
    if not shorts:
        return of_loan(position, excess, lambda h: not is_dollar(h, position))
    owed = [h for h in position.debt if not is_dollar(h, position)]
    return of_loan(position, excess, _counts, owed)


def _counts(holding: Holding) -> bool:
    return bool(holding.threshold_wad)


__all__ = [
    "NAME",
    "UINT256_MAX",
    "allowed_wad",
    "at_risk",
    "closed",
    "equity_wad",
    "floor_wad",
    "gross_wad",
    "peak_after",
    "reduces",
]
