"""How far a feed moves in one update on its worst thousandth: measured by class, and by a feed's own rounds. Pure.

A position below its emergency level has what stands between that level and 1 to lose before anybody may liquidate it.
Where one update can take all of it, no keeper can act in between: the level is an alarm bell after the fire.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from keeper.model import Call
from keeper.oracle.feeds import selector, signed
from keeper.words import Words

STEP = {"eth": 0.072, "btc": 0.072, "alt": 0.116, "stable": 0.022, "fiat": 0.022, "gold": 0.022}
"""Class -> the 99.9th percentile of one update's move, either way: the largest of minute and five-minute closes of
2020-03, 2021-05, 2022-11 and 2023-03 through a feed of 0.5 % (1 % alts, 0.25 % dollars) and an hour (a day). Hourly
closes of 2018-2026 stay below in every class. The figures, asset by asset: docs/reference/oracle.md."""
RATIO_STEP = 0.005
"""Of a staked token's ratio to what it follows; assumed: such ratios are written daily or capped, and no history of
single updates was measured."""
TAIL = 0.999
ROUNDS = 1_001
"""A thousand moves: of fewer a 99.9th percentile says nothing."""
GET_ROUND = selector("getRoundData(uint80)")
PHASE = 64
"""A proxy's round id is its phase above, the aggregator's own round in the low 64 bits (AggregatorProxy)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What one source of prices weighs in a position: shares of the collateral that counts, and of the debt."""

    source: str
    collateral: float
    debt: float
    step: float
    """The move of one update, 0.05 is 5 %."""

    @property
    def kept(self) -> float:
        """Share of health that is left after one update against the position."""
        ways = [
            (1.0 + self.collateral * m) / (1.0 + self.debt * m)
            for m in (-self.step, self.step)
            if 1.0 + self.debt * m > 0.0
        ]
        return max(0.0, min(ways, default=0.0))


def worst(exposures: Iterable[Exposure]) -> Exposure | None:
    """The source whose one update costs the most health; None without any."""
    return min(exposures, key=lambda e: e.kept, default=None)


def needed(exposure: Exposure) -> float:
    """The least health that one update of the source leaves at 1 or above; infinite where none does."""
    return 1.0 / exposure.kept if exposure.kept > 0.0 else math.inf


def round_calls(address: str, newest: int) -> tuple[Call, ...]:
    """The feed's last rounds, oldest first; none where its phase has fewer than it takes."""
    last = newest & (2**PHASE - 1)
    if last < ROUNDS:
        return ()
    first = newest - ROUNDS + 1
    return tuple(Call(target=address, data=GET_ROUND + n.to_bytes(32)) for n in range(first, newest + 1))


def own_step(words: Words) -> float | None:
    """The 99.9th percentile of the moves between those rounds; None when one could not be read."""
    answers = [
        signed(words.uint(i, 1)) if words.ok[i] and words.count[i] >= 5 else 0 for i in range(len(words))
    ]
    if len(answers) < ROUNDS or min(answers) <= 0:
        return None
    return percentile([abs(b / a - 1.0) for a, b in pairwise(answers)])


def percentile(moves: Sequence[float]) -> float:
    """The least move that at least 99.9 % of them do not exceed."""
    return sorted(moves)[math.ceil(TAIL * len(moves)) - 1]
