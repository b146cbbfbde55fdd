"""What ``keeper check`` finds about the owners' Executors: named before the night in which they are needed."""

from __future__ import annotations

from keeper.config import Settings
from keeper.daemon.facts import Guarded
from keeper.daemon.stops import RECHECKED
from keeper.daemon.tank import RESCUES, tank_of
from keeper.daemon.wiring import Finding, Site
from keeper.executor import rules
from keeper.executor.errors import code_of, words_of
from keeper.executor.grants import MARGIN_MIN_WAD, sells_by_rungs
from keeper.executor.rules import Moment
from keeper.executor.seat import Seated
from keeper.model import Mandate, Means, Policy, Position, Refusal, Side, Snapshot
from keeper.phrases import amount_text, health_text
from keeper.seams import Severity
from keeper.sizing import debt_base_up, sell_base_up, units_up
from keeper.units import WAD, decimal_text

STRATEGY = "deleverage"
REDUCES = frozenset({"exposure_limits", "depeg_playbook", "floor"})
SELLS = frozenset({STRATEGY, "close_position", "trailing_stop", "take_profit"}) | REDUCES
ORDERS = frozenset({"reduce_perp", "close_perp", "stop_on_venue"})
"""What closes a perpetual position by an order: without an Executor, and never on one endpoint's word."""
PAYS = {"repay_from_reserve": Side.DEBT, "supply_from_reserve": Side.COLLATERAL}
ENDS_SOON_S = 14 * 86_400
LOSS_WAD = WAD // 50
"""Share lost in a sale, assumed where the need of a grant is told."""
UNLIMITED = 2**128
FAR_BLOCK = 2**63
RUNG_SLACK_WAD = WAD // 10**6
"""Two roundings lie between a rung and what the chain says of it."""
ENDPOINTS_MIN = 2
STORMS = 2
"""Rescues in so many crashes may wait in the tank; what is above is no use to anybody but a thief."""


def findings(site: Site, settings: Settings, snapshot: Snapshot) -> list[Finding]:
    """Of every guarded position that names an Executor, or whose policy would sell through one."""
    named = {p.account: p.executor for p in settings.positions if p.executor}
    found: list[Finding] = []
    for guarded in site.guarded:
        found += _alone(site, guarded)
        uses = [s for s in guarded.policy.strategies if s in SELLS or s in PAYS]
        if guarded.id.account not in named:
            if uses:
                why = f"the policy names {', '.join(uses)}, the position no executor: none of it can be done"
                found.append(_bad(Severity.WARNING, "no_executor", guarded, why))
            continue
        if not uses:
            why = f"the position names an executor, its policy not {STRATEGY}: it is never used"
            found.append(_bad(Severity.WARNING, "executor_unused", guarded, why))
        found += _of(site, guarded, snapshot)
    if not any(named.get(g.id.account) for g in site.guarded):
        return found
    return found + _hot_key(snapshot.means) + _hot_gas(site, snapshot)


def _hot_key(means: Means) -> list[Finding]:
    """Money that a stolen key could take: with an Executor none of it need lie there."""
    held = [amount_text(a) for a in means.balances if a.units]
    if not held:
        return []
    why = (
        f"the hot key holds {', '.join(held)} besides gas: put it into the Executor, or let its owner grant it, and "
        "name repay_from_reserve and supply_from_reserve instead of repay and add_collateral"
    )
    return [Finding(severity=Severity.WARNING, code="hot_key", subject=means.wallet, why=why)]


def _hot_gas(site: Site, snapshot: Snapshot) -> list[Finding]:
    """Gas that no night needs is money that a stolen key could take."""
    means = snapshot.means
    tank = tank_of(snapshot, site.venues.values(), site.chain.storm_gwei)
    most_wei = STORMS * tank.storm_wei
    if means.native_wei <= most_wei:
        return []
    why = (
        f"the hot key holds {means.native_wei / WAD:.6f} native for gas, twice what {RESCUES} rescues cost at "
        f"{site.chain.storm_gwei:g} gwei (storm_gwei) is {most_wei / WAD:.6f}: send the rest away, a thief takes all"
    )
    return [Finding(severity=Severity.WARNING, code="hot_key_gas", subject=means.wallet, why=why)]


