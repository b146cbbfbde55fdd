"""The largest single update that the drilled keeper survives, bisected from the state before the fall."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from anvil.drill.course import FALL_MAX, Update, at_size
from anvil.drill.home import Home
from anvil.drill.play import AHEAD_S, Scene, armed
from anvil.guard import START_S, Guard
from keeper.config import load
from keeper.model import Shock

BLOCKS_AHEAD = 3
"""Of the hour in which a delayed price is known; on the chain there are three hundred."""


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
        way = _foreseen if on.delayed else _survives
        held = way(on, home, update, f"step-{middle}")
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


def _foreseen(on: Scene, home: Home, update: Update, name: str) -> bool:
    """The same where a price is known ahead: a whole daemon, because a single tick looks at no delayed price."""
    config, state = home.folder / f"{name}.toml", home.folder / name
    lines = (x for x in home.alone.read_text().splitlines() if not x.startswith("state_dir ="))
    config.write_text("\n".join((*lines, f"state_dir = {json.dumps(str(state))}")) + "\n")
    armed(load(config), on)
    on.land(update)
    with Guard(config) as guard:
        guard.caught_up(on.mine(), within_s=START_S)
        for _ in range(BLOCKS_AHEAD):
            time.sleep(AHEAD_S)
            guard.caught_up(on.mine())
    on.land(update)
    on.mine()
    struck = on.rival.strike(on.market.position())
    on.mine()
    return not on.rival.took(struck)


def _turn(home: Home, on: Scene, state: Path) -> None:
    from keeper.daemon.running import run

    alone = replace(load(home.alone), state_dir=state)
    armed(alone, on)
    asyncio.run(run(alone, once=True, dry_run=False))
