"""What an owner's grant on a perpetual venue lacks, named before the night in which it is needed."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.daemon.facts import Guarded
from keeper.daemon.wiring import Finding, Site
from keeper.executor import perp_need, perp_rules
from keeper.model import OrderBounds, Perp, Position, Snapshot
from keeper.phrases import health_text
from keeper.seams import Severity
from keeper.units import WAD
from keeper.venues.gmx_v2 import GmxV2, deployments, encode
from keeper.venues.gmx_v2.book import Slot
from strategies.perp import FEE_TIMES, FEE_TIPS
from strategies.stop_on_venue import OWNERS

ENDS_SOON_S = 14 * 86_400
ACTIONS_LEAST = 10
STOP = "stop_on_venue"
NONE = "the account holds nothing in this slot: closed, liquidated, not opened yet, or another market, margin or side"
NEAR_PPM = 2_000
"""A grant that is ahead of what the position owes by no more is named before it is late."""
TRIGGER_MOST_WAD = 2 * WAD
"""Health of a position whose size is its margin: below it is every one that can be liquidated in earnest."""
STORM_TIMES = 5
"""The fee of an execution must be payable at so many times today's base fee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    code: str
    why: str
    severity: Severity = Severity.CRITICAL


def findings(site: Site, snapshot: Snapshot) -> list[Finding]:
    """What would keep each guarded perpetual position from being helped."""
    found: list[Finding] = []
    for guarded in site.guarded:
        position = snapshot.position(guarded.id)
        slot = _slot(site, guarded)
        if position is not None and position.perp is None and slot is not None:
            found.append(
                Finding(severity=Severity.INFO, code="position_closed", subject=guarded.label, why=NONE)
            )
        if position is None or position.perp is None:
            continue
        said = [*_grant(position, slot, snapshot), *_venue(position.perp, snapshot), *_measure(guarded)]
        said += _spread(slot)
        if position.perp.acting.bounds is not None:
            said += _executor(position.perp, position.perp.acting.bounds, guarded, snapshot)
        found += [Finding(severity=s.severity, code=s.code, subject=guarded.label, why=s.why) for s in said]
    return found


def _measure(guarded: Guarded) -> list[_Said]:
    """Levels of another measure, equity over maintenance, under which everything would be closed at once."""
    line = guarded.policy.trigger_wad
    if line < TRIGGER_MOST_WAD:
        return []
    why = f"trigger is {health_text(line)}: on GMX health is near 1 + 1 / leverage, so any position of more"
    why += f" than {WAD / (line - WAD):.2f} times its margin would be closed; 1.05 is a move of about 5 %"
    return [_Said(code="policy_measure", why=why)]


def _spread(slot: Slot | None) -> list[_Said]:
    """Prices at which nothing stands between a feed and the signed price that runs ahead of it."""
    if slot is None or slot.spread_bps:
        return []
    why = f"venues.{slot.name}.spread_bps is 0: GMX liquidates at signed prices, which run ahead of the feeds that we"
    why += " read; 30 sees a position so much earlier"
    return [_Said(code="spread_unset", why=why, severity=Severity.INFO)]


def _slot(site: Site, guarded: Guarded) -> Slot | None:
    venue = site.venues.get(guarded.venue_id)
    return venue.slot if isinstance(venue, GmxV2) else None


def _grant(position: Position, slot: Slot | None, snapshot: Snapshot) -> list[_Said]:
    assert position.perp is not None
    acting, now_s = position.perp.acting, snapshot.block.timestamp_s
    wallet, account = snapshot.means.wallet, position.id.account
    if not int(acting.subaccount, 16):
        return [_Said(code="no_subaccount", why="it is watched only: its venue names no subaccount")]
    who = f"{acting.subaccount}"
    if acting.bounds is None and wallet and wallet.lower() != who.lower() and not (slot and slot.executor):
        why = f"orders are to be given in the name of {who}, and the keeper's wallet is {wallet}"
        return [_Said(code="not_subaccount", why=why)]
    if slot is not None and slot.own:
        # nobody's leave is needed of the owner's own key; another account's orders it cannot give
        why = encode.not_account(slot, account)
        return [] if acting.allowed else [_Said(code="not_account", why=why)]
    if not acting.allowed:
        if slot is not None and wallet.lower() == account.lower() == who.lower():
            return [_Said(code="own_account", why=_exchange(slot))]
        return [
            _Said(code="grant_missing", why=f"the owner has not added {who}: `keeper grant --subaccount`")
        ]
    said = []
    if acting.until_s < now_s:
        said.append(_Said(code="grant_expired", why=f"the owner's grant to {who} ended at {acting.until_s}"))
    elif acting.until_s < now_s + ENDS_SOON_S:
        soon = (
            f"the owner's grant to {who} ends at {acting.until_s}, in {(acting.until_s - now_s) // 86_400} d"
        )
        said.append(_Said(code="grant_ends", why=soon, severity=Severity.WARNING))
    if acting.actions_left <= 0:
        said.append(_Said(code="grant_spent", why=f"the owner's grant to {who} has no action left"))
    elif acting.actions_left < ACTIONS_LEAST:
        few = f"{acting.actions_left} actions are left of the owner's grant to {who}: a night may take more"
        said.append(_Said(code="grant_low", why=few, severity=Severity.WARNING))
    return said