def can_sell(means: Means, guarded: Guarded) -> bool:
    """Whether an Executor stands ready to sell or to pay in, so that the wallet need not suffice."""
    mandate = means.mandate(guarded.id)
    if mandate is None or _stopped(mandate):
        return False
    named = guarded.policy.strategies
    sells = STRATEGY in named and any(a.granted for a in mandate.assets if a.side is Side.COLLATERAL)
    pays = any(a.funds and a.fund_cap for name in named for a in mandate.assets if a.side is PAYS.get(name))
    return sells or pays


def _alone(site: Site, guarded: Guarded) -> list[Finding]:
    """What one endpoint alone can never say yes to, whoever would do it: all that sells, but for what the Executor
    asks the protocol again before it sells."""
    idle = [s for s in guarded.policy.strategies if s in (SELLS | ORDERS) - RECHECKED]
    if not idle or len(site.chain.endpoints) >= ENDPOINTS_MIN:
        return []
    why = f"{', '.join(idle)}: what no contract holds to its reason needs the word of two endpoints, and one is "
    why += "configured: by these nothing is sold, reduced or closed, and no stop is placed"
    return [_bad(Severity.CRITICAL, "quorum", guarded, why)]


def _of(site: Site, guarded: Guarded, snapshot: Snapshot) -> list[Finding]:
    found: list[Finding] = []
    sells = not SELLS.isdisjoint(guarded.policy.strategies)
    if sells and site.chain.uniswap_quoter is None:
        why = "no Uniswap quoter is known on this chain: nothing is sold; set chains.uniswap_quoter"
        found.append(_bad(Severity.CRITICAL, "no_quoter", guarded, why))
    mandate = snapshot.means.mandate(guarded.id)
    if mandate is None:
        return [*found, _bad(Severity.CRITICAL, "executor", guarded, "its executor could not be read")]
    stopped = _stopped(mandate)
    if stopped is not None:
        return [*found, _bad(Severity.CRITICAL, stopped.code, guarded, f"executor: {stopped.why}")]
    found += [
        _bad(severity, "executor_terms", guarded, why) for severity, why in _terms(mandate, guarded.policy)
    ]
    if sells:
        found += [
            _bad(Severity.WARNING, "executor_terms", guarded, why)
            for why in (*_uncovered(site, guarded, snapshot), *_rungs(site, mandate, guarded))
        ]
    found += _lead(mandate, guarded) if sells else []
    left_s = min(mandate.terms.expiry_s, mandate.bot_expiry_s) - mandate.timestamp_s
    if left_s < ENDS_SOON_S:
        why = f"what the owner allows the executor ends in {left_s / 86_400:.0f} days: renew it"
        found.append(_bad(Severity.WARNING, "grant_expiring", guarded, why))
    found += _reserves(mandate, guarded)
    found += _shots(mandate, guarded)
    found += _routers(mandate, guarded) if sells else []
    position = snapshot.position(guarded.id)
    if not sells or position is None or not position.debt:
        return found
    venue = site.venues[guarded.venue_id]
    whole = isinstance(venue, Seated) and venue.seat(guarded.id.account).permit is not None
    # a protocol that knows no smaller grant: the Executor's own caps are the bound, as docs/TRUST.md says
    return found + [
        f for f in _grants(mandate, position, guarded) if not (whole and f.code == "grant_unlimited")
    ]


def _routers(mandate: Mandate, guarded: Guarded) -> list[Finding]:
    """A router that the configuration names and the owner does not: what needs it is never done."""
    why = (
        "the executor's owner has not allowed it: no sale goes through it (two pools in a row, splits over pools, an "
        "aggregator's offers); `keeper grant --executor` prints what is signed"
    )
    return [
        _bad(Severity.WARNING, "router_not_allowed", guarded, f"router {router}: {why}")
        for router in mandate.routers_refused
    ]


def _reserves(mandate: Mandate, guarded: Guarded) -> list[Finding]:
    """A strategy that pays in from a reserve which is empty."""
    empty = [
        name
        for name, side in PAYS.items()
        if name in guarded.policy.strategies
        and not any(min(a.funds, a.fund_cap) for a in mandate.assets if a.side is side)
    ]
    why = "neither the Executor's reserve nor its owner's grant holds anything that it may pay in"
    return [_bad(Severity.WARNING, "empty_reserve", guarded, f"{name}: {why}") for name in empty]


