"""The gas tank: how many rescues the wallet's native balance can still pay for, now and in a crash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keeper.config import ChainSettings
from keeper.model import Amount, Refusal, Repay, Snapshot, Supply
from keeper.seams import Alarm, Severity, Venue
from keeper.transaction.fees import Market, first_fee
from keeper.units import GWEI, UINT256_MAX, WAD

RESCUES = 3
"""So many must be affordable: one that lands, one that is raised, one for the next fall."""
CODE = "gas_low"
SALE_GAS = 1_300_000
"""Of a sale through an owner's Executor with a flash loan; a stepwise one needs more, and is rare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tank:
    """What is in it, and what three rescues need."""

    native_wei: int
    now_wei: int
    """At the fee of an urgent rescue in this block."""
    storm_wei: int
    """At the price of gas in a crash."""

    @property
    def level(self) -> Severity | None:
        """How loud it is to be said; None while it is full."""
        if self.native_wei < self.now_wei:
            return Severity.CRITICAL
        return Severity.WARNING if self.native_wei < self.storm_wei else None

    @property
    def why(self) -> str:
        """What is there and what is needed. The words before the colon stay the same while the level does."""
        least, when = (
            (self.now_wei, "at what urgent gas costs now")
            if self.native_wei < self.now_wei
            else (self.storm_wei, "at what gas costs in a crash")
        )
        told = f"the wallet cannot pay for {RESCUES} rescues {when}"
        return f"{told}: it holds {self.native_wei / WAD:.6f} native, they need {least / WAD:.6f}; fill it"


def tank_of(snapshot: Snapshot, venues: Iterable[Venue], storm_gwei: float) -> Tank:
    """The tank at a snapshot, for the venues guarded on its chain."""
    means, gas = snapshot.means, max((rescue_gas(v) for v in venues), default=0)
    if means.mandates:
        gas = max(gas, SALE_GAS)
    market = Market(base_fee_wei=snapshot.block.base_fee_wei, tip_wei=means.tip_wei)
    urgent = first_fee(market, max(1, gas), UINT256_MAX, urgent=True)
    return Tank(
        native_wei=means.native_wei,
        now_wei=0 if isinstance(urgent, Refusal) else RESCUES * gas * urgent.max_fee_wei,
        storm_wei=RESCUES * gas * int(storm_gwei * GWEI),
    )


def rescue_gas(venue: Venue) -> int:
    """The highest gas limit of a rescue on the venue; 0 where it lists nothing."""
    steps = [do(amount=Amount(token=t, units=1)) for t in venue.tokens[:1] for do in (Supply, Repay)]
    return max((venue.gas(step) for step in steps), default=0)


def say_tank(snapshot: Snapshot, venues: Iterable[Venue], chain: ChainSettings, alarms: Alarm) -> None:
    """Raise, change or clear the alarm of one chain, where a wallet is configured."""
    if not snapshot.means.wallet:
        return
    tank = tank_of(snapshot, venues, chain.storm_gwei)
    if tank.level is None:
        alarms.clear(CODE, chain.name)
    else:
        alarms.raise_alarm(tank.level, CODE, chain.name, tank.why)
