"""Outlook + memory -> decision + memory: levels with hysteresis, cooldown, and the cheapest way to target.

- ``levels.py``: the level of a position after hysteresis
- ``memory.py``: what is remembered between two blocks
- ``decide.py``: what is wished for each position, and why
- ``ranking.py``: which proposal is taken, and why each other is not
- ``purse.py``: no unit of money is promised twice in one tick
- ``defaults.py``: thresholds suggested for a position that has no policy yet
"""

from keeper.decision.decide import Options, decide, plain_outlook
from keeper.decision.levels import level_after
from keeper.decision.memory import Memory, PositionMemory

__all__ = ["Memory", "Options", "PositionMemory", "decide", "level_after", "plain_outlook"]
