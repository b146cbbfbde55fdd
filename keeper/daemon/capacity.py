"""What the night could do for each position after a fall: pools and lenders joined to the capacity room."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.capacity import Reach, Scene, Stress, case_of, reach, stressed
from keeper.config import ChainSettings
from keeper.daemon.building import DAY_S
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Guarded
from keeper.executor import depth, quotes
from keeper.executor.desk import Desk
from keeper.executor.quotes import Way
from keeper.executor.splits import splits
from keeper.executor.ticks import Pool
from keeper.journal.read import Queries
from keeper.model import Lender, Position, PositionId, Route, Shock, Snapshot
from keeper.phrases import health_text
from keeper.risk import shocks
from keeper.risk.stake import position_loss_usd
from keeper.seams import Alarm, Severity, Venue
from keeper.sizing import owed_up
from keeper.transaction.fees_urgency import cap_wei, money_cap_usd
from keeper.triggers import gas_cap_usd
from keeper.units import BPS, GWEI, RAY, mul_div_up

CODE = "capacity"
PPM = 1_000_000
FALLS = (-0.20, -0.35, -0.50)
DEPEG_DOWN = Shock(name="depeg", moves={"stable": -0.13, "lst": -0.065})
"""USDC at 0.87 on 11 March 2023, stETH at 0.94 in June 2022: what is held loses its peg."""
DEPEG_UP = Shock(name="depeg", moves={"stable": 0.10})
"""DAI at 1.10 on 12 March 2020: what is owed becomes dearer."""
ROOM_BPS = 10_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is read besides a snapshot, at its block."""

    snapshot: Snapshot
    chain: ChainSettings
    spent_usd: Mapping[PositionId, int]
    """What each position's cap of the day has let through already, as ``spent_usd`` gives it."""
    ways: tuple[Way, ...]
    pools: Mapping[str, Pool]
    lenders: tuple[Lender, ...]
    router: str = ""


def spent_usd(journal: Queries, now_s: float) -> Mapping[PositionId, int]:
    """USD that the last 24 hours let through for each position, as decision and guard count it."""
    return journal.spent_usd_each_since(now_s - DAY_S)


async def ground(
    chain: ChainSettings, camera: Camera, snapshot: Snapshot, spent: Mapping[PositionId, int]
) -> Ground:
    """Pools tick by tick, and lenders. Raises Transient."""
    desk = camera.supplement
    if not isinstance(desk, Desk):
        return Ground(snapshot=snapshot, chain=chain, spent_usd=spent, ways=(), pools={}, lenders=())
    read = camera.reader(snapshot.block)
    pools = await depth.read_pools([p for way in desk.ways for p in way.pools], read)
    asked = [(w, quotes.lender_calls(w)) for w in desk.windows]
    calls = [c for _, part in asked for c in part]
    lenders, at = list[Lender](), 0
    if calls:
        words = await read(calls)
        for window, part in asked:
            found = quotes.lender(window, words.part(at, at + len(part)))
            at += len(part)
            lenders += [found] if found is not None else []
    return Ground(
        snapshot=snapshot,
        chain=chain,
        spent_usd=spent,
        ways=desk.ways,
        pools=pools,
        lenders=tuple(lenders),
        router=desk.router,
    )


def stresses(snapshot: Snapshot) -> tuple[Stress, ...]:
    """The falls asked of every position, as factors on every feed that a reserve or a position names."""
    held = [h for p in snapshot.positions for h in (*p.collateral, *p.debt)]
    symbols = {h.feed: h.amount.token.symbol for h in held}
    symbols |= {r.feed: r.token.symbol for r in snapshot.means.reserves}
    falls = [
        _stress(f"{percent * 100:+.0f} %".replace("+", ""), symbols, fall, fall)
        for percent in FALLS
        for fall in shocks.ladder(shocks.ANY, (percent,))
    ]
    return (*falls, _stress("depeg", symbols, DEPEG_DOWN, DEPEG_UP))


def measure(found: Ground, guarded: Sequence[Guarded], venues: Mapping[str, Venue]) -> tuple[Reach, ...]:
    """One answer for each guarded position with debt and each stress, each position as if alone. Pure."""
    falls, positions = stresses(found.snapshot), found.snapshot.by_id()
    return tuple(
        _reach(found, g, venues[g.venue_id], position, fall)
        for g in guarded
        if (position := positions.get(g.id)) is not None and position.debt and g.venue_id in venues
        for fall in falls
    )


