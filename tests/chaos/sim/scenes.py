"""Worlds that are set up for one mistake each: where chance alone would need hundreds of seeds to show it."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.chaos.sim.chain import FIRST, Weather
from tests.chaos.sim.node import HEALTHY, Faults
from tests.chaos.sim.revival import run_revival
from tests.chaos.sim.world import ENDPOINTS, LAST_FALL, Crash, Mix, Result, World, play

FALL = FIRST + 2


def _mix(weather: Weather, faults: Faults) -> Mix:
    """Nothing crashes by chance."""
    return Mix(
        weather=weather,
        faults=(faults,) * ENDPOINTS,
        crash_at_probe=0.0,
        crash_at_write=0.0,
        crash_at_call=0.0,
        life_s=1e9,
        disk_full=0.0,
        outage=0.0,
    )


class Overtaken(World):
    """A block comes just after the receipts of the last one were asked for: what is sent again is mined by then."""

    def __init__(self, seed: int, *, verbose: bool = False) -> None:
        mix = _mix(Weather(full_blocks=0.6), HEALTHY)
        super().__init__(seed, mix=mix, storm_blocks=20, verbose=verbose)
        self.late_kill_s = 0.0
        self._early = False

    def prices(self, rng: random.Random) -> tuple[tuple[int, int], ...]:
        """A fall every fourth block, so that something is open in most of them."""
        price, steps = 2000, [(FIRST, 2000 * 10**8)]
        for number in range(FALL, FIRST + 19, 4):
            price = int(price * (1 - rng.uniform(0.08, 0.14)))
            steps.append((number, price * 10**8))
        return tuple(steps)

    def on_call(self, name: str) -> None:
        """The next block, as often as not, once a receipt's answer is under way."""
        super().on_call(name)
        receipt = name == "< eth_getTransactionReceipt"
        if receipt and self.stormy_now and not self._early and self.rng.random() < 0.3:
            super().advance_chain()
            self._early = True

    def advance_chain(self) -> None:
        """Not when it came early."""
        if self._early:
            self._early = False
            return
        super().advance_chain()


class Undone(World):
    """Killed once, with every endpoint healthy, after an action was decided and before it was journaled."""

    def __init__(self, seed: int, *, verbose: bool = False) -> None:
        super().__init__(seed, mix=_mix(Weather(), HEALTHY), storm_blocks=1, verbose=verbose)
        self.late_kill_s = 0.0
        self._simulated = self._killed = False

    def prices(self, rng: random.Random) -> tuple[tuple[int, int], ...]:
        """One fall in the quiet, which crosses every trigger and no emergency."""
        return (FIRST, 2000 * 10**8), (FIRST + 1 + LAST_FALL, int(2000 * rng.uniform(0.8, 0.85)) * 10**8)

    def on_simulation(self) -> None:
        """What was decided is written down while the answer is under way."""
        self._simulated = True

    def on_call(self, name: str) -> None:
        """SIGKILL with the first simulation's answer."""
        super().on_call(name)
        if self._simulated and not self._killed and name == "< eth_call":
            self._killed = True
            self.die("between decision and journal")
            raise Crash


def run_overtaken(seed: int, *, verbose: bool = False) -> tuple[Result, list[str]]:
    """One seed of ``Overtaken``."""
    return play(Overtaken(seed, verbose=verbose))


def run_undone(seed: int, *, verbose: bool = False) -> tuple[Result, list[str]]:
    """One seed of ``Undone``."""
    return play(Undone(seed, verbose=verbose))


SHOWN_BY: dict[str, Callable[[int], tuple[Result, list[str]]]] = {
    "revival_not_noticed": run_revival,
    "bump_not_journaled": run_revival,
    "only_latest_hash_watched": run_revival,
    "open_intents_not_awaited": run_revival,
    "resign_on_nonce_too_low": run_overtaken,
    "crash_leaves_cooldown": run_undone,
}
"""Planted bug -> the world in which it shows; every other one shows where faults come by chance."""
