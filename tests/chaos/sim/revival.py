"""The planted worst case of double acts: what had failed is mined after all, by somebody who kept the bytes.

Each seed: three positions cross their trigger, blocks are full until the plans' deadline has passed, the
cancelling self-sends are mined, new plans take their places; then reorganisations of up to seven blocks fill
the nonces with any bytes that were ever broadcast for them. Endpoints are healthy and nothing crashes, so
what acts twice is what nobody could have kept from acting twice.
"""

from __future__ import annotations

import random
from dataclasses import replace

from tests.chaos.sim.chain import FIRST, Weather
from tests.chaos.sim.node import HEALTHY
from tests.chaos.sim.world import ENDPOINTS, Mix, Result, World, play

FALL = FIRST + 2
JAMMED_UNTIL = FALL + 12
"""The first plans' deadline is ten blocks after the fall; the self-sends go out in the next."""
STORM = 24
LAST_FALL = FIRST + STORM + 9
UNPLEASANT = Weather(reorg=0.5, deep=True, lost_in_reorg=0.5, rise=0.3, revive=1.0)
MIX = Mix(
    weather=UNPLEASANT,
    faults=(HEALTHY,) * ENDPOINTS,
    crash_at_probe=0.0,
    crash_at_write=0.0,
    crash_at_call=0.0,
    life_s=1e9,
    disk_full=0.0,
    outage=0.0,
)


class Revival(World):
    """A world in which bytes of the past come back."""

    def __init__(self, seed: int, *, verbose: bool = False) -> None:
        super().__init__(seed, mix=MIX, storm_blocks=STORM, verbose=verbose)
        self.late_kill_s = 0.0

    def weather(self) -> Weather:
        """Nothing is mined until the deadlines have passed; then everything is, and taken back, and other."""
        if self.stormy_now and self.chain.head.number + 1 <= JAMMED_UNTIL:
            return replace(UNPLEASANT, reorg=0.0, full_blocks=1.0)
        return super().weather()

    def prices(self, rng: random.Random) -> tuple[tuple[int, int], ...]:
        """One fall that crosses every trigger, and one in the quiet."""
        first = int(2000 * (1 - rng.uniform(0.2, 0.25)))
        last = int(first * (1 - rng.uniform(0.15, 0.2)))
        return (FIRST, 2000 * 10**8), (FALL, first * 10**8), (LAST_FALL, last * 10**8)


def run_revival(seed: int, *, verbose: bool = False) -> tuple[Result, list[str]]:
    """One seed. What could have been kept from acting twice is a violation."""
    result, lines = play(Revival(seed, verbose=verbose))
    whys = [
        f"{d.late.intent.key} acted a step after the revived {d.early.intent.key}"
        for d in result.doubles
        if d.avoidable
    ]
    return replace(result, violations=(*result.violations, *whys)), lines
