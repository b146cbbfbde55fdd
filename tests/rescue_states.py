"""Random positions below their trigger, each rescued every way through its owner's Executor, on a chain."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from anvil.abi import encode_call
from anvil.client import Reverted
from keeper.decision import plain_outlook
from keeper.executor.desk import Desk
from keeper.model import Caps, Policy, Proposal
from keeper.seams import Strategy
from keeper.units import UINT256_MAX, WAD
from keeper.venues.maker import Maker
from strategies.add_collateral import AddCollateral
from strategies.deleverage import Deleverage
from strategies.pay_in import RepayFromReserve, SupplyFromReserve
from strategies.repay import RepayFromWallet
from tests import build
from tests.venue_executor_stage import Ground, VenueExecutor

WAYS: tuple[Strategy, ...] = (Deleverage(), SupplyFromReserve(), RepayFromReserve())
"""Through the owner's Executor."""
WALLET: tuple[Strategy, ...] = (AddCollateral(), RepayFromWallet())
"""From the keeper's own means, which need no grant of the owner's."""
DAY_S = 86_400
COOLED = 6
PPM = 10
"""What a promise may miss: interest until inclusion, and rounding."""
FACTOR = {
    "aave_v3": 0.83,
    "aave_v3_0": 0.83,
    "aave_v3_2": 0.83,
    "morpho_blue": 0.86,
    "compound_v3": 0.90,
    "maker": 1 / 1.45,
}
SIZES = {"maker": (1.4, 2.0)}
"""Powers of ten of ether, where it is not 0 to 1.1: a vault owes nothing or at least 7,500 Dai."""


@dataclass(slots=True, kw_only=True)
class Rescued:
    """What became of the states."""

    done: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    gas: dict[str, list[int]] = field(default_factory=dict)
    """By way, of each rescue."""


def rescued(
    ground: Ground, kind: str, count: int, *, seed: int, ways: tuple[Strategy, ...] = WAYS
) -> Rescued:
    """``count`` random states: size, idle time and fall; the owner's wallet is empty in each."""
    rng, found = random.Random(f"{kind}:{seed}"), Rescued()
    stage = VenueExecutor(ground, kind, ground.deployment.roles.actors[0])
    stage.configure(stage.terms(expiry_s=stage.now_s() + 390 * DAY_S))
    stage.authorise()
    ground.oracles(3_000)
    for symbol, units in ((stage.owes, _dollars(stage, 10**12)), ("WETH", 10**20)):
        stage.actors.mint(symbol, stage.executor, units)
        stage.actors.mint(symbol, stage.bot, units)
        spender = stage.reader.venue.spender
        stage.chain.send(stage.bot, stage.token(symbol), "approve(address,uint256)", spender, units)
    for n in range(count):
        start = ground.chain.snapshot()
        _state(stage, rng)
        desk = stage.desk()
        for way in ways:
            before = ground.chain.snapshot()
            _rescue(stage, desk, way, found, f"{kind} state {n}")
            ground.chain.revert(before)
        ground.chain.revert(start)
    return found


def _state(stage: VenueExecutor, rng: random.Random) -> None:
    chain, factor = stage.chain, FACTOR[stage.kind]
    weth = int(WAD * 10 ** rng.uniform(*SIZES.get(stage.kind, (0, 1.1)))) | 1
    usdc = int(weth * rng.uniform(1_600, 2_600) * factor / WAD * 10**6)
    stage.borrow(weth, usdc)
    chain.mine(chain.block().timestamp_s + rng.choice((1, rng.randint(1, 200 * DAY_S))))
    chain.rpc("anvil_mine", hex(COOLED))
    now = stage.now()
    owed, held = now.debt[0].amount.units, now.collateral[0].amount.units
    usd = rng.uniform(1.002, 1.19) * owed / _dollars(stage, 1) / (held / WAD * factor)
    stage.ground.oracles(usd)
    stage.trade_to("WETH", stage.owes, 500, usd * rng.uniform(0.998, 1.01))
    if isinstance(stage.reader.venue, Maker):
        # the next hour's price may be a little lower: it counts here, and not yet in the Vat
        stage.reader.venue.foreseen_wad = int(usd * 10**6 * rng.uniform(0.995, 1.003)) * 10**12


def _dollars(stage: VenueExecutor, whole: int) -> int:
    """So many dollars in units of what is lent."""
    return whole * 10 ** (18 if stage.owes == "DAI" else 6)


def policy() -> Policy:
    """For ETH against dollars; caps that bind nobody."""
    caps = Caps(per_action_usd=10**9, per_day_usd=10**9, gas_usd_max=100, gas_usd_emergency=500)
    return build.policy(trigger="1.25", target="1.40", max_health="1.60", caps=caps)


def _rescue(stage: VenueExecutor, desk: Desk, way: Strategy, found: Rescued, label: str) -> None:
    shot, venue, terms = stage.snapshot(desk), stage.reader.venue, policy()
    (position,) = shot.positions
    outlook = plain_outlook(position, terms, "")
    said = way.propose(position, outlook, terms, shot.means, venue, shot.block)
    if not isinstance(said, Proposal):
        found.refused.append(f"{label}: {way.name}: {said.code}: {said.why}")
        return
    held = _kept(stage)
    try:
        receipt = stage.sends(venue.encode(said.steps[0], position))
    except Reverted as reverted:
        found.wrong.append(f"{label}: {way.name} reverted: {reverted}")
        return
    used = int(receipt["gasUsed"], 16)
    found.gas.setdefault(way.name, []).append(used)
    if used > venue.gas(said.steps[0]):
        found.wrong.append(f"{label}: {way.name} used {used} gas, promised {venue.gas(said.steps[0])}")
    after = stage.health()
    if after < said.health_after_wad * (10**6 - PPM) // 10**6 or after < terms.target_wad:
        found.wrong.append(f"{label}: {way.name}: {after} < promised {said.health_after_wad}")
    # a rest that would be dust is paid as well: without debt there is no most
    if after > terms.max_health_wad and after != UINT256_MAX:
        found.wrong.append(f"{label}: {way.name}: {after} is above max")
    left = _kept(stage)
    if way.name == "deleverage" and left != held:
        found.wrong.append(f"{label}: {way.name} left {left} of {held} behind")
    found.done[way.name] += 1


def _kept(stage: VenueExecutor) -> list[int]:
    """What the Executor holds of both tokens, and lets protocol and pools take: in one request, there are many."""
    tokens, spenders = (
        [stage.token(s) for s in ("WETH", stage.owes)],
        [stage.reader.venue.spender, stage.market.pool],
    )
    asked = [(t, encode_call("balanceOf(address)", stage.executor)) for t in tokens]
    asked += [
        (t, encode_call("allowance(address,address)", stage.executor, s)) for t in tokens for s in spenders
    ]
    calls = [("eth_call", ({"to": to, "data": "0x" + data.hex()}, "latest")) for to, data in asked]
    return [int(answer, 16) for answer in stage.chain.batch(calls)]
