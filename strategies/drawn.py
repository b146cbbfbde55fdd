"""Who pays for a step, and how much of an asset may be drawn: the keeper's wallet, or an Executor's errand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keeper.executor import judge, rules
from keeper.model import Amount, Block, Holding, Mandate, Means, Policy, Position, Refusal, Side, Step
from keeper.phrases import usd_text
from keeper.seams import Venue
from keeper.sizing import units_down
from keeper.triggers import spend_cap_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One position that a strategy is asked to rescue, and all that may be used for it."""

    position: Position
    policy: Policy
    means: Means
    venue: Venue
    block: Block

    @property
    def before_wad(self) -> int:
        """Health now; asked only after ``open_need`` has seen it."""
        return self.position.health_wad or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How one strategy moves one asset: how much reaches an aim, and the step of some units."""

    who: str
    size: Callable[[Position, Holding, int], int]
    step: Callable[[Amount], Step]
    capped: bool = False
    """True when the venue's supply cap limits it."""
    mandate: Mandate | None = None
    """The Executor that pays; None: the keeper's wallet."""


def drawable(need: Need, holding: Holding, line: Line) -> tuple[int, str] | Refusal:
    """(units that may be spent of the holding's token, which limit binds them), or why none."""
    token = holding.amount.token
    if holding.price_base <= 0:
        return Refusal(who=line.who, code="venue_refuses", why=f"{token.symbol} has no price")
    cap_usd = spend_cap_usd(need.policy, 0.0)
    own = _wallet(need, holding) if line.mandate is None else _reserve(line.mandate, holding, line)
    if isinstance(own, Refusal):
        return own
    limits = {name: units for name, (units, _) in own.items()}
    limits["cap"] = units_down(cap_usd * 10**need.position.base_decimals, holding.price_base, token.decimals)
    reserve = need.means.reserve(need.venue.id, token)
    if line.capped and reserve is not None and reserve.supply_room_units is not None:
        limits["supply cap"] = reserve.supply_room_units
    binding = min(limits, key=lambda name: limits[name])
    if limits[binding] > 0:
        return limits[binding], binding
    code, why = {
        **{name: no for name, (_, no) in own.items()},
        "cap": ("caps", f"the caps leave {usd_text(cap_usd)} for an action"),
        "supply cap": ("venue_refuses", f"the supply cap of {token.symbol} is reached"),
    }[binding]
    return Refusal(who=line.who, code=code, why=why)


Limits = Mapping[str, tuple[int, tuple[str, str]]]
"""Name of a limit -> units, and the refusal when there are none."""


def _wallet(need: Need, holding: Holding) -> Limits:
    token, means = holding.amount.token, need.means
    symbol = token.symbol
    grant = f"the venue may not pull {symbol}: run `keeper grant`"
    return {
        "wallet": (means.balance(token), ("empty_wallet", f"the wallet holds no {symbol}")),
        "allowance": (means.allowance(token, need.venue.spender), ("no_allowance", grant)),
    }


def _reserve(mandate: Mandate, holding: Holding, line: Line) -> Limits | Refusal:
    token = holding.amount.token
    listed = judge.asset(mandate, token, Side.COLLATERAL if line.capped else Side.DEBT)
    if isinstance(listed, Refusal):
        return Refusal(who=line.who, code=listed.code, why=listed.why)
    room = rules.fund_room(mandate, listed, mandate.timestamp_s)
    empty = f"the Executor keeps no {token.symbol}, and its owner grants it none"
    full = f"the Executor's cap of this epoch leaves no {token.symbol} to pay in"
    return {
        "reserve": (listed.funds, ("empty_reserve", empty)),
        "Executor's cap": (room, ("cap", full)),
    }
