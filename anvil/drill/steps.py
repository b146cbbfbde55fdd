"""The largest single update that the drilled keeper survives, bisected from the state before the fall."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from anvil.drill.course import FALL_MAX, Update, at_size
from anvil.drill.home import Home
from anvil.drill.play import Scene, armed
from keeper.config import load
from keeper.model import Shock


def largest(on: Scene, home: Home, shock: Shock, precision: float, said: Callable[[str], None]) -> float:
    """The largest survived move (0.25: what moves most falls 25 %) in one update, rounded down.

    The chain is left where it was.
    """
    symbols = [t.symbol for t in on.purse.tokens]
    before = on.chain.snapshot()
    low, high = 0, round(FALL_MAX / precision)
    while high - low > 1:
        middle = (low + high) // 2
        update = at_size(shock, symbols, middle * precision)
        held = _survives(on, home, update, f"step-{middle}")
        on.chain.revert(before)
        before = on.chain.snapshot()
        said(f"one update of {middle * precision:.1%}: {'survived' if held else 'liquidated'}")
        low, high = (middle, high) if held else (low, middle)
    return low * precision


def _survives(on: Scene, home: Home, update: Update, name: str) -> bool:
    """One update, one turn of the real keeper on it, the competitor first in the next block."""
    on.land(update)
    on.mine()
    _turn(home, on, home.folder / name)
    struck = on.rival.strike(on.market.position())
    on.mine()
    return not on.rival.took(struck)


def _turn(home: Home, on: Scene, state: Path) -> None:
    from keeper.daemon.running import run

    alone = replace(load(home.alone), state_dir=state)
    armed(alone, on)
    asyncio.run(run(alone, once=True, dry_run=False))
