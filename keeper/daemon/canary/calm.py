"""When a canary may be rescued: nobody else in need, nothing under way, itself small, gas not dear."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.config import Settings
from keeper.config.canary import CanarySettings
from keeper.daemon.canary.yielding import others_first
from keeper.daemon.control import Watched
from keeper.daemon.facts import Guarded
from keeper.daemon.loop import ChainLoop
from keeper.daemon.tank import SALE_GAS, rescue_gas
from keeper.daemon.tick import Tick
from keeper.daemon.wiring import Finding
from keeper.model import Level, Mandate, Policy, Position, Snapshot
from keeper.phrases import health_text, usd_text
from keeper.seams import Severity
from keeper.units import UINT256_MAX, WAD

DAY_S = 86_400.0
WALLET_STRATEGIES = ("repay", "add_collateral")
"""What the keeper's own wallet pays for, whatever an Executor would say."""


def found(chains: Sequence[Watched], label: str) -> tuple[Watched, ChainLoop, Guarded] | None:
    """Where the position of that label is guarded; None before its chain's first start."""
    places = ((w, w.loop, g) for w in chains if w.loop is not None for g in w.loop.parts.guarded)
    return next((place for place in places if place[2].label == label), None)


def in_the_way(chains: Sequence[Watched], mine: Guarded) -> str:
    """Who must go first, on any chain; empty when nobody must. What cannot be seen may be in need."""
    for watched in chains:
        loop, name = watched.loop, watched.chain.name
        if watched.blind is not None or loop is None or loop.last is None:
            return f"{name} cannot be seen"
        opened = loop.parts.journal.open_intents(watched.chain.chain_id)
        under_way = {*loop.lane.waiting, *(i.key.position for i in opened)}
        levels = [(o.id, o.level) for o in loop.last.outlooks]
        if why := others_first(mine.id, levels, under_way):
            return why
    return ""


def waits(chains: Sequence[Watched], settings: CanarySettings) -> str:
    """Why none may begin now; empty when it may."""
    place = found(chains, settings.position)
    if place is None:
        return f"{settings.position} is not watched yet"
    _, loop, mine = place
    if why := in_the_way(chains, mine):
        return why
    tick = loop.last
    assert tick is not None  # in_the_way says so
    if not loop.armed:
        return "nothing would be sent: disarmed, paused or stopped (keeper arm, keeper resume)"
    if (stop := loop.stops.standing({mine.id: mine.policy}, tick.block).get(mine.id)) is not None:
        return f"{stop.code}: {stop.why}"
    opened = loop.parts.journal.open_intents(mine.id.chain_id)
    if mine.id in loop.lane.waiting or any(i.key.position == mine.id for i in opened):
        return "a plan for it is under way"
    return _itself(tick, mine) or _dear(loop, tick, mine, settings)


def unfit(position: Position | None, settings: CanarySettings) -> str:
    """Why the position named is no canary, whatever the hour: too large, its size not known, or nothing that could
    be rescued.
    """
    if position is None:
        return ""
    unpriced = [h.amount.token.symbol for h in position.collateral if h.amount.units and h.price_base <= 0]
    if unpriced:
        # counted as nothing, a main vault would pass for a tiny one
        return f"what its collateral is worth is not known: {', '.join(unpriced)} has no price in dollars"
    worth = sum(h.value_base for h in position.collateral) / 10**position.base_decimals
    if worth > settings.value_usd_max:
        most = f"${settings.value_usd_max:,}"
        return f"its collateral is worth {usd_text(worth)}, a canary's at most {most} (canary.value_usd_max)"
    health_wad = position.health_wad
    if not position.debt or health_wad is None or health_wad == UINT256_MAX:
        return "it has no debt: there is nothing to rescue; borrow a little on it"
    return ""


def goal_wad(position: Position, mandate: Mandate | None, policy: Policy, settings: CanarySettings) -> int:
    """The health to bring it to: a little more than it has; an Executor's own target where only it can pay.

    The contract takes no action that ends below its target.
    """
    goal = (position.health_wad or 0) + settings.gain_wad
    return goal if mandate is None or _wallet_pays(policy) else max(goal, mandate.terms.target_wad)


def _wallet_pays(policy: Policy) -> bool:
    return any(name in policy.strategies for name in WALLET_STRATEGIES)


def findings(settings: Settings, guarded: Sequence[Guarded], snapshot: Snapshot) -> list[Finding]:
    """What ``keeper check`` says of the canary that is configured."""
    mine = next((g for g in guarded if settings.canary and g.label == settings.canary.position), None)
    if mine is None or settings.canary is None:
        return []
    why = unfit(snapshot.position(mine.id), settings.canary)
    told = f"it is no canary, and none is practised on: {why}"
    return (
        [Finding(severity=Severity.WARNING, code="canary_waits", subject=mine.label, why=told)] if why else []
    )


def _itself(tick: Tick, mine: Guarded) -> str:
    """Its own need is no practice."""
    outlook = next((o for o in tick.outlooks if o.id == mine.id), None)
    position = tick.snapshot.position(mine.id)
    if outlook is None or position is None or outlook.level is Level.UNKNOWN:
        return "its health is not known now"
    health_wad = position.health_wad
    if outlook.level in (Level.ACT, Level.URGENT) or (health_wad or 0) < mine.policy.trigger_wad:
        return f"it is in need itself: health {health_text(health_wad)}"
    mandate = tick.snapshot.means.mandate(mine.id)
    if mandate is None or _wallet_pays(mine.policy) or (health_wad or 0) < mandate.terms.trigger_wad:
        return ""
    line = health_text(mandate.terms.trigger_wad)
    return f"its Executor acts below health {line} alone, and it is {health_text(health_wad)}: borrow a little on it"


def _dear(loop: ChainLoop, tick: Tick, mine: Guarded, settings: CanarySettings) -> str:
    """Gas above its cap, or the day's dollars spent."""
    means, block = tick.snapshot.means, tick.block
    gas = SALE_GAS if means.mandate(mine.id) is not None else rescue_gas(loop.venue_of(mine.id))
    if means.native_price_base is not None:
        wei = gas * (block.base_fee_wei + means.tip_wei)
        usd = wei / WAD * means.native_price_base / 10**means.native_price_decimals
        if usd > settings.gas_usd_max:
            return (
                f"gas would cost {usd_text(usd)} now, more than ${settings.gas_usd_max} (canary.gas_usd_max)"
            )
    since_s = loop.parts.clock.now_s() - DAY_S
    spent_usd = loop.parts.journal.spent_usd_since(mine.id, since_s)
    if spent_usd >= settings.spend_usd_max:
        return f"${spent_usd} were moved for it within 24 hours, as much as canary.spend_usd_max allows"
    return ""