def _shots(mandate: Mandate, guarded: Guarded) -> list[Finding]:
    """A sale that may be done so often, beside pay-ins that the same number on chain counts."""
    times, pays = guarded.policy.deleverage_times, [n for n in PAYS if n in guarded.policy.strategies]
    if not times or not pays or STRATEGY not in guarded.policy.strategies:
        return []
    why = (
        f"deleverage_times = {times} counts every action of the Executor ({mandate.terms.seq} so far), each of "
        f"{', '.join(pays)} too: a pay-in uses a sale up; set it to 0, or take the pay-ins out and raise it by hand"
    )
    return [_bad(Severity.WARNING, "one_shot_pay_ins", guarded, why)]


def _lead(mandate: Mandate, guarded: Guarded) -> list[Finding]:
    """Where sales are sized for the price of the moment, or for worse ones than the Executor lets them be sold at."""
    lead_bps, slippage_bps = guarded.policy.lead_bps, mandate.terms.slippage_bps
    if not lead_bps and STRATEGY in guarded.policy.strategies:
        why = (
            "lead_pct is 0: a sale is sized for the price that it saw, and a fall that goes on undoes it before it "
            "is included. In replays of three fast falls 32 of 227 accounts that could have been saved went so, none "
            "with half an ordinary day's move (2 for ether against dollars), which `keeper init` writes"
        )
        return [_bad(Severity.INFO, "lead_unset", guarded, why)]
    if lead_bps < slippage_bps:
        return []
    why = (
        f"lead_pct sizes a sale for prices {lead_bps / 100:g} % worse, and the executor lets it bring no more than "
        f"{slippage_bps / 100:g} % less than the oracle's: a faster fall undoes it. keeper grant --executor "
        f"{guarded.label} --slippage 3 allows what the replays stand on"
    )
    return [_bad(Severity.INFO, "executor_terms", guarded, why)]


def _stopped(mandate: Mandate) -> Refusal | None:
    """Why the Executor would take nothing, whatever the health: paused, not a bot, unknown, expired."""
    at = Moment(block_number=FAR_BLOCK, timestamp_s=mandate.timestamp_s, health_wad=0)
    fault = rules.admits(mandate, mandate.terms.seq, mandate.timestamp_s, at)
    if fault is None or fault.name == "NotTriggered":
        return None
    return Refusal(who="executor", code=code_of(fault), why=words_of(fault))


def _terms(mandate: Mandate, policy: Policy) -> list[tuple[Severity, str]]:
    """Where the policy here and the terms on chain pull apart."""
    terms, found = mandate.terms, list[tuple[Severity, str]]()
    pairs: tuple[tuple[bool, Severity, str, int, str, int, str], ...] = (
        (policy.target_wad <= terms.trigger_wad, Severity.CRITICAL, "target", policy.target_wad, "trigger",
         terms.trigger_wad, "a rescue would leave it where it may be sold for again"),
        (policy.max_health_wad < terms.target_wad, Severity.CRITICAL, "max_health", policy.max_health_wad, "target",
         terms.target_wad, "no sale can satisfy both"),
        (terms.max_wad < policy.target_wad, Severity.CRITICAL, "target", policy.target_wad, "max", terms.max_wad,
         "no sale can satisfy both"),
        (terms.trigger_wad < policy.trigger_wad, Severity.WARNING, "trigger", policy.trigger_wad, "trigger",
         terms.trigger_wad, "between the two nothing is sold"),
    )  # fmt: skip
    if policy.close_above_trigger or policy.reduce_above_trigger:
        why = "what the policy sells above trigger is refused on chain at a health from the executor's trigger on"
        unreached = (terms.trigger_wad <= policy.target_wad, Severity.WARNING, "target", policy.target_wad,
                     "trigger", terms.trigger_wad, why)  # fmt: skip
        # what leaves no debt has no target to satisfy
        pairs = (unreached, *(pairs if _restores(policy) else pairs[3:]))
    for wrong, severity, ours, ours_wad, theirs, theirs_wad, so in pairs:
        if wrong:
            text = f"policy {ours} {health_text(ours_wad)}, executor {theirs} {health_text(theirs_wad)}: {so}"
            found.append((severity, text))
    return found


