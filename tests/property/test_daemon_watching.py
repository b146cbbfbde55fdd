"""Kept outlooks: levels and whys equal those of judging everybody, block by block, whatever changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.daemon.judging import outlooks_of
from keeper.daemon.watching import AGE_BLOCKS_MAX, Watching
from keeper.model import (
    WHOLE_BPS_AVERAGE,
    Holding,
    Level,
    Outlook,
    Policy,
    Position,
    PositionId,
    Shock,
    Unreadable,
)
from keeper.risk.outlook import assess
from keeper.units import WAD
from tests import build
from tests.unit.risk.risk_positions import Held, identity, lending, policy

pytestmark = pytest.mark.property

SHOCKS = (Shock(name="fall", moves={"ETH": -0.3}),)
SYMBOLS = ("ETH", "BTC", "USDC")


class Market:
    """Prices, indices and stored balances that a test moves."""

    def __init__(self, users: int, seed: int, floored: int = 0) -> None:
        """``floored``: every so many positions is of a pool that floors its average threshold; 0 is none."""
        self.floored = floored
        self.rng = np.random.default_rng(seed)
        self.price = {"ETH": 2000.0, "BTC": 60_000.0, "USDC": 1.0}
        self.index = {(s, side): 1.0 + 0.1 * n for n, s in enumerate(SYMBOLS) for side in ("own", "owe")}
        self.own = [{"ETH": float(x), "BTC": float(y)} for x, y in self.rng.uniform(0.5, 5.0, (users, 2))]
        worth = [0.8 * sum(self.price[s] * t for s, t in held.items()) for held in self.own]
        health = self.rng.choice([0.9, 1.05, 1.2, 1.4, 1.8, 2.5, 6.0, math.inf], users)
        self.owe = [{"USDC": w / h} for w, h in zip(worth, health, strict=True)]
        self.threshold = [0.8] * users
        self.policy = [policy() for _ in range(users)]
        self.lie: dict[int, float] = {}

    def positions(self) -> tuple[Position, ...]:
        return tuple(self._one(u) for u in range(len(self.own)))

    def policies(self) -> dict[PositionId, Policy]:
        return {p.id: self.policy[u] for u, p in enumerate(self.positions())}

    def _one(self, u: int) -> Position:
        own = [self._held(s, "own", t, self.threshold[u]) for s, t in self.own[u].items()]
        owe = [self._held(s, "owe", t, 1.0) for s, t in self.owe[u].items() if t]
        made = lending(own, owe, name=f"0x{u}")
        if self.floored and u % self.floored == 0:
            made = floor_average(made)
        wad = made.health_wad
        if u in self.lie and wad is not None:
            wad = int(wad * self.lie[u])
        return replace(
            made,
            health_wad=wad,
            collateral=tuple(self._stored(h, self.own[u]) for h in made.collateral),
            debt=tuple(self._stored(h, self.owe[u]) for h in made.debt),
        )

    def _held(self, symbol: str, side: str, stored: float, threshold: float) -> Held:
        tokens = stored * self.index[symbol, side]
        return Held(symbol=symbol, tokens=tokens, price=self.price[symbol], threshold=threshold)

    def _stored(self, holding: Holding, held: Mapping[str, float]) -> Holding:
        return replace(holding, stored=int(held[holding.feed] * 10**18))

    def block(self, vol: float) -> None:
        for s in SYMBOLS[:2]:
            self.price[s] = float(self.price[s] * math.exp(self.rng.normal(0.0, vol)))
        for key in self.index:
            self.index[key] *= 1.0 + 2e-8


def floor_average(position: Position) -> Position:
    """The position as Aave v3.0 tells it: percentMul(C, floor(S / C in bps)) / D, and flagged."""
    collateral = sum(Fraction(h.amount.units) * h.price_base for h in position.collateral)
    weighted = sum(
        Fraction(h.amount.units) * h.price_base * h.threshold_wad / WAD for h in position.collateral
    )
    owed = sum(Fraction(h.amount.units) * h.price_base for h in position.debt)
    if not (owed and collateral):
        return replace(position, row=replace(position.row, flags=(WHOLE_BPS_AVERAGE,)))
    bps = int(weighted * 10_000 / collateral)
    health_wad = int(collateral * bps * WAD / 10_000 / owed)
    return replace(position, health_wad=health_wad, row=replace(position.row, flags=(WHOLE_BPS_AVERAGE,)))


def judged(
    watching: Watching, market: Market, prices: Mapping[str, float]
) -> tuple[dict[PositionId, Outlook], list[PositionId]]:
    split = watching.split(market.positions(), prices, SHOCKS, market.policies())
    fresh = assess(split.due, (), prices, SHOCKS, market.policies())
    watching.keep(fresh)
    return {**split.kept, **{o.id: o for o in fresh}}, [p.id for p in split.due]


def compare(found: Mapping[PositionId, Outlook], full: Sequence[Outlook]) -> None:
    assert {id: (o.level, o.why) for id, o in found.items()} == {o.id: (o.level, o.why) for o in full}
    for o in full:
        kept = found[o.id]
        if o.health is None or kept.health is None:
            assert kept.health == o.health
        else:
            assert kept.health == pytest.approx(o.health, rel=1e-12)
        assert kept.margin_usd == pytest.approx(o.margin_usd, rel=1e-9, abs=1e-6)


def disturb(market: Market, block: int) -> int | None:
    """One change of every kind now and then; whose own balance, mode or policy changed."""
    u = int(market.rng.integers(len(market.own)))
    kind = block % 9
    if kind == 1:
        market.owe[u]["USDC"] *= float(market.rng.uniform(0.5, 3.0))
    elif kind == 3:
        market.own[u]["ETH"] *= float(market.rng.uniform(0.2, 1.5))
    elif kind == 4:
        market.threshold[u] = float(market.rng.choice([0.5, 0.8, 0.93]))
    elif kind == 5:
        market.policy[u] = policy(warn=float(market.rng.choice([1.4, 2.0, 3.0])))
    elif kind == 6:
        market.lie[u] = float(market.rng.choice([1.0 + 3e-6, 0.9, 1.1]))
    elif kind == 7:
        market.lie.clear()
    elif kind == 8:
        market.index["USDC", "owe"] *= float(market.rng.choice([1.0, 1.2]))
    return u if kind == 3 or (kind == 1 and market.owe[u]["USDC"] > 0.0) else None


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-5, 0.05), st.integers(0, 2))
def test_watching__prices_interest_and_changes__same_levels_and_whys_as_a_full_scan(
    seed: int, vol: float, floored: int
) -> None:
    market, watching = Market(16, seed, floored), Watching(pays_above=1)
    for block in range(30):
        market.block(vol)
        changed = disturb(market, block)
        prices = dict(market.price)
        if block % 13 == 12:
            prices.pop("BTC")
        if block % 17 == 16:
            market.price["ETH"] *= 0.6
            prices = dict(market.price)
        found, due = judged(watching, market, prices)
        assert changed is None or f"0x{changed}" in {id.account for id in due}
        compare(found, assess(market.positions(), (), prices, SHOCKS, market.policies()))


@pytest.mark.parametrize("floored", [0, 1])
def test_watching__calm_blocks__judges_few_and_none_is_ever_old(floored: int) -> None:
    market, watching = Market(400, 1, floored), Watching(pays_above=1)
    asked = {p.id: 0 for p in market.positions()}
    safe = sum(
        o.level is Level.SAFE for o in assess(market.positions(), (), market.price, SHOCKS, market.policies())
    )
    counts = []
    for block in range(30):
        market.block(1e-6)
        split = watching.split(market.positions(), market.price, SHOCKS, market.policies())
        watching.keep(assess(split.due, (), market.price, SHOCKS, market.policies()))
        counts.append(len(split.due))
        for p in split.due:
            assert block - asked[p.id] <= AGE_BLOCKS_MAX
            asked[p.id] = block
    assert counts[0] == 400
    assert max(counts[1:]) <= 400 - safe + 400 / AGE_BLOCKS_MAX + 20


def test_watching__few_positions__all_are_judged() -> None:
    market, watching = Market(5, 1), Watching(expected=1000)
    for _ in range(3):
        assert len(judged(watching, market, market.price)[1]) == 5


def test_watching__other_positions_or_shocks__start_anew() -> None:
    market, watching = Market(10, 1), Watching(pays_above=1)
    judged(watching, market, market.price)
    market.own.append({"ETH": 1.0, "BTC": 1.0})
    market.owe.append({"USDC": 10.0})
    market.threshold.append(0.8)
    market.policy.append(policy())
    assert len(judged(watching, market, market.price)[1]) == 11
    other = (Shock(name="other", moves={"ETH": -0.1}),)
    assert len(watching.split(market.positions(), market.price, other, market.policies()).due) == 11


def test_outlooks_of__with_watching__same_order_and_levels_as_without() -> None:
    market, watching = Market(12, 3), Watching(pays_above=1)
    lost = Unreadable(id=identity("0xlost"), why="no answer", since_block=1)
    for _ in range(4):
        market.block(1e-4)
        seen = replace(
            build.snapshot(), positions=market.positions(), unreadable=(lost,), prices=dict(market.price)
        )
        plain = outlooks_of(seen, SHOCKS, market.policies())
        kept = outlooks_of(seen, SHOCKS, market.policies(), watching)
        assert [(o.id, o.level, o.why) for o in kept] == [(o.id, o.level, o.why) for o in plain]


def test_split__position_that_the_core_did_not_answer_for__is_asked_again() -> None:
    market, watching = Market(12, 3), Watching(pays_above=1)
    judged(watching, market, market.price)
    market.own[0]["ETH"] *= 1.5
    first = watching.split(market.positions(), market.price, SHOCKS, market.policies())
    assert "0x0" in {p.id.account for p in first.due}
    again = watching.split(market.positions(), market.price, SHOCKS, market.policies())
    assert "0x0" in {p.id.account for p in again.due}
