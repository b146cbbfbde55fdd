"""What the paper's keeper ordered, written down as it lands, so that a chain can be asked the same."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Deleverage
from keeper.replay.flight import Flight
from keeper.replay.market import Market
from keeper.replay.policies import Act, Keeper, Order
from keeper.replay.vessel import Vessel


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """An order of the paper's keeper: where it landed, and what the paper's Executor said to it; "" is its yes."""

    at: int
    step: Deleverage
    refused: str


class Overheard:
    """A keeper whose orders are written down as they land."""

    def __init__(self, keeper: Keeper, landed: list[Landed]) -> None:
        self.name, self.line = keeper.name, keeper.line
        self._keeper, self._landed = keeper, landed

    def plan(self, vessel: Vessel, market: Market) -> Order | Act:
        """As the keeper does."""
        found = self._keeper.plan(vessel, market)
        return Listened(found, self._landed) if isinstance(found, Flight) else found


@dataclass(frozen=True, slots=True)
class Listened:
    """One order under way."""

    flight: Flight
    landed: list[Landed]

    def land(self, vessel: Vessel, market: Market) -> Act:
        """As it does, written down where it was included."""
        done = self.flight.land(vessel, market)
        if done.gas:
            name = done.why.rpartition("(")[2].rstrip(")") if done.why else ""
            self.landed.append(Landed(at=vessel.at, step=self.flight.step, refused=name))
        return done