def _rungs(site: Site, mandate: Mandate, guarded: Guarded) -> list[str]:
    """A ladder whose rungs no sale stops at, because the Executor's own target lies above them."""
    policy, own = guarded.policy, mandate.terms.target_wad
    rung = policy.trigger_wad + max(policy.hysteresis_wad, MARGIN_MIN_WAD)
    if not sells_by_rungs(policy) or own <= rung + RUNG_SLACK_WAD:
        return []
    venue = site.venues[guarded.venue_id]
    lag = venue.seat(guarded.id.account).lag if isinstance(venue, Seated) else (1, 1)
    why = (
        "it acts ahead of the next price in the room between trigger and target, which a rung would take away: the "
        "ladder is for repayments and top-ups here"
        if lag[0] < lag[1]
        else "the contract takes no sale that ends below its target; `keeper grant --executor` signs the lowest rung"
    )
    return [
        f"policy ladder from {health_text(rung)}, executor target {health_text(own)}: above emergency no sale stops "
        f"on a rung below that: {why}"
    ]


def _restores(policy: Policy) -> bool:
    """Whether anything of the policy goes to a target through the Executor."""
    return any(name == STRATEGY or name in PAYS for name in policy.strategies)


def _uncovered(site: Site, guarded: Guarded, snapshot: Snapshot) -> list[str]:
    """Where collateral leaves by stricter factors than health counts by: a target that no sale can end at."""
    position, venue = snapshot.position(guarded.id), site.venues[guarded.venue_id]
    for held in position.collateral if position is not None else ():
        reserve = snapshot.means.reserve(venue.id, held.amount.token)
        factor = reserve.borrow_factor_wad if reserve is not None else None
        if not factor or not held.threshold_wad:
            continue
        least = -(-held.threshold_wad * WAD // factor)
        if guarded.policy.target_wad < least:
            symbol, target = held.amount.token.symbol, health_text(guarded.policy.target_wad)
            return [
                f"policy target {target}: {symbol} leaves the market only while the rest covers the debt by its "
                f"borrow factor, which is health {health_text(least)}; below that every sale is refused"
            ]
    return []


def _grants(mandate: Mandate, position: Position, guarded: Guarded) -> list[Finding]:
    """Listed tokens, and the grant against what a sale at emergency health would take."""
    found: list[Finding] = []
    sellable = [
        h for h in position.collateral if h.threshold_wad and mandate.asset(h.amount.token, Side.COLLATERAL)
    ]
    if not sellable or not any(mandate.asset(h.amount.token, Side.DEBT) for h in position.debt):
        why = "the executor does not list both a collateral and a debt of the position: nothing can be sold"
        return [_bad(Severity.CRITICAL, "unknown_asset", guarded, why)]
    owed = debt_base_up(position)
    reaches = False
    for holding in sellable:
        token = holding.amount.token
        listed = mandate.asset(token, Side.COLLATERAL)
        assert listed is not None  # chosen by it
        if listed.granted > UNLIMITED:
            why = f"the owner lets the executor take {token.symbol} without limit: a finite grant bounds every loss"
            found.append(_bad(Severity.WARNING, "grant_unlimited", guarded, why))
        goal = max(guarded.policy.target_wad, mandate.terms.target_wad)
        sell = sell_base_up(
            owed * guarded.policy.emergency_wad, owed, goal, holding.threshold_wad, (LOSS_WAD, 0)
        )
        if isinstance(sell, Refusal) or not holding.price_base:
            continue
        need = units_up(sell, holding.price_base, token.decimals)
        have = min(
            listed.granted, rules.sell_room(mandate, listed, mandate.timestamp_s), holding.amount.units
        )
        reaches = reaches or have >= need
        if have < need:
            wanted, there = decimal_text(need, token.decimals), decimal_text(have, token.decimals)
            why = f"from emergency back to target sells {wanted} {token.symbol}; grant, cap and position "
            why += f"leave {there}"
            code = "no_grant" if listed.granted == 0 else "grant_too_small"
            found.append(_bad(Severity.WARNING, code, guarded, why))
    return [f for f in found if not (reaches and f.code in ("no_grant", "grant_too_small"))]


def _bad(severity: Severity, code: str, guarded: Guarded, why: str) -> Finding:
    return Finding(severity=severity, code=code, subject=guarded.label, why=why)
