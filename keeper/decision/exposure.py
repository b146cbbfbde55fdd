"""What one owner holds of an asset, at a venue, of an issuer, over his guarded positions of a chain, and what of it
is over his limits. Pure arithmetic on the venues' own prices, whole dollars against wad, rounded against the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.decision.smaller import BAND_PPM, PPM, Excess, of_loan, of_perp, usd_wad
from keeper.issuers import issuer_of
from keeper.model import Holding, Policy, Position, PositionId, Reduce, Token
from keeper.phrases import usd_text
from keeper.units import WAD, mul_div_up

NAME = "exposure_limits"
ASSET, VENUE = "asset", "venue"


def matches(kind: str, name: str, token: Token) -> bool:
    """Whether a token is of that asset or issuer; of a venue every token is."""
    wanted = name.lower()
    if kind == ASSET:
        return token.symbol.lower() == wanted
    return kind == VENUE or issuer_of(token.symbol).lower() == wanted


def held_wad(position: Position, kind: str, name: str) -> int:
    """Dollars of it in one position: what is supplied, a perpetual's margin, and its notional as its index."""
    if kind == VENUE and position.id.venue.lower() != name.lower():
        return 0
    if (perp := position.perp) is None:
        return sum(
            usd_wad(h.value_base, position)
            for h in position.collateral
            if matches(kind, name, h.amount.token)
        )
    margin = perp.margin * perp.collateral_price // 10**12 if matches(kind, name, perp.collateral) else 0
    # at a venue stands what is there to lose, not what is bet with it
    if kind == VENUE or not matches(kind, name, perp.index):
        return margin
    return margin + perp.tokens * perp.index_price // 10**12


def excess_wad(total_wad: int, limit_usd: int) -> int:
    """Dollars over the limit, where it is passed by more than the band; 0 within."""
    limit = limit_usd * WAD
    return total_wad - limit if total_wad * PPM > limit * (PPM + BAND_PPM) else 0


def share_up(excess: int, own: int, total: int) -> int:
    """A position's part of what its owner must reduce, by what it holds; the parts make up the whole."""
    return mul_div_up(excess, own, total) if total else 0


def over(
    policies: Mapping[PositionId, Policy], positions: Sequence[Position]
) -> Mapping[PositionId, tuple[Reduce, ...]]:
    """What each position with limits must give up, the largest first. Counted over all of one owner's positions."""
    if not any(p.exposure_max_usd for p in policies.values()):
        return {}
    by_owner: dict[str, list[Position]] = {}
    for p in positions:
        by_owner.setdefault(p.owner.lower(), []).append(p)
    found: dict[PositionId, tuple[Reduce, ...]] = {}
    for p in positions:
        policy = policies.get(p.id)
        if policy is None or not policy.exposure_max_usd:
            continue
        mine = [_reduced(p, by_owner[p.owner.lower()], limit) for limit in policy.exposure_max_usd]
        ordered = sorted((m for m in mine if m is not None), key=lambda m: -m[0])
        found[p.id] = tuple(reduce for _, reduce in ordered)
    return found


def _reduced(
    position: Position, every: Sequence[Position], limit: tuple[str, str, int]
) -> tuple[int, Reduce] | None:
    kind, name, usd = limit
    own, total = held_wad(position, kind, name), sum(held_wad(p, kind, name) for p in every)
    part = share_up(excess_wad(total, usd), own, total)
    if not part:
        return None
    why = f"{kind} {name} {usd_text(total / WAD)} > limit {usd_text(usd)}"
    excess = Excess(by=NAME, value_wad=part, why=f"{why}, {usd_text(part / WAD)} of it here")

    def counts(h: Holding) -> bool:
        return matches(kind, name, h.amount.token)

    if position.perp is None:
        return part, of_loan(position, excess, counts)
    if kind != VENUE and matches(kind, name, position.perp.index):
        return part, of_perp(position, excess)
    # margin leaves no venue by any step that the keeper has
    return part, Reduce(by=NAME, targets=(), why=excess.why)