def say(reaches: Sequence[Reach], before: frozenset[str], alarm: Alarm) -> frozenset[str]:
    """Raise what is short, clear what was and is no longer; the subjects that are short now."""
    worst = {str(r.id): r for r in reversed(reaches) if r.short}
    for subject, r in worst.items():
        alarm.raise_alarm(Severity.WARNING, CODE, subject, told(r))
    read = {str(r.id) for r in reaches}
    for mended in (before & read) - worst.keys():
        alarm.clear(CODE, mended)
    return frozenset(worst) | (before - read)


def told(found: Reach) -> str:
    """One short capacity in words."""
    return (
        f"after {found.stress} it could not be brought back: health {health_text(found.before_wad)} would reach "
        f"{health_text(found.reached_wad)} of the {health_text(found.needs_wad)} wanted; {found.why}"
    )


async def look(
    around: tuple[ChainSettings, Camera, Mapping[str, Venue]],
    guarded: Sequence[Guarded],
    snapshot: Snapshot,
    spent: Mapping[PositionId, int],
) -> tuple[Reach, ...]:
    """Capacity as of a snapshot, after what was ``spent`` today, computed beside the loop. Raises Transient."""
    chain, camera, venues = around
    found = await ground(chain, camera, snapshot, spent)
    return await asyncio.to_thread(measure, found, tuple(guarded), dict(venues))


def _reach(found: Ground, guarded: Guarded, venue: Venue, position: Position, fall: Stress) -> Reach:
    means = found.snapshot.means
    there = stressed(position, fall)
    gas_wei = None
    price = _native_price(found, fall)
    if price:
        usd = money_cap_usd(
            gas_cap_usd(there.health_wad, guarded.policy),
            position_loss_usd(there),
            guarded.policy.caps.gas_loss_pct,
            emergency=(there.health_wad or 0) < guarded.policy.emergency_wad,
        )
        gas_wei = cap_wei(usd, price, means.native_price_decimals)
    scene = Scene(
        position=there,
        policy=guarded.policy,
        means=replace(means, routes=_routes(found, there, fall), lenders=found.lenders),
        venue=venue,
        storm_wei=int(found.chain.storm_gwei * GWEI),
        gas_wei_max=gas_wei,
        spent_today_usd=found.spent_usd.get(there.id, 0),
    )
    return replace(reach(case_of(scene)), stress=fall.name)


def _routes(found: Ground, there: Position, fall: Stress) -> tuple[Route, ...]:
    mandate = found.snapshot.means.mandate(there.id)
    if mandate is None:
        return ()
    prices, owed = _prices(found, there, fall), {h.amount.token: h.amount.units for h in there.debt}
    held = {h.amount.token for h in there.collateral}
    routes = [
        depth.curve(way, found.pools, prices, mul_div_up(owed_up(owed[way.buy], RAY), ROOM_BPS, BPS))
        for way in found.ways
        if way.executor == mandate.executor and way.sell in held and way.buy in owed
    ]
    single = [r for r in routes if r is not None]
    return (*single, *splits(single, mandate.routers, found.router))


def _prices(found: Ground, there: Position, fall: Stress) -> depth.Prices:
    """What each token is worth after the fall; pools are taken to have followed."""
    base, units = dict[str, int](), dict[str, int]()
    for r in found.snapshot.means.reserves:
        base[r.token.address] = r.price_base * fall.factors_ppm.get(r.feed, PPM) // PPM
        units[r.token.address] = 10**r.token.decimals
    for h in (*there.collateral, *there.debt):
        base[h.amount.token.address] = h.price_base
        units[h.amount.token.address] = 10**h.amount.token.decimals
    return depth.Prices(base=base, units=units)


def _native_price(found: Ground, fall: Stress) -> int:
    means = found.snapshot.means
    feed = next((r.feed for r in means.reserves if r.token.address == found.chain.native_token), "")
    return (means.native_price_base or 0) * fall.factors_ppm.get(feed, PPM) // PPM


def _stress(name: str, symbols: Mapping[str, str], held: Shock, owed: Shock) -> Stress:
    return Stress(name=name, factors_ppm=_factors(held, symbols), debt_factors_ppm=_factors(owed, symbols))


def _factors(shock: Shock, symbols: Mapping[str, str]) -> dict[str, int]:
    moves = shocks.for_feeds(shock, symbols).moves
    return {feed: round((1.0 + move) * PPM) for feed, move in moves.items()}
