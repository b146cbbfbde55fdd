"""A loan and the short that hedges it: how far one covers the other, and what the loan's policy is while it does.

Opt-in. A covered loan may wait for a lower trigger, because a fall that takes from the one gives to the other. The
cover counts only while the short can be read, stands clear of its own liquidation and its market is open. Where it
fails (liquidated, closed by the venue, shrunk, unread), the loan's own policy is in force in the same block, and no
cooldown of an earlier action stands in its way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.decision.memory import Memory
from keeper.model import Perp, Policy, Position, PositionId, Proposal, Refusal, Snapshot
from keeper.phrases import health_text
from keeper.seams import Venue
from keeper.triggers import emergency
from keeper.units import UINT256_MAX, WAD

USD = 10**30
FULL = 1.0
REGAIN_PCT = 2
"""What covered too little counts again only by so much above its line: around the line every block would change the
policy, and wipe the cooldown of a rescue."""
HEDGE_PROFIT = "hedge_profit"
"""The strategy's name where a part of a short is closed for its loan."""
Take = Callable[[Position, Policy, Snapshot, Venue, int], Proposal | Refusal]
"""The least order on a short whose profit pays out so many dollars (30 decimals), and what it costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedged:
    """An owner's word that one position hedges another."""

    loan: PositionId
    short: PositionId
    assets: tuple[str, ...]
    """Symbols of the loan's collateral that fall with the short's index."""
    trigger_wad: int
    target_wad: int
    """The loan's, while it is covered."""
    cover_least: float = 0.5
    """Share of that collateral that the short must reach."""
    health_least_wad: int = 11 * WAD // 10
    """Below this health of its own the short counts as nothing: it may be gone with the next price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """How far a short covers a loan now."""

    share: float
    """Of the collateral, at most 1."""
    why: str
    """What it lacks; empty while it covers enough."""
    thin: bool = False
    """Too small or too near its own liquidation, now or when it was read last: regained by a margin."""

    @property
    def holds(self) -> bool:
        """Whether the hedged trigger is in force."""
        return not self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What deciding uses in this block."""

    policies: Mapping[PositionId, Policy]
    memory: Memory
    covers: Mapping[PositionId, Cover] = field(default_factory=dict)
    """By loan."""
    lost: Mapping[PositionId, str] = field(default_factory=dict)
    """Loans that were covered in the last block and are no longer, and why: worth an alarm."""


def cover(hedged: Hedged, snapshot: Snapshot, before: Cover | None = None) -> Cover:
    """How far the short covers the loan in this snapshot, ``before`` in the last one. What cannot be read covers
    nothing."""
    loan, short = snapshot.position(hedged.loan), snapshot.position(hedged.short)
    thin = before is not None and before.thin
    if loan is None:
        return Cover(share=0.0, why="the loan cannot be read", thin=thin)
    if short is None:
        return Cover(share=0.0, why="the short cannot be read", thin=thin)
    perp = short.perp
    if perp is None or perp.size_usd == 0 or short.health_wad == UINT256_MAX:
        return Cover(share=0.0, why="the short is gone: liquidated, closed by its venue, or by its owner")
    if perp.long:
        return Cover(share=0.0, why="it is a long: it falls with the loan")
    held = collateral_usd(loan, hedged.assets)
    share = short_usd(perp) / held if held > 0 else 0.0
    why = _lacks(hedged, short.health_wad or 0, share, thin=thin)
    if perp.disabled:
        return Cover(share=min(FULL, share), why="the short's market is disabled", thin=bool(why))
    return Cover(share=min(FULL, share), why=why, thin=bool(why))


def _lacks(hedged: Hedged, health_wad: int, share: float, *, thin: bool) -> str:
    more = 100 + REGAIN_PCT if thin else 100
    health_least_wad, least = hedged.health_least_wad * more // 100, hedged.cover_least * more / 100
    if health_wad < health_least_wad:
        line = health_text(health_least_wad)
        return f"the short is itself near liquidation: health {health_text(health_wad)} < {line}"
    if share < least:
        return f"the short covers {_pct(share)} % of the collateral, less than {_pct(least)} %"
    return ""


def _pct(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def collateral_usd(loan: Position, assets: Sequence[str]) -> float:
    """What the loan holds of those symbols."""
    units = sum(h.value_base for h in loan.collateral if h.amount.token.symbol in assets)
    return float(units / 10**loan.base_decimals)


def short_usd(perp: Perp) -> float:
    """What the short's tokens are worth at the price that it would be closed at."""
    return float(perp.tokens * perp.index_price / USD)


def in_force(
    hedges: Sequence[Hedged],
    snapshot: Snapshot,
    policies: Mapping[PositionId, Policy],
    memory: Memory,
    before: Mapping[PositionId, Cover],
) -> InForce:
    """The policies of this block: a covered loan's with the hedged lines, any other's as written; and the memory, in
    which a loan that has just lost its cover has nothing to wait for. ``before``: the covers of the last block."""
    found, covers, lost = dict(policies), dict[PositionId, Cover](), dict[PositionId, str]()
    for hedged in hedges:
        own = policies.get(hedged.loan)
        if own is None:
            continue
        now = cover(hedged, snapshot, before.get(hedged.loan))
        covers[hedged.loan] = now
        if now.holds:
            found[hedged.loan] = relaxed(own, hedged)
        elif (last := before.get(hedged.loan)) is None or last.holds:
            # the first look after a start has nothing to compare with: what may be missing is said
            lost[hedged.loan] = now.why
    return InForce(policies=found, memory=memory.without_actions(tuple(lost)), covers=covers, lost=lost)


def relaxed(own: Policy, hedged: Hedged) -> Policy:
    """The policy with the hedged trigger and target; never with stricter ones, and never at or below emergency."""
    trigger = max(min(hedged.trigger_wad, own.trigger_wad), own.emergency_wad + own.hysteresis_wad)
    target = max(min(hedged.target_wad, own.target_wad), trigger + own.hysteresis_wad)
    warn = min(own.warn_wad, max(trigger + own.hysteresis_wad, own.warn_wad - own.trigger_wad + trigger))
    return replace(own, trigger_wad=trigger, target_wad=target, warn_wad=warn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What may be done with the hedge of a loan at this block."""

    short: PositionId
    policy: Policy
    """The short's."""
    take: Take
    wait: str = ""
    """Why the loan does nothing now: profit is on its way."""
    tried: str = ""
    """Why the hedge is not asked again in this danger."""
    stopped: str = ""
    """Why nothing is done for the loan itself: a hedge is not closed for a repayment that nobody will make."""


def waits(relief: Relief | None, health_wad: int | None, policy: Policy) -> str:
    """Why the loan waits for its hedge's profit, or ""; never below emergency."""
    return "" if relief is None or emergency(health_wad, policy) else relief.wait
