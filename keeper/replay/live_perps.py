"""Perpetual positions as their venue read them, as accounts of a replay: dollars of 30 decimals become floats.

margin    = (stored - owed), in tokens, at the worse price of the two
closing   = (margin + size (p - entry) - what remains) / size at entry: fee, impact and spread of closing all
need      = size at entry x factor, the venue's minimum at the least

The profit of a part that is closed is paid to the owner (GMX v2), as ``gmx_v2.encode`` has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.model import Perp, Policy, Position
from keeper.model.perp import USD_DECIMALS
from keeper.replay.bars import Bars
from keeper.replay.paths import lacking
from keeper.replay.perps import PerpAccount

USD = 10**USD_DECIMALS
CLOSED = "it is closed: there is nothing of it to replay"
CAPPED = "its pool does not pay all of its profit now: what further moves are worth is not known here"
WAITS = "an order of its owner waits on its venue; it is replayed as if there were none"

LeftOut = tuple[tuple[str, str], ...]
"""(name, why)."""


def is_perp(position: Position) -> bool:
    """Whether it is one, or was until it was closed."""
    return position.perp is not None or (position.mode == "closed" and not position.row.feeds)


def accounts(
    named: Sequence[tuple[str, Position]], *, by_price: bool
) -> tuple[tuple[PerpAccount, ...], LeftOut]:
    """Those that can be replayed, and why others cannot. ``by_price``: the levels that they are held to are those of
    their venue, where health is how far the price may move."""
    found, left = [], []
    for name, position in named:
        perp = position.perp
        if perp is None or not perp.tokens:
            left.append((name, CLOSED))
        elif perp.pnl_usd < perp.won_usd:
            left.append((name, CAPPED))
        else:
            found.append(replace(_account(name, perp), by_price=by_price))
    return tuple(found), tuple(left)


def without_leavers(
    found: Sequence[PerpAccount], policies: Mapping[str, Policy]
) -> tuple[tuple[PerpAccount, ...], LeftOut]:
    """Those whose own policy a replay of perpetual positions can follow, and why others cannot."""
    left = tuple(
        (
            x.name,
            f"its policy {p.name} leaves by price, which a replay knows of loans only (--policy names another)",
        )
        for x in found
        for p in (policies[x.name],)
        if by_price(p)
    )
    gone = {name for name, _ in left}
    return tuple(x for x in found if x.name not in gone), left


def by_price(policy: Policy) -> bool:
    """Whether it leaves a position where a price stands, whatever its health."""
    return bool(policy.trail_pct or policy.take_profit or policy.close_prices)


def _account(name: str, perp: Perp) -> PerpAccount:
    whole = 10.0**perp.index.decimals
    tokens, size_usd = perp.tokens / whole, perp.size_usd / USD
    prices = {
        perp.collateral.symbol: perp.collateral_mid * 10**perp.collateral.decimals / USD,
        perp.index.symbol: perp.index_mid * 10**perp.index.decimals / USD,
    }
    won = perp.tokens * perp.index_mid - perp.size_usd
    counted = perp.margin - perp.owed
    gone = counted * perp.collateral_price + (won if perp.long else -won) - perp.remaining_usd
    worth = perp.collateral_price * 10**perp.collateral.decimals / USD
    return PerpAccount(
        name=name,
        index=perp.index.symbol,
        size=tokens if perp.long else -tokens,
        entry=size_usd / tokens,
        rate=perp.minimum_factor / USD,
        on_entry=True,
        minimum_usd=0.0,
        fees_usd=0.0,
        margin=(
            (
                perp.collateral.symbol,
                counted / 10.0**perp.collateral.decimals,
                worth / prices[perp.collateral.symbol],
            ),
        ),
        prices=prices,
        floor_usd=perp.minimum_usd / USD,
        closing=gone / perp.size_usd,
        # what impact takes of all of it is more than its part of a part
        close_fee=(perp.fee_factor * perp.size_usd // USD - perp.closing_usd) / perp.size_usd,
        carry_year=None if perp.side is None or perp.side.carry_year is None else perp.side.carry_year / USD,
        pays_out=True,
        note=WAITS if perp.orders else "",
    )


def priced(
    found: Sequence[PerpAccount], read: Bars, held: Sequence[str]
) -> tuple[tuple[PerpAccount, ...], LeftOut]:
    """Those whose every asset has a history, stands for a dollar or is among ``held``; and what others lack."""
    lacks = set(lacking(read, list(dict.fromkeys(a for x in found for a in x.assets)), held))
    there = ", ".join(read.symbols[:30])
    left = tuple(
        (x.name, f"{read.path}: column symbol: has no prices of {', '.join(missing)} (there are {there})")
        for x in found
        if (missing := [a for a in x.assets if a in lacks])
    )
    gone = {name for name, _ in left}
    return tuple(x for x in found if x.name not in gone), left
