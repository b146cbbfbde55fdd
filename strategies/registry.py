"""The strategies that ship, and how a third party's is found by ``module:Class``."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from keeper.errors import ConfigError
from keeper.seams import Strategy
from strategies.add_collateral import AddCollateral
from strategies.add_margin import AddMargin
from strategies.close_perp import ClosePerp
from strategies.close_position import ClosePosition
from strategies.deleverage import Deleverage
from strategies.depeg import DepegPlaybook
from strategies.exposure_limits import ExposureLimits
from strategies.floor import Floor
from strategies.pay_in import RepayFromReserve, SupplyFromReserve
from strategies.reduce_perp import ReducePerp
from strategies.repay import RepayFromWallet
from strategies.stop_on_venue import StopOnVenue
from strategies.take_profit import TakeProfit
from strategies.trailing_stop import TrailingStop

SHIPPED: tuple[Strategy, ...] = (
    RepayFromWallet(),
    AddCollateral(),
    Deleverage(),
    RepayFromReserve(),
    SupplyFromReserve(),
    ClosePosition(),
    AddMargin(),
    ReducePerp(),
    ClosePerp(),
    StopOnVenue(),
    TrailingStop(),
    TakeProfit(),
    ExposureLimits(),
    DepegPlaybook(),
    Floor(),
)
"""Every strategy in the package; a policy names them by ``name``."""


def resolve(names: Iterable[str]) -> tuple[Strategy, ...]:
    """The strategies of those names, each once, in their order. Raises ConfigError that lists every bad name.

    A third party's is written ``module:Class``; its ``name`` must be that same text, so that a policy finds
    it.
    """
    shipped = {s.name: s for s in SHIPPED}
    found: list[Strategy] = []
    problems: list[str] = []
    for name in dict.fromkeys(names):
        if name in shipped:
            found.append(shipped[name])
            continue
        made = _third_party(name) if ":" in name else f"not known; shipped: {', '.join(shipped)}"
        if isinstance(made, str):
            problems.append(f"strategy {name!r}: {made}")
        else:
            found.append(made)
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(found)


def _third_party(name: str) -> Strategy | str:
    """The strategy that ``module:Class`` makes, or what is wrong with it."""
    module, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except (ImportError, SyntaxError, ValueError) as error:
        return f"module {module!r} cannot be imported: {error}"
    except AttributeError:
        return f"module {module!r} has no class {attribute!r}"
    except TypeError as error:
        return f"{attribute} cannot be made without arguments: {error}"
    if not callable(getattr(made, "propose", None)):
        return f"{attribute} has no method propose"
    if getattr(made, "name", None) != name:
        return f"{attribute}.name is {getattr(made, 'name', None)!r}; it must be {name!r}"
    strategy: Strategy = made
    return strategy