def _exchange(slot: Slot) -> str:
    """What a keeper that runs with the owner's own key names in the SubaccountRouter's stead."""
    known = deployments.exchange(slot.chain_id)
    where = f' = "{known}"' if known else ": GMX's ExchangeRouter"
    why = (
        f"the account is the keeper's own wallet, no subaccount of itself: write venues.{slot.name}.provider"
    )
    return f"{why}{where}, through which the account itself orders"


def _venue(perp: Perp, snapshot: Snapshot) -> list[_Said]:
    said = []
    if perp.disabled:
        said.append(
            _Said(code="market_disabled", why="GMX has disabled its market: no order is executed there")
        )
    most = max(_fee_wei(perp, snapshot, 1), 1)
    if snapshot.means.wallet and snapshot.means.native_wei < most:
        held = f"{snapshot.means.native_wei / WAD:.6f}"
        why = f"the wallet holds {held} native, the execution of one order costs {most / WAD:.6f} today"
        said.append(_Said(code="fee_short", why=why))
    return said


def _executor(perp: Perp, bounds: OrderBounds, guarded: Guarded, snapshot: Snapshot) -> list[_Said]:
    no = perp_rules.admits(bounds, snapshot.means.wallet)
    said = [_Said(code=no.code, why=no.why)] if no is not None else []
    if bounds.expiry_s and bounds.expiry_s < bounds.timestamp_s:
        said.append(_Said(code="grant_expired", why=f"the Executor's terms ended at {bounds.expiry_s}"))
    if bounds.price is None and bounds.expiry_s:
        said.append(_Said(code="no_price", why="the feeds that the Executor judges by are old, or broken"))
    if bounds.expiry_s and bounds.fee_wei_max < (storm := _fee_wei(perp, snapshot, STORM_TIMES)):
        costs = f"which costs {storm} at {STORM_TIMES} times"
        why = f"the Executor pays {bounds.fee_wei_max} wei for an execution, {costs}"
        said.append(
            _Said(code="fee_cap", why=f"{why} today's base fee: raise feeMax", severity=Severity.WARNING)
        )
    if STOP in guarded.policy.strategies and perp.stop is None:
        why = f"the policy names {STOP}, and {OWNERS}; until then nothing protects while we are dead"
        said.append(_Said(code="stop_not_supported", why=why, severity=Severity.WARNING))
    return said + (_late(perp, bounds, guarded) if bounds.expiry_s else [])


def _late(perp: Perp, bounds: OrderBounds, guarded: Guarded) -> list[_Said]:
    """Whether the Executor would refuse at the price at which the policy wants to act, with what is owed today."""
    needed = perp_need.least_trigger(perp, guarded.policy.trigger_wad)
    if bounds.trigger_ppm >= needed + NEAR_PPM:
        return []
    by_feeds = f"its equity by the feeds is then {needed} ppm of its size"
    why = f"the Executor acts below {bounds.trigger_ppm} ppm; at the policy's trigger {by_feeds}"
    then = "grant it anew: `keeper grant --subaccount --deploy` computes it from the position as it is"
    if bounds.trigger_ppm >= needed:
        soon = f"{why}, and more with every hour that it owes: {then}"
        return [_Said(code="late_trigger", why=soon, severity=Severity.WARNING)]
    return [_Said(code="late_trigger", why=f"{why}: it would refuse the first rescue; {then}")]


def _fee_wei(perp: Perp, snapshot: Snapshot, times: int) -> int:
    gas = max(perp.increase_gas, perp.decrease_gas)
    return gas * (FEE_TIMES * times * snapshot.block.base_fee_wei + FEE_TIPS * snapshot.means.tip_wei)
