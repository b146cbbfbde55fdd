"""The level of a position after hysteresis: worse at once, better only when clearly so."""

from __future__ import annotations

from keeper.decision.memory import PositionMemory
from keeper.model import Level, Outlook, Policy, Position
from keeper.triggers import SEVERITY, raw_level
from keeper.units import UINT256_MAX

_BY_SEVERITY = {rank: level for level, rank in SEVERITY.items()}


def level_of(position: Position, outlook: Outlook | None, policy: Policy) -> Level:
    """The level before hysteresis: the protocol's own health decides, the risk core may only make it worse.

    UNKNOWN when the core could not vouch for the position. Where a venue gives no health, the core's level is
    the level. A core that reads SAFE as WATCH or worse warns; money moves only on the protocol's own health.
    """
    core = outlook.level if outlook is not None else None
    if core is Level.UNKNOWN or (position.health_wad is None and core is None):
        return Level.UNKNOWN
    if position.health_wad is None:
        return core or Level.UNKNOWN
    own = raw_level(position.health_wad, policy)
    warned = core is not None and SEVERITY[core] > SEVERITY[Level.SAFE]
    return Level.WATCH if own is Level.SAFE and warned and position.health_wad != UINT256_MAX else own


def level_after(previous: PositionMemory, raw: Level, health_wad: int | None, policy: Policy) -> Level:
    """The level after hysteresis.

    Worse at once. Better one step at a time, each only when health >= the threshold being left + hysteresis.
    UNKNOWN at once both ways; the way back starts from the last known level.
    """
    if raw is Level.UNKNOWN:
        return raw
    rank, goal = SEVERITY[previous.known_level], SEVERITY[raw]
    if health_wad is None or health_wad == UINT256_MAX:
        return raw
    leaves = {
        SEVERITY[Level.URGENT]: policy.emergency_wad,
        SEVERITY[Level.ACT]: policy.trigger_wad,
        SEVERITY[Level.WATCH]: policy.warn_wad,
    }
    while rank > goal and health_wad >= leaves[rank] + policy.hysteresis_wad:
        rank -= 1
    return _BY_SEVERITY[max(rank, goal)]
