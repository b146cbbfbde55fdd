"""How much smaller a position is to be, as a health that a sale can aim at; shared by every rule that reduces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keeper.model import Holding, Policy, Position, Reduce
from keeper.phrases import health_text
from keeper.sizing import debt_base_up, weighted_base_wad
from keeper.units import UINT256_MAX, WAD, mul_div_down, mul_div_up

ROOM_WAD = WAD // 50
"""From target to max_health, as a configuration needs it."""
BAND_PPM = 50_000
"""So far beyond a limit something is done about it, and then down to the limit: not at every block a little."""
USEFUL = 10_000
"""A reduction lifts health by at least one part in so many."""
PPM = 10**6
PERP_USD = 10**30
DOLLAR_BAND = WAD // 50
"""What stands within two per cent of one dollar is a dollar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """How much is too much of what."""

    by: str
    value_wad: int
    """Dollars that must go."""
    why: str


def usd_wad(value_base: int, position: Position) -> int:
    """Base units of the position's venue as dollars in wad, rounded up."""
    return mul_div_up(value_base, WAD, 10**position.base_decimals)


def price_wad(holding: Holding, position: Position) -> int:
    """Dollars of one whole token by the venue's own oracle."""
    return mul_div_down(holding.price_base, WAD, 10**position.base_decimals)


def is_dollar(holding: Holding, position: Position) -> bool:
    """Whether the venue prices it within two per cent of one dollar."""
    return abs(price_wad(holding, position) - WAD) <= DOLLAR_BAND


def health_after_up(position: Position, excess_wad: int, sold: Sequence[Holding]) -> int:
    """The health of the position once ``excess_wad`` dollars of ``sold`` have repaid debt at the venue's prices.

    (W - x l) / (D - x), l the lowest threshold among ``sold``, rounded up: a sale that reaches it has sold at least
    x. 2**256 - 1 where x pays all that is owed.
    """
    scale = 10**position.base_decimals
    x = min(-(-excess_wad * scale // WAD), sum(h.value_base for h in sold))
    owed, least = debt_base_up(position), min(h.threshold_wad for h in sold)
    if x >= owed:
        return UINT256_MAX
    return mul_div_up(max(0, weighted_base_wad(position) - x * least), 1, owed - x)


def of_loan(
    position: Position, excess: Excess, counts: Callable[[Holding], bool], repays: Sequence[Holding] = ()
) -> Reduce:
    """The sale of what ``counts`` that is worth the excess; without targets where no sale can do it."""
    sold = [h for h in position.collateral if counts(h) and h.threshold_wad and h.value_base]
    targets: tuple[int, ...] = ()
    if sold and position.debt and position.health_wad not in (None, UINT256_MAX):
        targets = (health_after_up(position, excess.value_wad, sold),)
    return Reduce(
        by=excess.by,
        targets=targets,
        why=excess.why,
        sell=tuple(h.amount.token.address for h in sold),
        repay=tuple(h.amount.token.address for h in repays),
    )


def of_perp(position: Position, excess: Excess) -> Reduce:
    """The part of a perpetual position's size that is worth the excess."""
    perp = position.perp
    assert perp is not None
    notional = perp.tokens * perp.index_price
    size = min(perp.size_usd, mul_div_up(perp.size_usd, excess.value_wad * 10**12, max(notional, 1)))
    whole = size >= perp.size_usd
    health = position.health_wad or 0
    return Reduce(
        by=excess.by, targets=(UINT256_MAX if whole else health + 2,), why=excess.why, size_usd=size
    )


def lifted_for(policy: Policy, position: Position, highest_wad: int | None) -> Policy:
    """The same with its trigger just above health for what ``policy.reduces`` wants, where the owner allows that
    above trigger; the rules below trigger (caps, gas, guard) hold as ever, and the Executor's own are not moved.
    """
    health, doable = position.health_wad, [r for r in policy.reduces if r.targets]
    if not policy.reduce_above_trigger or not doable:
        return policy
    if health is None or health == UINT256_MAX or health < policy.trigger_wad:
        return policy
    trigger = health + 1
    finite = [t for r in doable for t in r.targets if t != UINT256_MAX]
    if highest_wad is not None:
        finite = [min(t, highest_wad - ROOM_WAD) for t in finite]
    # a plan promises target less a few millionths, which must still be better than now
    target = max(trigger + trigger // USEFUL, min(finite, default=0))
    most = max(policy.max_health_wad, max(finite, default=0) + ROOM_WAD, target + ROOM_WAD)
    if position.perp is not None:
        # what closing so much brings is its venue's arithmetic; the size is bounded by what is too much
        most = UINT256_MAX
    names = tuple(dict.fromkeys(r.by for r in doable))
    said = f"trigger {health_text(policy.trigger_wad)} -> {health_text(trigger)}"
    if policy.max_health_wad < most < UINT256_MAX:
        said += f", max_health {health_text(policy.max_health_wad)} -> {health_text(most)}"
    return replace(
        policy,
        warn_wad=max(policy.warn_wad, trigger + 1),
        trigger_wad=trigger,
        target_wad=target,
        max_health_wad=most,
        hysteresis_wad=1,
        strategies=names,
        act="always",
        ladder=False,
        reduces=tuple(replace(r, targets=_within(r.targets, target, highest_wad)) for r in policy.reduces),
        moved=(*policy.moved, f"{said} to reduce: {'; '.join(r.why for r in doable)}"),
    )


def _within(targets: tuple[int, ...], least: int, highest_wad: int | None) -> tuple[int, ...]:
    """Each at what the Executor lets a sale reach, and at what the policy asks for."""
    most = UINT256_MAX if highest_wad is None else highest_wad - ROOM_WAD
    return tuple(dict.fromkeys(t if t == UINT256_MAX else max(least, min(t, most)) for t in targets))
