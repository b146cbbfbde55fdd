"""Outlook + memory -> decision + memory: levels with hysteresis, cooldown, and the cheapest way to target.

- ``levels.py``: the level of a position after hysteresis
- ``memory.py``: what is remembered between two blocks
- ``decide.py``: what is wished for each position, and why
- ``case.py``: one position as deciding sees it; ``acting.py``: what its strategies offer, and what it takes alone
- ``ranking.py``: which proposal is taken, and why each other is not
- ``stress.py``: what a rescue must survive besides reaching target
- ``joint.py``: several positions and several ways at once, by ``ways.py`` and ``optimise.py``
- ``purse.py``: no unit of money is promised twice in one tick
- ``defaults.py``: thresholds suggested for a position that has no policy yet
- ``standing.py``: the policy as it stands at a block, moved by ``band storm tighten`` where its owner allowed, and
  by what ``exposure depeg floor`` want ``smaller``
"""

from keeper.decision.case import Options, plain_outlook
from keeper.decision.decide import decide
from keeper.decision.levels import level_after
from keeper.decision.memory import Memory, PositionMemory
from keeper.decision.program import warm

__all__ = ["Memory", "Options", "PositionMemory", "decide", "level_after", "plain_outlook", "warm"]
